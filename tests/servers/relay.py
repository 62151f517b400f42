# SPDX-License-Identifier: Apache-2.0
"""A line to a server on loopback that counts what is sent, and can be cut in the middle of it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self


class Relay:
    """Passes on what comes to its port; after *cut_after* more bytes it hangs up, and again for whoever calls."""

    def __init__(self, to: int) -> None:
        self.sent = 0
        self.cut_after: int | None = None
        self._to = to
        self._lines: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._line, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        """Hang up."""
        self._server.close()
        self._hang_up()
        await self._server.wait_closed()

    @property
    def _is_cut(self) -> bool:
        return self.cut_after is not None and self.sent >= self.cut_after

    def _hang_up(self) -> None:
        for line in self._lines:
            line.transport.abort()

    async def _line(self, caller: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        self._lines.add(back)
        with contextlib.suppress(OSError):
            if not self._is_cut:
                server, there = await asyncio.open_connection("127.0.0.1", self._to)
                self._lines.add(there)
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._pass_on(caller, there, counted=True))
                    both.create_task(self._pass_on(server, back, counted=False))
        back.transport.abort()

    async def _pass_on(
        self, here: asyncio.StreamReader, there: asyncio.StreamWriter, *, counted: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while piece := await here.read(1 << 14):
                self.sent += len(piece) if counted else 0
                if self._is_cut:
                    break
                there.write(piece)
                await there.drain()
        if self._is_cut:
            self._hang_up()
        there.transport.abort() if self._is_cut else there.close()
