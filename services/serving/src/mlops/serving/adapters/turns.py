# SPDX-License-Identifier: Apache-2.0
"""Turns: at most so many at once; the limit may change while some are inside."""

from __future__ import annotations

import asyncio


class Turns:
    """An asynchronous limit that can be lowered and raised in place."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._inside = 0
        self._waiting = 0
        self._left = asyncio.Condition()

    @property
    def most(self) -> int:
        """Return how many may be inside at once."""
        return self._most

    @most.setter
    def most(self, most: int) -> None:
        self._most = max(1, most)

    async def __aenter__(self) -> None:
        if self._inside >= self._most:
            self._waiting += 1
            try:
                async with self._left:
                    await self._left.wait_for(lambda: self._inside < self._most)
            finally:
                self._waiting -= 1
        self._inside += 1

    async def __aexit__(self, *_: object) -> None:
        self._inside -= 1
        if self._waiting:
            async with self._left:
                self._left.notify_all()
