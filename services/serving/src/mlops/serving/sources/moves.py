# SPDX-License-Identifier: Apache-2.0
"""One rollout, one move: look at the world, decide with the model, have it written."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta

from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.serving.model.apps import app_name
from mlops.serving.model.evidence import Counts
from mlops.serving.model.judging import Verdict
from mlops.serving.model.plan import Kind
from mlops.serving.model.rollout import Phase, Rollout, report_due
from mlops.serving.model.room import NoRoom
from mlops.serving.model.state import Package, State, needed
from mlops.serving.ports import Condition, Deployment, Weather
from mlops.serving.sources.judging import Judge
from mlops.serving.sources.packer import Packer
from mlops.serving.sources.world import World
from mlops.serving.sources.writes import Writes

_STEADY = timedelta(seconds=1)
_PACK_AGAIN = timedelta(seconds=2)
_HOT_PATIENCE = 2
_ROOM_PATIENCE = timedelta(minutes=3)


class Moves:
    """Every move of a rollout; each is one idempotent write of its document."""

    def __init__(
        self,
        writes: Writes,
        packer: Packer,
        judge: Judge,
        weather: Weather,
        clock: Clock,
        start_timeout: timedelta,
    ) -> None:
        self._writes = writes
        self._packer = packer
        self._weather = weather
        self._judge = judge
        self._clock = clock
        self._start_timeout = start_timeout
        self._ready_since: dict[str, datetime] = {}
        self._gone_since: dict[str, datetime] = {}
        self._pack_again: dict[str, datetime] = {}

    async def prepare(self, key: str, known: Deployment, rollout: Rollout) -> bool:
        """Take a wish as far as it goes without replicas; return whether it moved."""
        if rollout.phase not in (Phase.DESIRED, Phase.PACKING):
            return False
        if await self._is_held(key, known, rollout):
            return False
        if rollout.phase is Phase.DESIRED:
            await self._writes.advance(key, rollout)
            return True
        return await self._pack(key, known, rollout)

    def give_up(self, known: Mapping[str, Deployment]) -> None:
        """Stop packing what no rollout waits for any more, and forget what was seen of rollouts that are history."""
        rollouts = (one.state.rollout for one in known.values())
        under_way = {one.deployment_id for one in rollouts if one is not None}
        self._packer.give_up(under_way)
        for noted in (self._ready_since, self._gone_since, self._pack_again):
            for name in noted.keys() - under_way:
                del noted[name]
        last = (one.state.rollouts[-1:] for one in known.values())
        self._judge.forget({one.deployment_id for found in last for one in found})

    def tidy(self, known: Deployment) -> None:
        """Forget the packages of versions that neither run nor are where a rollback would go."""
        in_use = {*needed(known.state), known.state.before}
        tags = [one.bento_tag for one in known.state.packages if one.version in in_use]
        self._packer.tidy(known.project, known.model, tags)

    async def move(self, key: str, known: Deployment, rollout: Rollout, world: World) -> bool:
        """Take a rollout whose version runs one step further if it is time; return whether it moved."""
        if rollout.phase is Phase.STARTING:
            return await self._warm(key, known, rollout, world)
        if rollout.phase is Phase.WARM:
            return await self._begin(key, known, rollout, world)
        if rollout.phase is Phase.SHADOW:
            return await self._compare(key, known, rollout, world)
        if rollout.phase is Phase.CANARY:
            return await self._shift(key, known, rollout, world)
        return False

    async def _is_held(self, key: str, known: Deployment, rollout: Rollout) -> bool:
        """Return whether heat holds a rollout where it is; the first time that is written down, to be told."""
        if rollout.plan.urgent:
            return False
        found = await self._weather.over(app_name(known.project, known.model, rollout.version))
        unpacked = rollout.phase in (Phase.DESIRED, Phase.PACKING)
        if not found.hold or (unpacked and found.starts):
            return False
        await self._writes.hold(key, rollout, f"waits for a cooler machine; {found.hold}")
        return True

    async def _pack(self, key: str, known: Deployment, rollout: Rollout) -> bool:
        if self._clock() < self._pack_again.get(rollout.deployment_id, rollout.since):
            return False
        try:
            package = await self._packed_by(known, rollout)
        except RejectedError as error:
            await self._writes.give_up(key, rollout, Phase.FAILED, str(error))
            return True
        except UnavailableError as error:
            package = _kept(known.state, rollout)
            if package is None:
                return await self._pack_later(key, rollout, error)
        if package is None:
            return False
        await self._writes.packed(key, rollout, package)
        return True

    async def _packed_by(self, known: Deployment, rollout: Rollout) -> Package | None:
        return await self._packer.pack(
            rollout.deployment_id,
            known.project,
            known.model,
            rollout.version,
            rollout.plan.backend,
            allow_pickle=rollout.plan.allow_pickle,
        )

    async def _pack_later(self, key: str, rollout: Rollout, error: UnavailableError) -> bool:
        if self._clock() - rollout.since < self._start_timeout:
            self._pack_again[rollout.deployment_id] = self._clock() + _PACK_AGAIN
            return False
        await self._writes.give_up(key, rollout, Phase.FAILED, str(error))
        return True

    async def _warm(self, key: str, known: Deployment, rollout: Rollout, world: World) -> bool:
        name = app_name(known.project, known.model, rollout.version)
        if refused := world.refused.get(name):
            return await self._refuse(key, rollout, refused)
        app, state = world.app(known, rollout.version)
        if app is None or state is None:
            return False
        if state.condition is Condition.FAILED:
            await self._writes.give_up(
                key, rollout, Phase.FAILED, state.reason or "it cannot start"
            )
            return True
        if await self._is_steadily_ready(known, rollout, world):
            await self._writes.advance(key, rollout)
            return True
        waited = self._clock() - max(rollout.since, world.since.get(app.name, rollout.since))
        is_hot = bool((await self._weather.over(app.name)).hold)
        if waited < self._start_timeout * (_HOT_PATIENCE if is_hot else 1):
            return False
        reason = (
            f"not ready after {waited.total_seconds():.0f} s ({state.condition.value}); "
            f"{state.reason or 'the machine may lack memory or processors for one more replica'}"
        )
        await self._writes.give_up(key, rollout, Phase.FAILED, reason)
        return True

    async def _refuse(self, key: str, rollout: Rollout, refused: NoRoom) -> bool:
        if refused.waits:
            # Most of it is over in seconds, and what is held makes an alert.
            if self._clock() - rollout.since >= _ROOM_PATIENCE:
                await self._writes.hold(key, rollout, refused.reason)
            return False
        await self._writes.give_up(key, rollout, Phase.FAILED, refused.reason)
        return True

    async def _is_steadily_ready(self, known: Deployment, rollout: Rollout, world: World) -> bool:
        # The first answer may come through a detour; the door then turns to the replica itself, and for a moment
        # knows neither. What answers for a second has passed that.
        is_ready = await self._judge.is_ready(known, rollout.version, world)
        if not is_ready or not _is_full(known, rollout, world):
            self._ready_since.pop(rollout.deployment_id, None)
            return False
        since = self._ready_since.setdefault(rollout.deployment_id, self._clock())
        return self._clock() - since >= _STEADY

    async def _begin(self, key: str, known: Deployment, rollout: Rollout, world: World) -> bool:
        """Give a warm version its first traffic, or copies; one that ran before this may have stopped meanwhile."""
        if not await self._judge.is_ready(known, rollout.version, world):
            since = self._gone_since.setdefault(rollout.deployment_id, self._clock())
            if self._clock() - since < self._start_timeout:
                return False
            await self._writes.give_up(key, rollout, Phase.FAILED, "it was ready and is no more")
            return True
        self._gone_since.pop(rollout.deployment_id, None)
        if await self._is_held(key, known, rollout):
            return False
        found = await self._judge.counted(known)
        baseline = (found or {}).get(rollout.version, Counts())
        await self._writes.advance(key, rollout, found=found, baseline=baseline)
        return True

    async def _compare(self, key: str, known: Deployment, rollout: Rollout, world: World) -> bool:
        said = await self._judge.shadow(known, rollout, world)
        goes_on = said.verdict is Verdict.ADVANCE
        if goes_on and await self._is_held(key, known, rollout):
            return False
        ends = said.verdict is not Verdict.HOLD
        if said.comparison is not None and (ends or report_due(rollout, self._clock())):
            await self._writes.compared(key, rollout, said.comparison)
        if said.verdict is Verdict.REVERT:
            await self._writes.give_up(key, rollout, Phase.REVERTED, said.reason)
        elif goes_on:
            await self._writes.advance(key, rollout, said, found=await self._judge.counted(known))
        elif said.seen.unready_s == 0 and self._is_over(rollout):
            await self._writes.hold(key, rollout, said.reason)
        return ends

    def _is_over(self, rollout: Rollout) -> bool:
        return (self._clock() - rollout.since).total_seconds() >= rollout.plan.shadow_for_s

    async def _shift(self, key: str, known: Deployment, rollout: Rollout, world: World) -> bool:
        said = await self._judge.step(known, rollout, world)
        if said.verdict is Verdict.REVERT:
            counts = said.seen.counts
            await self._writes.give_up(key, rollout, Phase.REVERTED, said.reason, counts)
        if said.verdict is Verdict.ADVANCE:
            if await self._is_held(key, known, rollout):
                return False
            await self._writes.advance(key, rollout, said, found=await self._judge.counted(known))
        return said.verdict is not Verdict.HOLD


def _kept(state: State, rollout: Rollout) -> Package | None:
    """Return the package of a version that is kept for a way back, though its registry is away."""
    kept = rollout.version in {*needed(state), state.before}
    return state.package(rollout.version) if kept else None


def _is_full(known: Deployment, rollout: Rollout, world: World) -> bool:
    """Return whether as many replicas run as are wanted, where a version takes over at once at full size."""
    app, state = world.app(known, rollout.version)
    if rollout.plan.kind is not Kind.BLUE_GREEN or app is None or state is None:
        return True
    return state.replicas >= app.min_replicas
