# SPDX-License-Identifier: Apache-2.0
"""One rollout, one move: look at the world, decide with the model, write the document."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.serving.model.apps import App, app_name
from mlops.serving.model.rollout import Counts, Phase, Rollout, Seen, Verdict, judge
from mlops.serving.model.state import State, advance, changed, give_up, hold, needed, packed
from mlops.serving.ports import AppState, Condition, Deployment, Probes, Traffic, Weather
from mlops.serving.sources.packer import Packer

_STEADY = timedelta(seconds=1)
_PACK_AGAIN = timedelta(seconds=2)
_HOT_PATIENCE = 2


@dataclass(frozen=True)
class World:
    """What runs now, as last looked at, and since when each application is told to run."""

    apps: Mapping[str, App]
    states: Mapping[str, AppState]
    since: Mapping[str, datetime]

    def app(self, known: Deployment, version: int) -> tuple[App | None, AppState | None]:
        """Return the application of a version and how it does."""
        name = app_name(known.project, known.model, version)
        return self.apps.get(name), self.states.get(name)


class Moves:
    """Every move of a rollout; each is one idempotent write of its document."""

    def __init__(
        self,
        deployments: Documents[Deployment],
        packer: Packer,
        probes: Probes,
        traffic: Traffic,
        weather: Weather,
        clock: Clock,
        drain: timedelta,
        start_timeout: timedelta,
    ) -> None:
        self._deployments = deployments
        self._packer = packer
        self._weather = weather
        self._probes = probes
        self._traffic = traffic
        self._clock = clock
        self._drain = drain
        self._start_timeout = start_timeout
        self._ready_since: dict[str, datetime] = {}
        self._unready_since: dict[str, datetime] = {}
        self._pack_again: dict[str, datetime] = {}

    async def prepare(self, key: str, known: Deployment, rollout: Rollout) -> bool:
        """Take a wish as far as it goes without replicas; return whether it moved."""
        if rollout.phase not in (Phase.DESIRED, Phase.PACKING):
            return False
        if await self._is_held(key, known, rollout):
            return False
        if rollout.phase is Phase.DESIRED:
            await self._advance(key, rollout)
            return True
        return await self._pack(key, known, rollout)

    def give_up(self, known: Mapping[str, Deployment]) -> None:
        """Stop packing what no rollout waits for any more."""
        rollouts = (one.state.rollout for one in known.values())
        self._packer.give_up({one.deployment_id for one in rollouts if one is not None})

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
            if await self._is_held(key, known, rollout):
                return False
            await self._begin(key, known, rollout)
            return True
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
        now, reason = self._clock(), f"waits for a cooler machine; {found.hold}"
        await self._write(key, rollout, "held", partial(hold, at=now, reason=reason))
        return True

    async def _pack(self, key: str, known: Deployment, rollout: Rollout) -> bool:
        if self._clock() < self._pack_again.get(rollout.deployment_id, rollout.since):
            return False
        try:
            package = await self._packer.pack(
                rollout.deployment_id,
                known.project,
                known.model,
                rollout.version,
                rollout.plan.backend,
            )
        except RejectedError as error:
            await self._give_up(key, rollout, Phase.FAILED, str(error))
            return True
        except UnavailableError as error:
            if self._clock() - rollout.since < self._start_timeout:
                self._pack_again[rollout.deployment_id] = self._clock() + _PACK_AGAIN
                return False
            await self._give_up(key, rollout, Phase.FAILED, str(error))
            return True
        if package is None:
            return False
        now, made = self._clock(), package
        await self._write(key, rollout, "packed", lambda state: packed(state, made, now))
        return True

    async def _warm(self, key: str, known: Deployment, rollout: Rollout, world: World) -> bool:
        app, state = world.app(known, rollout.version)
        if app is None or state is None:
            return False
        if state.condition is Condition.FAILED:
            await self._give_up(key, rollout, Phase.FAILED, state.reason or "it cannot start")
            return True
        if await self._is_steadily_ready(known, rollout, world):
            await self._advance(key, rollout)
            return True
        waited = self._clock() - max(rollout.since, world.since.get(app.name, rollout.since))
        is_hot = bool((await self._weather.over(app.name)).hold)
        if waited < self._start_timeout * (_HOT_PATIENCE if is_hot else 1):
            return False
        reason = (
            f"not ready after {waited.total_seconds():.0f} s ({state.condition.value}); "
            f"{state.reason or 'the machine may lack memory or processors for one more replica'}"
        )
        await self._give_up(key, rollout, Phase.FAILED, reason)
        return True

    async def _is_steadily_ready(self, known: Deployment, rollout: Rollout, world: World) -> bool:
        # The first answer may come through a detour; the door then turns to the replica itself, and for a moment
        # knows neither. What answers for a second has passed that.
        if not await self._is_ready(known, rollout.version, world):
            self._ready_since.pop(rollout.deployment_id, None)
            return False
        since = self._ready_since.setdefault(rollout.deployment_id, self._clock())
        return self._clock() - since >= _STEADY

    async def _begin(self, key: str, known: Deployment, rollout: Rollout) -> None:
        baseline = await self._counted(known, rollout) or Counts()
        now = self._clock()

        def change(state: State) -> State:
            based = changed(
                state, rollout.deployment_id, lambda one: replace(one, baseline=baseline)
            )
            return advance(based, now, self._drain)

        await self._write(key, rollout, "begun", change)

    async def _shift(self, key: str, known: Deployment, rollout: Rollout, world: World) -> bool:
        counts = await self._counted(known, rollout)
        added = counts.since(rollout.baseline) if counts else None
        seen = await self._seen(known, rollout, world, added)
        held_s = (self._clock() - rollout.since).total_seconds()
        verdict, reason = judge(rollout.plan, seen, held_s)
        if verdict is Verdict.REVERT:
            await self._give_up(key, rollout, Phase.REVERTED, reason, added)
        if verdict is Verdict.ADVANCE:
            if await self._is_held(key, known, rollout):
                return False
            await self._advance(key, rollout, seen)
        return verdict is not Verdict.HOLD

    async def _seen(
        self, known: Deployment, rollout: Rollout, world: World, added: Counts | None
    ) -> Seen:
        now = self._clock()
        if await self._is_ready(known, rollout.version, world):
            self._unready_since.pop(rollout.deployment_id, None)
            _, state = world.app(known, rollout.version)
            return Seen(added, replicas=state.replicas if state else 1)
        since = self._unready_since.setdefault(rollout.deployment_id, now)
        other = known.state.live
        other_ready = other is not None and await self._is_ready(known, other, world)
        return Seen(added, max(0.001, (now - since).total_seconds()), other_ready)

    async def _is_ready(self, known: Deployment, version: int, world: World) -> bool:
        app, state = world.app(known, version)
        if app is None or state is None or state.condition is not Condition.RUNNING:
            return False
        return await self._probes.ready(state.url, app)

    async def _counted(self, known: Deployment, rollout: Rollout) -> Counts | None:
        found = await self._traffic.counts(known.project, known.model)
        return None if found is None else found.get(rollout.version, Counts())

    async def _advance(self, key: str, rollout: Rollout, seen: Seen | None = None) -> None:
        now = self._clock()
        await self._write(
            key, rollout, "advanced", lambda state: advance(state, now, self._drain, seen)
        )

    async def _give_up(
        self,
        key: str,
        rollout: Rollout,
        phase: Phase,
        reason: str,
        counts: Counts | None = None,
    ) -> None:
        now = self._clock()
        await self._write(
            key,
            rollout,
            phase.value,
            lambda state: give_up(state, phase, now, reason, self._drain, counts=counts),
        )

    async def _write(
        self, key: str, rollout: Rollout, verb: str, change: Callable[[State], State]
    ) -> None:
        seen = (rollout.deployment_id, rollout.phase, rollout.step)

        def apply(now: Deployment | None) -> Deployment:
            if now is None:
                raise UnavailableError(f"the document {key} is gone")
            current = now.state.rollout
            if current is None or (current.deployment_id, current.phase, current.step) != seen:
                return now  # another wish came in between
            return now.model_copy(update={"state": change(now.state)})

        applied = f"{rollout.deployment_id}/{rollout.phase.value}/{rollout.step}/{verb}"
        await self._deployments.change(key, apply, applied=applied)
        if verb != "held":
            for noted in (self._ready_since, self._unready_since, self._pack_again):
                noted.pop(rollout.deployment_id, None)
