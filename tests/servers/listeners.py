# SPDX-License-Identifier: Apache-2.0
"""Servers on this machine that take what is sent to people: a web server and a mail server that remember."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import Message
from typing import Any

from aiohttp import web
from aiosmtpd.smtp import SMTP


@dataclass
class Hook:
    """A web server; it answers with `status`, once it may, and remembers what it was sent."""

    url: str = ""
    status: int = 200
    taken: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)
    may_answer: asyncio.Event | None = None

    @property
    def place(self) -> str:
        """Return its host and port."""
        return self.url.removeprefix("http://")

    async def answer(self, request: web.Request) -> web.Response:
        """Remember a request."""
        self.taken.append((request.path_qs, dict(request.headers), await request.read()))
        self.came.set()
        if self.may_answer is not None:
            await self.may_answer.wait()
        return web.Response(status=self.status, headers={"Location": f"{self.url}/elsewhere"})


@dataclass
class Mailbox:
    """A mail server that keeps what it was given."""

    place: str = ""
    letters: list[tuple[list[str], Message]] = field(default_factory=list)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Keep a letter."""
        self.letters.append((envelope.rcpt_tos, message_from_bytes(envelope.content)))
        return "250 kept"


@asynccontextmanager
async def open_hook() -> AsyncIterator[Hook]:
    """Run a web server on a free port."""
    hook = Hook()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hook.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    hook.url = f"http://{host}:{port}"
    yield hook
    await runner.cleanup()


@asynccontextmanager
async def open_mailbox() -> AsyncIterator[Mailbox]:
    """Run a mail server on a free port."""
    mailbox = Mailbox()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(mailbox), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    mailbox.place = f"{host}:{port}"
    yield mailbox
    server.close()
    await server.wait_closed()
