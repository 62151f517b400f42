# SPDX-License-Identifier: Apache-2.0
"""A real browser without a window, driven through its debugging port: open a page, click, read, take its picture."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp
import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # as root, in a container, there is no other way
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--remote-debugging-port=0",
)


@dataclass
class Tab:
    """One page."""

    socket: aiohttp.ClientWebSocketResponse
    numbers: Any = field(default_factory=lambda: count(1))

    async def call(self, method: str, **given: Any) -> dict[str, Any]:
        """Call a method of the debugging protocol, and return its result."""
        number = next(self.numbers)
        await self.socket.send_json({"id": number, "method": method, "params": given})
        while True:
            told = await self.socket.receive_json()
            if told.get("id") == number:
                assert "error" not in told, told
                return dict(told["result"])

    async def run(self, script: str) -> Any:
        """Return what a script on the page gives."""
        found = await self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def open(self, url: str) -> None:
        """Go to a page, and wait until it is there."""
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def until(self, script: str) -> Any:
        """Wait until a script gives something, and return that."""
        async with asyncio.timeout(30):
            while not (found := await self.run(script)):
                await asyncio.sleep(0.1)
        return found

    async def click(self, selector: str, text: str = "") -> None:
        """Click, as a person does, into the middle of the first thing that fits and has this text."""
        script = f"""(() => {{
          const found = [...document.querySelectorAll({json.dumps(selector)})]
            .find((one) => one.textContent.includes({json.dumps(text)}) && !one.disabled);
          if (!found) return null;
          found.scrollIntoView({{block: "center", inline: "center"}});
          const box = found.getBoundingClientRect();
          return [box.x + box.width / 2, box.y + box.height / 2];
        }})()"""
        x, y = await self.until(script)
        for kind in ("mousePressed", "mouseReleased"):
            await self.call(
                "Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1
            )

    async def type(self, selector: str, text: str) -> None:
        """Write into a field."""
        await self.run(f"document.querySelector({json.dumps(selector)}).focus()")
        await self.call("Input.insertText", text=text)

    async def picture(self, file: Path, width: int, *, dark: bool = False) -> None:
        """Take a picture of the whole page at a width."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=1000,
            deviceScaleFactor=1,
            mobile=False,
        )
        found = await self.call("Page.captureScreenshot", captureBeyondViewport=True)
        await asyncio.to_thread(file.write_bytes, base64.b64decode(found["data"]))


@asynccontextmanager
async def open_tab(folder: Path) -> AsyncIterator[Tab]:
    """Run a browser with its files in *folder*; without one on this machine the test is skipped."""
    program = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no Chromium is installed")
    process = await asyncio.create_subprocess_exec(
        *(program, *_OPTIONS, f"--user-data-dir={folder}", "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        address = await _address(folder / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{address}/json/list") as answer:
                (page,) = [one for one in await answer.json() if one["type"] == "page"]
            async with session.ws_connect(
                page["webSocketDebuggerUrl"], max_msg_size=64 * 2**20
            ) as socket:
                yield Tab(socket)
    finally:
        process.terminate()
        await process.wait()


async def _address(file: Path) -> str:
    async with asyncio.timeout(30):
        while not (lines := await asyncio.to_thread(_lines, file)):
            await asyncio.sleep(0.05)
    return f"http://127.0.0.1:{lines[0]}"


def _lines(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []
