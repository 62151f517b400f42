# SPDX-License-Identifier: Apache-2.0
"""Turns: at most so many at once, first come, first served; the limit may change while some are inside.

Whoever comes when too many wait already is turned away at once, instead of waiting for an answer that comes too late.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress

DEFAULT_QUEUE = 64


class CrowdedError(Exception):
    """As many wait already as may."""


class Turns:
    """An asynchronous limit that can be lowered and raised in place, from the loop that it is used in.

    *ceiling* is what the model itself stands at once, whatever else is allowed; *queue* is how many may wait.
    """

    def __init__(self, most: int, ceiling: int | None = None) -> None:
        self._ceiling = ceiling
        self._most = self._bounded(most)
        self._inside = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.queue = DEFAULT_QUEUE

    @property
    def most(self) -> int:
        """Return how many may be inside at once."""
        return self._most

    @most.setter
    def most(self, most: int) -> None:
        self._most = self._bounded(most)
        self._admit()

    @property
    def inside(self) -> int:
        """Return how many are inside now."""
        return self._inside

    @property
    def waiting(self) -> int:
        """Return how many wait now."""
        return len(self._waiting)

    def take(self) -> bool:
        """Take a turn if one is free and nobody waits for it."""
        if self._inside < self._most and not self._waiting:
            self._inside += 1
            return True
        return False

    async def enter(self) -> None:
        """Wait for a turn; whoever has it must `leave`. Raises CrowdedError."""
        if self.take():
            return
        if self.waiting >= self.queue:
            raise CrowdedError
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it had just been let in
                self.leave()
            else:
                with suppress(ValueError):  # the row has been served past it already
                    self._waiting.remove(turn)
            raise

    def leave(self) -> None:
        """Give a turn back."""
        self._inside -= 1
        self._admit()

    async def __aenter__(self) -> None:
        await self.enter()

    async def __aexit__(self, *_: object) -> None:
        self.leave()

    def _bounded(self, most: int) -> int:
        return max(1, most if self._ceiling is None else min(most, self._ceiling))

    def _admit(self) -> None:
        while self._waiting and self._inside < self._most:
            turn = self._waiting.popleft()
            if not turn.done():  # else its caller has gone
                self._inside += 1
                turn.set_result(None)
