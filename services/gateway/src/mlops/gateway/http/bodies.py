# SPDX-License-Identifier: Apache-2.0
"""Bodies: reads what callers of inference send: bounded each, bounded all together, and in time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from starlette.types import Receive

from mlops.gateway.errors import CallerError
from mlops.gateway.model.places import Room

_PATIENCE = 4  # so many times the bound is read of a caller who made an honest mistake
_CLOSE = {"Connection": "close"}
_DIGITS = 18


@dataclass
class Body:
    """What a caller sent, and how many bytes it holds of the room for all."""

    content: bytes | bytearray = b""
    held: int = 0


class Bodies:
    """Reads bodies; what has come holds room until it is let go, what was only told holds none."""

    def __init__(self, most_bytes: int, room: Room, within: timedelta) -> None:
        self._most_bytes = most_bytes
        self._room = room
        self._within_s = within.total_seconds()

    async def read(self, headers: Mapping[bytes, bytes], receive: Receive, into: Body) -> None:
        """Read a body; CallerError 413 when it is too large, 429 without room, 408 when it does not come in time.

        What was told to be too large is refused before any of it is read.
        """
        told = headers.get(b"content-length", b"")
        if told.isdigit() and len(told) <= _DIGITS:
            self._check_told(int(told))
        try:
            async with asyncio.timeout(self._within_s):
                await self._fill(into, receive)
        except TimeoutError as error:
            raise CallerError(
                408,
                "the body does not come",
                f"not whole after {self._within_s:g} s",
                "send it again, without pauses",
                headers=dict(_CLOSE),
            ) from error

    def let_go(self, body: Body) -> None:
        """Give the room of a body back."""
        self._room.leave(body.held)
        body.held = 0
        body.content = b""

    async def _fill(self, into: Body, receive: Receive) -> None:
        parts: bytearray | None = None
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise CallerError(400, "the caller hung up", "the body", "send it again")
            piece, more = message.get("body", b""), message.get("more_body", False)
            size += len(piece)
            if size <= self._most_bytes:
                self._hold(into, len(piece))
                if parts is None and not more:
                    into.content = piece
                    return
                parts = bytearray() if parts is None else parts
                parts += piece
            elif size > _PATIENCE * self._most_bytes or not more:
                raise self._too_large(_CLOSE)
            else:
                parts = None
                self.let_go(into)
            if not more:
                into.content = parts if parts is not None else b""
                return

    def _check_told(self, told: int) -> None:
        if told > self._most_bytes:
            near = told <= _PATIENCE * self._most_bytes
            raise self._too_large({} if near else _CLOSE)
        if not self._room.has(told):
            raise self._no_room()

    def _hold(self, body: Body, size: int) -> None:
        if not self._room.take(size):
            raise self._no_room()
        body.held += size

    def _no_room(self) -> CallerError:
        return CallerError(
            429,
            "too many bytes are under way",
            f"{self._room.held} of {self._room.most}",
            "send it again shortly, or in smaller parts",
            retry_after_s=1,
        )

    def _too_large(self, headers: Mapping[str, str]) -> CallerError:
        return CallerError(
            413,
            "the body is too large",
            f"more than {self._most_bytes} bytes",
            "send it in smaller parts, or by reference",
            headers=dict(headers),
        )
