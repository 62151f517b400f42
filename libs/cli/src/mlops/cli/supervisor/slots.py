# SPDX-License-Identifier: Apache-2.0
"""Slots: how many components may start at once; of those that wait, the first of the plan goes first."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Slots:
    """A semaphore whose waiters stand in order of their rank, not of their coming."""

    def __init__(self, count: int) -> None:
        self._free = count
        self._waiting: list[tuple[int, int, asyncio.Event]] = []
        self._came = 0

    @asynccontextmanager
    async def one(self, rank: int) -> AsyncIterator[None]:
        """Hold a slot."""
        await self._take(rank)
        try:
            yield
        finally:
            self._give_back()

    async def _take(self, rank: int) -> None:
        if self._free:
            self._free -= 1
            return
        self._came += 1
        turn = (rank, self._came, asyncio.Event())
        heapq.heappush(self._waiting, turn)
        try:
            await turn[2].wait()
        except asyncio.CancelledError:
            if turn[2].is_set():
                self._give_back()
            else:
                self._waiting.remove(turn)
                heapq.heapify(self._waiting)
            raise

    def _give_back(self) -> None:
        if self._waiting:
            heapq.heappop(self._waiting)[2].set()
        else:
            self._free += 1
