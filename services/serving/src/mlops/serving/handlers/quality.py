# SPDX-License-Identifier: Apache-2.0
"""Quality: a version that does worse than promised, by its labels, while there is a quick way back, goes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.contracts.message import Message
from mlops.contracts.monitoring import PerformanceDegraded
from mlops.serving.handlers.names import cause_of
from mlops.serving.handlers.wanted import started
from mlops.serving.model.apps import key_of
from mlops.serving.model.rollout import Phase, Rollout
from mlops.serving.model.state import State, give_up, watched
from mlops.serving.model.wishes import want, way_back
from mlops.serving.ports import Deployment

_ANSWERS = (Phase.SHADOW, Phase.CANARY)


class QualityHandlers:
    """Listens to monitoring; *nudge* wakes the reconciler."""

    def __init__(
        self,
        deployments: Documents[Deployment],
        clock: Clock,
        drain: timedelta,
        nudge: Callable[[], None],
    ) -> None:
        self._deployments = deployments
        self._clock = clock
        self._drain = drain
        self._nudge = nudge

    async def on_performance_degraded(self, event: PerformanceDegraded) -> Sequence[Message]:
        """Take the version's rollout back, or go back to the version before while that is kept warm.

        A slow version is judged by the rollout itself; later it may be its machine.
        """
        if event.about_speed:
            return []
        key, now = key_of(event.project, event.model), self._clock()
        known = await self._deployments.get(key)
        if known is None or not _is_concerned(known.state, event, now):
            return []

        def change(current: Deployment | None) -> Deployment:
            kept = current or Deployment(project=event.project, model=event.model)
            return kept.model_copy(update={"state": self._without(kept.state, event, now)})

        kept = await self._deployments.change(key, change, applied=event.id)
        self._nudge()
        return started(kept, event)

    def _without(self, state: State, event: PerformanceDegraded, now: datetime) -> State:
        if state.has_heard(event.id):
            return state
        reason, cause = _worse(event), cause_of(event)
        if _judged(state, event) is not None:
            return give_up(state, Phase.REVERTED, now, reason, self._drain, cause=cause)
        wish = way_back(state, cause, now, f"version {event.version}: {reason}", own=False)
        return state if wish is None else want(state, wish, self._drain)


def _is_concerned(state: State, event: PerformanceDegraded, now: datetime) -> bool:
    if state.has_heard(event.id):
        return True
    done = watched(state, now)
    is_done = done is not None and done.version == event.version and _listens(done, event)
    return is_done or _judged(state, event) is not None


def _judged(state: State, event: PerformanceDegraded) -> Rollout | None:
    """Return the rollout under way that the word is about."""
    rollout = state.rollout
    if rollout is None or rollout.phase not in _ANSWERS or rollout.version != event.version:
        return None
    return rollout if _listens(rollout, event) else None


def _listens(rollout: Rollout, event: PerformanceDegraded) -> bool:
    # What it answered in an earlier life was judged then.
    return rollout.plan.revert_on_quality and event.window.last_at >= rollout.wanted_at


def _worse(event: PerformanceDegraded) -> str:
    promised = "" if event.expected is None else f", {event.expected:.4g} was promised"
    if event.against_version is not None:
        promised = f", that of version {event.against_version} is {event.expected:.4g}"
    return (
        f"{event.metric} is {event.value:.4g} by {event.window.labelled} labels{promised}, "
        f"the bound is {event.threshold:.4g}"
    )
