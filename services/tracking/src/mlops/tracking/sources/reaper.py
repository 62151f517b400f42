# SPDX-License-Identifier: Apache-2.0
"""Reaper: runs of dead processes are ended; what it does is told by the outbox, so it yields nothing itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from datetime import timedelta

import structlog

from mlops.chassis.clock import Clock
from mlops.contracts.message import Message
from mlops.tracking.model import signs
from mlops.tracking.model.signs import Heard, Limits, Watch
from mlops.tracking.ports import Leader, Lives

_LATE_S = 5.0
_REMEMBER_EVERY = timedelta(minutes=10)
_REMEMBERED_PARTS = 20


class Reaper:
    """Looks at the runs that are RUNNING, again and again, while this process leads."""

    def __init__(
        self,
        lives: Lives,
        leader: Leader,
        deaf: Callable[[], Awaitable[str | None]],
        clock: Clock,
        steady_s: Callable[[], float],
    ) -> None:
        """Take *deaf*, which says why runs cannot be stored, and *steady_s*, a clock that never jumps."""
        self._lives = lives
        self._leader = leader
        self._deaf = deaf
        self._clock = clock
        self._steady_s = steady_s
        self._watch: Watch | None = None
        self._kept_s = 0.0
        self._log = structlog.get_logger("reaper")

    async def watch(
        self, every: timedelta, stale_after: timedelta, silent_after: timedelta
    ) -> AsyncGenerator[Message, None]:
        """Look every now and then, for ever."""
        limits = limits_of(every, stale_after, silent_after)
        self._watch = None
        while True:
            await self.look(limits)
            nothing: tuple[Message, ...] = ()
            for message in nothing:
                yield message
            await asyncio.sleep(every.total_seconds())

    async def look(self, limits: Limits) -> list[str]:
        """Look once; return the runs that were ended."""
        if not await self._leader.leads():
            self._watch = None
            return []
        watch = self._watch or Watch(await self._lives.remembered())
        # A failure below leaves us as deaf as a store that takes nothing.
        self._watch = watch.deafened()
        if await self._deaf() is not None:
            return []
        found = await self._lives.signs()
        watch = signs.look(watch, found, self._steady_s(), limits)
        ended = [
            run.run_id
            for run in signs.stale(watch, found, limits)
            if await self._lives.end_stale(run, self._clock())
        ]
        if ended:
            self._log.info("runs.stale", runs=ended)
        beating = {sign.run_id for sign in found if sign.beat is not None}
        await self._remember({k: v for k, v in watch.heard.items() if k not in beating}, limits)
        self._watch = watch
        return ended

    async def _remember(self, silent: dict[str, Heard], limits: Limits) -> None:
        # Those that beat are judged by what this process heard; of the others we may have to know for a day.
        every_s = min(_REMEMBER_EVERY.total_seconds(), limits.silent_s / _REMEMBERED_PARTS)
        if not limits.silent_s or self._steady_s() - self._kept_s < every_s:
            return
        await self._lives.remember(silent)
        self._kept_s = self._steady_s()


def limits_of(every: timedelta, stale_after: timedelta, silent_after: timedelta) -> Limits:
    """Return the limits; between two looks that are further apart nobody was heard."""
    stale_s = stale_after.total_seconds()
    gap_s = 2 * every.total_seconds() + min(_LATE_S, stale_s / 4)
    return Limits(stale_s, silent_after.total_seconds(), gap_s)
