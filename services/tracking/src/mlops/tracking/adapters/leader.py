# SPDX-License-Identifier: Apache-2.0
"""Who leads: whoever holds the store's one lock, and can reach the bus.

A leader that lost its connection finds out within a second; what it told meanwhile, the next leader tells under the
same ids.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable

import sqlalchemy as sa
import structlog

from mlops.tracking.adapters.locks import Lock

_LOOK_AGAIN_S = 1.0
_PATIENCE_S = 5.0


class Lead:
    """Asks a lock at most once a second; see the port `Leader`."""

    def __init__(
        self, lock: Lock, unable: Callable[[], Awaitable[str | None]] | None = None
    ) -> None:
        """Take *unable*, which says why this process cannot do a leader's work: another one may."""
        self._lock = lock
        self._unable = unable
        self._leads = False
        self._reason = ""
        self._asked_at = float("-inf")
        self._one_at_a_time = asyncio.Lock()
        self._log = structlog.get_logger("leader")

    async def leads(self) -> bool:
        """Say whether this process leads now."""
        async with self._one_at_a_time:
            if time.monotonic() - self._asked_at >= _LOOK_AGAIN_S:
                await self._ask()
            return self._leads

    async def who(self) -> str | None:
        """Return the name of the process that leads."""
        try:
            async with asyncio.timeout(_PATIENCE_S):
                return await asyncio.to_thread(self._lock.holder)
        except (TimeoutError, OSError, sa.exc.SQLAlchemyError):
            return None

    async def close(self) -> None:
        """Give the lead up, so that another takes it at once."""
        async with self._one_at_a_time:
            self._leads, self._asked_at = False, float("inf")
            with contextlib.suppress(OSError, sa.exc.SQLAlchemyError):
                await asyncio.to_thread(self._lock.release)

    async def _ask(self) -> None:
        before, reason = (self._leads, self._reason), ""
        try:
            reason = (await self._unable() if self._unable else None) or ""
            async with asyncio.timeout(_PATIENCE_S):
                act = self._lock.release if reason else self._lock.take
                self._leads = bool(await asyncio.to_thread(act))
        except (TimeoutError, OSError, sa.exc.SQLAlchemyError) as error:
            self._leads, reason = False, str(error) or "no answer"
        self._asked_at = time.monotonic()
        self._reason = reason
        if before != (self._leads, reason):
            self._log.info("leader.changed", leads=self._leads, reason=reason)
