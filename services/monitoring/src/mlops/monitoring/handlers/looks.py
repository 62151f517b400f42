# SPDX-License-Identifier: Apache-2.0
"""Looks: what nobody sends a message about is found by looking; it is an alert of all projects until it is well again.

What was told is noted once it is told: a process that dies before says it again under the same id, and none says it
anew only because it began. Who has just begun, slept, or was itself cut off from the bus heard nobody meanwhile: what
others missed until then says nothing about them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from pydantic import AwareDatetime

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.contracts.message import Message, Part
from mlops.contracts.monitoring import ALL_PROJECTS
from mlops.monitoring.handlers.alerts import RANK, AlertHandlers, Cause, follow_ups
from mlops.monitoring.handlers.troubles import GoodNews, Meaning, Trouble
from mlops.monitoring.ports import Alert

_WORTH_TELLING = timedelta(days=1)
_SLEPT = timedelta(minutes=2)
_DAY = timedelta(days=1)
FORGOTTEN_DAYS = 7


@dataclass(frozen=True)
class Found:
    """What one look has found: troubles, and by kind of trouble why it is over; of what is in neither nobody can tell."""

    troubles: Sequence[Trouble] = ()
    well: Mapping[str, str] = field(default_factory=dict)


class Missed(Part):
    """On how many days people were told that something is missed: days on which nobody looked do not count."""

    days: int = 0
    last_at: AwareDatetime | None = None

    def at(self, now: datetime) -> Missed:
        """Return it as it is when something is missed now."""
        if self.last_at is not None and now - self.last_at < _DAY:
            return self
        return Missed(days=self.days + 1, last_at=now)

    @property
    def is_gone(self) -> bool:
        """Return whether it was missed for so long that it counts as taken away."""
        return self.days > FORGOTTEN_DAYS


class Finder(Protocol):
    """Looks at one sort of thing."""

    async def find(self, now: datetime, awake_since: datetime) -> Found:
        """Return what is wrong now, and what is well; others were heard without a gap only since *awake_since*."""


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
        self._awake_since: datetime | None = None
        self._looked_at: datetime | None = None

    async def tell(self) -> AsyncIterator[Message]:
        """Look once, and tell what begins and what ends."""
        awake_since = await self._awake()
        for finder in self._finders:
            found = await finder.find(self._clock(), awake_since)
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

    async def _awake(self) -> datetime:
        """Return since when others could be heard without a gap; raises while the bus is away, and counts anew then."""
        looked_at, self._looked_at = self._looked_at, None
        await self._told.all()
        now = self._clock()
        if self._awake_since is None or looked_at is None or now - looked_at > _SLEPT:
            self._awake_since = now
        self._looked_at = now
        return self._awake_since

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
