# SPDX-License-Identifier: Apache-2.0
"""Reading: how many messages may be on their way in at once; when there are more, who has taken longest lets go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta


class SlowCallerError(Exception):
    """A message did not arrive in its time."""


class Reading:
    """Room for so many messages; none may take longer than *longest*, and none for ever keeps others out."""

    def __init__(self, most: int, longest: timedelta) -> None:
        self._most = most
        self._longest_s = longest.total_seconds()
        self._turns: dict[asyncio.Timeout, None] = {}  # in the order in which they began

    @property
    def count(self) -> int:
        """Return how many messages are on their way in."""
        return len(self._turns)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Read one message within; raises SlowCallerError when the time is over."""
        if len(self._turns) >= self._most:
            slowest = next(iter(self._turns))
            del self._turns[slowest]
            if not slowest.expired():
                slowest.reschedule(asyncio.get_running_loop().time())
        limit = asyncio.timeout(self._longest_s)
        try:
            async with limit:
                self._turns[limit] = None
                yield
        except TimeoutError as error:
            raise SlowCallerError("the message came too slowly") from error
        finally:
            self._turns.pop(limit, None)
