# SPDX-License-Identifier: Apache-2.0
"""Declines: a model that asks for a retraining again and again, and is put off each time, is an alert.

Only those count that would be accepted later (a cooldown, a budget): what a project's settings never allow is its wish.
Types are read beside each other, after an outage by hours: what was put off before it was settled counts no more, even
if it is heard afterwards.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta

from pydantic import AwareDatetime

from mlops.chassis.bus import Documents
from mlops.contracts.message import Message, Part
from mlops.contracts.monitoring import DriftCleared, PerformanceRecovered, Severity
from mlops.contracts.orchestration_bridge import WorkflowDeclined, WorkflowQueued
from mlops.contracts.serving import DeploymentRemoved
from mlops.monitoring.handlers.alerts import AlertHandlers
from mlops.monitoring.handlers.troubles import GoodNews, Meaning, Trouble

DECLINED = "declined"
Settling = WorkflowQueued | DriftCleared | PerformanceRecovered | DeploymentRemoved
_REASONS = {
    WorkflowQueued.type: "a workflow was accepted",
    DriftCleared.type: "the drift is over",
    PerformanceRecovered.type: "the model does as promised again",
    DeploymentRemoved.type: "a version no longer answers",
}
_WITHIN = timedelta(hours=24)
_MANY = 3
_MOST = 50
_LONGEST = 300


class Declines(Part):
    """When triggers of a model were put off since it was settled; a document of `monitoring_declines`, by both names."""

    times: tuple[AwareDatetime, ...] = ()
    settled_at: AwareDatetime | None = None
    was_told: bool = False

    def counting(self, at: datetime) -> Declines:
        """Return them with one more, in order; those of a day before the newest no longer count."""
        if self.settled_at is not None and at <= self.settled_at:
            return self
        times = sorted({*self.times, at})
        recent = tuple(one for one in times if times[-1] - one < _WITHIN)
        was_told = self.was_told or len(recent) >= _MANY
        return self.model_copy(update={"times": recent[-_MOST:], "was_told": was_told})

    def settled(self, at: datetime) -> Declines:
        """Return those that came after *at*."""
        latest = at if self.settled_at is None else max(at, self.settled_at)
        later = tuple(one for one in self.times if one > latest)
        return self.model_copy(update={"times": later, "settled_at": latest})


class DeclineHandlers:
    """What happens when a trigger starts nothing, or starts something after all."""

    def __init__(self, declines: Documents[Declines], alarms: AlertHandlers) -> None:
        self._declines = declines
        self._alarms = alarms

    async def on_workflow_declined(self, event: WorkflowDeclined) -> Sequence[Message]:
        """Count what was put off; tell a person when it happens again and again."""
        if event.retry_at is None:
            return []

        def change(now: Declines | None) -> Declines:
            return (now or Declines()).counting(event.time)

        key = _key(event.project, event.model)
        found = await self._declines.change(key, change, applied=event.id)
        if event.time not in found.times or len(found.times) < _MANY:
            return []
        return await self._alarms.on(lambda _: _meaning(event, len(found.times)))(event)

    async def on_settled(self, event: Settling) -> Sequence[Message]:
        """Count anew, and say that it is over: one was accepted, or nothing asks any more."""

        def change(now: Declines | None) -> Declines:
            return (now or Declines()).settled(event.time)

        key = _key(event.project, event.model)
        found = await self._declines.change(key, change, applied=event.id)
        if not found.was_told:
            return []  # nothing can be open
        over = Meaning(over=(GoodNews(event.model or "", (DECLINED,), _REASONS[event.type]),))
        return await self._alarms.on(lambda _: over)(event)


def _meaning(event: WorkflowDeclined, times: int) -> Meaning:
    what = event.model or event.project
    title = f"{what} has asked for a {event.kind.value} {times} times in 24 hours and was put off each time: {event.reason}"
    again = f"{event.retry_at:%Y-%m-%d %H:%M} UTC" if event.retry_at else "later"
    advice = (
        f"From {again} on such a trigger is accepted again. Not to wait: "
        f"`mlops workflow start --kind {event.kind.value} --model {what} -p {event.project}`, which no cooldown and no "
        "budget holds back. If it happens often, look at [retrain] cooldown and max_per_day (`mlops policy simulate` tries others on what was "
        "recorded), or at why retraining does not help."
    )
    severity = Severity.WARNING
    trouble = Trouble(
        event.model or "", DECLINED, severity, title[:_LONGEST], advice, retrains=True
    )
    return Meaning(trouble)


def _key(project: str, model: str | None) -> str:
    return f"{project}.{hashlib.sha256((model or '').encode()).hexdigest()[:32]}"
