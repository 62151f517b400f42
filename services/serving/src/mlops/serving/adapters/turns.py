# SPDX-License-Identifier: Apache-2.0
"""Turns: at most so many at once, first come, first served; the limit may change while some are inside."""

from __future__ import annotations

import asyncio
from collections import deque


class Turns:
    """An asynchronous limit that can be lowered and raised in place, from the loop that it is used in."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def most(self) -> int:
        """Return how many may be inside at once."""
        return self._most

    @most.setter
    def most(self, most: int) -> None:
        self._most = max(1, most)
        self._admit()

    async def __aenter__(self) -> None:
        if self._inside < self._most and not self._waiting:
            self._inside += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had just been let in
                self._leave()
            raise

    async def __aexit__(self, *_: object) -> None:
        self._leave()

    def _leave(self) -> None:
        self._inside -= 1
        self._admit()

    def _admit(self) -> None:
        while self._waiting and self._inside < self._most:
            turn = self._waiting.popleft()
            if not turn.done():  # else its caller has gone
                self._inside += 1
                turn.set_result(None)
