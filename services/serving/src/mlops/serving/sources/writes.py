# SPDX-License-Identifier: Apache-2.0
"""Writes: each move of a rollout is one write of its document, which changes nothing when the rollout has moved on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.chassis.errors import UnavailableError
from mlops.serving.model.evidence import Comparison, Counts, Seen
from mlops.serving.model.judging import Judgement
from mlops.serving.model.rollout import HELD, Phase, Rollout, held, with_comparison
from mlops.serving.model.state import Package, State, advance, changed, give_up, hold, packed
from mlops.serving.ports import Deployment


class Writes:
    """The moves of rollouts as writes; the same move again is none."""

    def __init__(self, deployments: Documents[Deployment], clock: Clock, drain: timedelta) -> None:
        self._deployments = deployments
        self._clock = clock
        self._drain = drain

    async def packed(self, key: str, rollout: Rollout, package: Package) -> None:
        """Write that the version is packed."""
        now = self._clock()
        await self._write(key, rollout, "packed", lambda state: packed(state, package, now))

    async def hold(self, key: str, rollout: Rollout, reason: str) -> None:
        """Write that something holds the rollout up; once, until it has moved."""
        now = self._clock()
        if held(rollout, now, reason) == rollout:
            return
        number = sum(1 for one in rollout.marks if one.stage == HELD)
        await self._write(key, rollout, f"held/{number}", partial(hold, at=now, reason=reason))

    async def compared(self, key: str, rollout: Rollout, found: Comparison) -> None:
        """Write how a shadow's answers compare."""
        now = self._clock()
        number = sum(1 for one in rollout.marks if one.comparison is not None)

        def change(state: State) -> State:
            return changed(
                state, rollout.deployment_id, lambda one: with_comparison(one, now, found)
            )

        await self._write(key, rollout, f"compared/{number}", change)

    async def advance(
        self,
        key: str,
        rollout: Rollout,
        said: Judgement | None = None,
        *,
        found: Mapping[int, Counts] | None = None,
        baseline: Counts | None = None,
    ) -> None:
        """Write the rollout one step further; *found* is what each version has counted as the step begins."""
        now = self._clock()
        seen = said.seen if said else Seen()
        reason = said.reason if said else ""

        def change(state: State) -> State:
            both = (rollout.version, state.live)
            at_step = {v: found.get(v, Counts()) for v in both if v} if found is not None else {}
            based = changed(
                state,
                rollout.deployment_id,
                lambda one: replace(one, at_step=at_step, baseline=baseline or one.baseline),
            )
            return advance(based, now, self._drain, seen, reason)

        await self._write(key, rollout, "advanced", change)

    async def give_up(
        self,
        key: str,
        rollout: Rollout,
        phase: Phase,
        reason: str,
        counts: Counts | None = None,
    ) -> None:
        """Write that the rollout has failed or was taken back."""
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
