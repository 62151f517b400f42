# SPDX-License-Identifier: Apache-2.0
"""The reconciler: drives every rollout, keeps what must run running, tells what became true.

All it knows stands in the documents, so it may be killed anywhere: the next one goes on, and what it tells again
has the ids it had.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import partial

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.chassis.errors import UnavailableError
from mlops.contracts.message import Message
from mlops.serving.model.apps import app_name
from mlops.serving.model.state import (
    Drain,
    State,
    drained,
    is_busy,
    shadowing,
    told,
    watched,
)
from mlops.serving.ports import Deployment
from mlops.serving.sources.aftermath import Aftermath
from mlops.serving.sources.facts import removed, untold
from mlops.serving.sources.fleet import Fleet
from mlops.serving.sources.moves import Moves

_WATCH_S = 1.0


class Reconciler:
    """One per installation; `nudge` wakes it, as *woken* does, `messages` is its source."""

    def __init__(
        self,
        deployments: Documents[Deployment],
        fleet: Fleet,
        moves: Moves,
        aftermath: Aftermath,
        clock: Clock,
        tick: timedelta,
        idle: timedelta,
        woken: asyncio.Event,
    ) -> None:
        self._deployments = deployments
        self._fleet = fleet
        self._moves = moves
        self._aftermath = aftermath
        self._clock = clock
        self._tick_s = tick.total_seconds()
        self._idle_s = idle.total_seconds()
        self._woken = woken

    def nudge(self) -> None:
        """Look again at once."""
        self._woken.set()

    async def messages(self) -> AsyncIterator[Message]:
        """Go round for ever; pause longer when nothing is under way."""
        while True:
            self._woken.clear()
            moved = False
            async for message in self.round():
                moved = True
                yield message
            if moved:
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(await self._pause_s()):
                    await self._woken.wait()

    async def round(self) -> AsyncIterator[Message]:
        """Take everything one step further, and yield what became true."""
        found = await self._deployments.all()
        self._moves.give_up(found)
        for key in found:
            async for message in self._tell(
                key
            ):  # what a process before this one had no time to tell
                yield message
            await self._prepare(key)
            async for message in self._tell(key):
                yield message
        known = await self._deployments.all()
        if not await self._fleet.match(known):
            return
        for key in known:
            await self._move(key)
            async for message in self._tell(key):
                yield message
            async for message in self._bury(key):
                yield message

    async def _pause_s(self) -> float:
        now = self._clock()
        states = [one.state for one in (await self._deployments.all()).values()]
        if any(is_busy(state, now) for state in states):
            return self._tick_s
        if any(shadowing(state) or watched(state, now) for state in states):
            return min(_WATCH_S, self._idle_s)
        return self._idle_s

    async def _prepare(self, key: str) -> None:
        for _ in range(2):  # wished for, then packed
            known = await self._deployments.get(key)
            rollout = known.state.rollout if known else None
            if known is None or rollout is None:
                return
            if not await self._moves.prepare(key, known, rollout):
                return

    async def _move(self, key: str) -> None:
        known = await self._deployments.get(key)
        rollout = known.state.rollout if known else None
        if known is not None and rollout is not None:
            await self._moves.move(key, known, rollout, self._fleet.world)
        if known is not None and rollout is None:
            await self._aftermath.look(key, known)

    async def _tell(self, key: str) -> AsyncIterator[Message]:
        known = await self._deployments.get(key)
        for rollout, count, message in untold(known) if known else []:
            yield message
            await self._change(
                key,
                partial(told, deployment_id=rollout.deployment_id, count=count),
                applied=f"{rollout.deployment_id}/told/{count}",
            )

    async def _bury(self, key: str) -> AsyncIterator[Message]:
        known = await self._deployments.get(key)
        for drain in known.state.drains if known else ():
            if known is None or not self._is_gone(known, drain):
                continue
            if not drain.quiet:
                yield removed(known, drain)
            without = await self._change(
                key,
                partial(drained, version=drain.version),
                applied=f"{drain.deployment_id}/{drain.cause.id}/drained/{drain.version}",
            )
            self._moves.tidy(without)

    def _is_gone(self, known: Deployment, drain: Drain) -> bool:
        world = self._fleet.world
        name = app_name(known.project, known.model, drain.version)
        over = drain.until <= self._clock()
        return over and name not in world.apps and name not in world.states

    async def _change(
        self, key: str, change: Callable[[State], State], *, applied: str
    ) -> Deployment:
        def apply(now: Deployment | None) -> Deployment:
            if now is None:
                raise UnavailableError(f"the document {key} is gone")
            return now.model_copy(update={"state": change(now.state)})

        return await self._deployments.change(key, apply, applied=applied)
