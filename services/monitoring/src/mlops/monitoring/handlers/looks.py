# SPDX-License-Identifier: Apache-2.0
"""Looks: what nobody sends a message about is found by looking; it is an alert of all projects until it is well again.

What was told is noted once it is told: a process that dies before says it again under the same id, and none says it
anew only because it began.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.contracts.message import Message, Part
from mlops.contracts.monitoring import ALL_PROJECTS
from mlops.monitoring.handlers.alerts import RANK, AlertHandlers, Cause, follow_ups
from mlops.monitoring.handlers.troubles import GoodNews, Meaning, Trouble
from mlops.monitoring.ports import Alert

_WORTH_TELLING = timedelta(days=1)


@dataclass(frozen=True)
class Found:
    """What one look has found: troubles, and by kind of trouble why it is over; of what is in neither nobody can tell."""

    troubles: Sequence[Trouble] = ()
    well: Mapping[str, str] = field(default_factory=dict)


class Finder(Protocol):
    """Looks at one sort of thing."""

    async def find(self, now: datetime) -> Found:
        """Return what is wrong now, and what is well."""


class ToldLook(Part):
    """Which beginning and which end of a trouble were told last; a document of `monitoring_looks`, by kind."""

    begun: str = ""
    ended: str = ""


class Looks:
    """Raises and ends alerts for what finders find."""

    def __init__(
        self,
        finders: Sequence[Finder],
        told: Documents[ToldLook],
        alerts: Documents[Alert],
        alarms: AlertHandlers,
        clock: Clock,
    ) -> None:
        self._finders = finders
        self._told = told
        self._alerts = alerts
        self._alarms = alarms
        self._clock = clock

    async def tell(self) -> AsyncIterator[Message]:
        """Look once, and tell what begins and what ends."""
        for finder in self._finders:
            found = await finder.find(self._clock())
            if not found.troubles and not found.well:
                continue
            known = {
                one.kind: one
                for one in (await self._alerts.all()).values()
                if one.project == ALL_PROJECTS
            }
            told = await self._told.all()
            for trouble in found.troubles:
                kind = trouble.kind
                async for message in self._begin(trouble, known.get(kind), told.get(kind)):
                    yield message
            for kind, reason in found.well.items():
                if alert := known.get(kind):
                    async for message in self._end(alert, reason, told.get(kind)):
                        yield message

    async def _begin(
        self, trouble: Trouble, alert: Alert | None, told: ToldLook | None
    ) -> AsyncIterator[Message]:
        now = self._clock()
        name = f"{trouble.kind}-{now.isoformat()}"
        if alert is not None and alert.open and RANK[trouble.severity] <= RANK[alert.severity]:
            if told is not None and told.begun == alert.raised_by:
                return
            name = alert.raised_by  # who raised it may have died before it was told
        cause = Cause(name, now, name, ALL_PROJECTS)
        for message in follow_ups(cause, await self._alarms.take(cause, Meaning(trouble))):
            yield message
        await self._note(trouble.kind, cause, {"begun": cause.id})

    async def _end(
        self, alert: Alert, reason: str, told: ToldLook | None
    ) -> AsyncIterator[Message]:
        now, name = self._clock(), f"{alert.raised_by}-is-over"
        if not alert.open:
            is_new = alert.ended_at is not None and now - alert.ended_at < _WORTH_TELLING
            is_told = told is not None and told.ended == name
            if alert.resolved_by != name or is_told or not is_new:
                return
        cause = Cause(name, alert.ended_at or now, alert.story_id, ALL_PROJECTS)
        news = Meaning(over=(GoodNews(alert.model, (alert.kind,), reason),))
        for message in follow_ups(cause, await self._alarms.take(cause, news)):
            yield message
        await self._note(alert.kind, cause, {"ended": cause.id})

    async def _note(self, kind: str, cause: Cause, news: Mapping[str, str]) -> None:
        def change(now: ToldLook | None) -> ToldLook:
            return (now or ToldLook()).model_copy(update=news)

        await self._told.change(kind, change, applied=cause.id)
