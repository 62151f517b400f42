# SPDX-License-Identifier: Apache-2.0
"""Callers: one request, or a steady stream, each to a version picked by the weights that serving publishes."""

from __future__ import annotations

import asyncio
import contextlib
import http
import json
import random
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp

Weights = Callable[[], Awaitable[dict[str, float]]]
_REFRESH_S = 0.5


@dataclass
class Traffic:
    """What came of it."""

    model: str
    weights: Weights
    per_second: float = 30.0
    tries: int = 1
    headers: dict[str, str] = field(default_factory=dict)
    patience_s: float = 10.0
    failed: list[str] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    _routes: dict[str, float] = field(default_factory=dict)

    @property
    def requests(self) -> int:
        return len(self.failed) + self.answered.total()

    async def run(self) -> None:
        pause = 1 / self.per_second
        limits = aiohttp.ClientTimeout(total=self.patience_s)
        async with (
            aiohttp.ClientSession(timeout=limits, headers=self.headers) as session,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(self._refresh())
            number = 0
            while True:
                begun = asyncio.get_running_loop().time()
                if self._routes:
                    number += 1
                    group.create_task(self._ask(session, f"r-{number}"))
                spent = asyncio.get_running_loop().time() - begun
                await asyncio.sleep(max(0.0, pause - spent))

    async def _refresh(self) -> None:
        while True:
            with contextlib.suppress(
                Exception
            ):  # serving restarts in some tests; the last routes hold
                self._routes = await self.weights()
            await asyncio.sleep(_REFRESH_S)

    async def _ask(self, session: aiohttp.ClientSession, request_id: str) -> None:
        last = ""
        for _ in range(self.tries):
            urls = list(self._routes)
            url = random.choices(urls, list(self._routes.values()))[0]  # noqa: S311 - traffic
            last = await self._try(session, url, request_id)
            if not last:
                return
        self.failed.append(last)

    async def _try(self, session: aiohttp.ClientSession, url: str, request_id: str) -> str:
        began = time.perf_counter()
        try:
            path = f"{url}/v2/models/{self.model}/infer"
            async with session.post(path, json=body(request_id)) as reply:
                text = await reply.text()
                if reply.status != 200:
                    return f"{url}: {reply.status} {text[:200]}"
                self.answered[(await reply.json())["model_version"]] += 1
        except (aiohttp.ClientError, TimeoutError) as error:
            return f"{url}: {error!r}"
        self.latencies_ms.append((time.perf_counter() - began) * 1000)
        return ""


def body(request_id: str) -> dict[str, Any]:
    row = {"temperature": 0.9, "dew_point": 0.1, "visibility": 0.5}
    return {
        "id": request_id,
        "inputs": [
            {"name": name, "datatype": "FP64", "shape": [1], "data": [value]}
            for name, value in row.items()
        ],
    }


@asynccontextmanager
async def flowing(traffic: Traffic) -> AsyncIterator[Traffic]:
    """Keep *traffic* going for the length of the block."""
    task = asyncio.create_task(traffic.run())
    try:
        yield traffic
    finally:
        await asyncio.sleep(0.3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def ask(
    url: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Return status and JSON of a GET, or of a POST of *body*."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - our own server
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310 - as above
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def columns(**values: list[float]) -> list[dict[str, Any]]:
    return [
        {"name": name, "datatype": "FP64", "shape": [len(row)], "data": row}
        for name, row in values.items()
    ]


def ask_two(url: str, model: str) -> list[tuple[int, Any]]:
    """Ask for one row, then for two."""
    one = columns(temperature=[0.9], dew_point=[0.1], visibility=[0.5])
    many = columns(temperature=[0.9, 0.1], dew_point=[0.1, 0.2], visibility=[0.5, 0.3])
    path = f"{url}/v2/models/{model}/infer"
    return [
        ask(path, {"id": name, "inputs": inputs}) for name, inputs in (("one", one), ("many", many))
    ]


def pid_at(url: str) -> int | None:
    """Return the process that answers at *url*, or None."""
    try:
        status, facts = ask(f"{url}/v2")
    except (OSError, ValueError):
        return None
    return int(facts["pid"]) if status == http.HTTPStatus.OK else None
