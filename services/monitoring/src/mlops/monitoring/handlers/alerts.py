# SPDX-License-Identifier: Apache-2.0
"""Alerts: one open at a time for each thing that can be wrong with a model; what was heard raises and resolves them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from mlops.chassis.bus import Bus, Documents, Handler
from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Event, Message, NodeEvent, follow_up_id
from mlops.contracts.monitoring import (
    ALL_PROJECTS,
    AcknowledgeAlert,
    AlertAcknowledged,
    AlertRaised,
    AlertResolved,
    Severity,
)
from mlops.monitoring.handlers.costs import Costs
from mlops.monitoring.handlers.troubles import GoodNews, Meaning, Trouble
from mlops.monitoring.model.costs import forecast
from mlops.monitoring.model.notices import is_same_trouble
from mlops.monitoring.ports import Alert, WatchedProject

RANK = {Severity.UNKNOWN: 0, Severity.INFO: 1, Severity.WARNING: 2, Severity.CRITICAL: 3}
_LONGEST_NAME = 120
_LONGEST_ADVICE = 1000

E = TypeVar("E", bound=Event)


@dataclass(frozen=True)
class Cause:
    """What raises or ends an alert; the same `id` changes nothing a second time."""

    id: str
    time: datetime
    story_id: str
    project: str


class AlertHandlers:
    """What happens to alerts when something begins, ends, or has been seen; *ring* says that there may be news."""

    def __init__(
        self,
        alerts: Documents[Alert],
        projects: Documents[WatchedProject],
        costs: Documents[Costs],
        ring: Callable[[], None],
    ) -> None:
        self._alerts = alerts
        self._projects = projects
        self._costs = costs
        self._ring = ring

    def on(self, reading: Callable[[E], Meaning]) -> Handler[E]:
        """Return the handler that raises and resolves what *reading* finds in an event."""

        async def hear(event: E) -> Sequence[Message]:
            return await self.take(_cause(event), reading(event))

        return hear

    async def take(self, cause: Cause, meaning: Meaning) -> Sequence[Message]:
        """Raise and resolve what something means."""
        told = [await self._resolve(cause, news) for news in meaning.over]
        if meaning.begun is not None:
            told.append(await self._raise(cause, meaning.begun))
        self._ring()
        return [message for messages in told for message in messages]

    async def do_acknowledge_alert(self, command: AcknowledgeAlert) -> Sequence[Message]:
        """Note that a person has seen an open alert; the first one counts."""
        found = [
            (key, alert)
            for key, alert in (await self._alerts.all()).items()
            if alert.alert_id == command.alert_id and alert.project == command.project
        ]
        if not found:
            raise RejectedError(
                f"project {command.project!r} has no alert {command.alert_id!r}; "
                "`query.monitoring.alerts` lists the ones there are"
            )
        by = command.by or "somebody"

        def change(now: Alert | None) -> Alert:
            current = now or found[0][1]
            if current.acknowledged_by is not None or current.alert_id != command.alert_id:
                return current
            return current.model_copy(update={"acknowledged_by": by})

        alert = await self._alerts.change(found[0][0], change, applied=command.id)
        if (
            alert.alert_id != command.alert_id
        ):  # it ended meanwhile, and the same trouble came again
            raise RejectedError(
                f"alert {command.alert_id!r} is over; the one that is open now is {alert.alert_id!r}"
            )
        self._ring()
        return [
            AlertAcknowledged(
                project=alert.project, alert_id=alert.alert_id, by=alert.acknowledged_by or by
            )
        ]

    async def _raise(self, cause: Cause, trouble: Trouble) -> Sequence[Message]:
        project = await self._projects.get(cause.project) or WatchedProject()
        fresh = _fresh(cause, trouble, await self._advice(cause.project, trouble))
        settle = project.alerts.settle

        def change(now: Alert | None) -> Alert:
            if now is None:
                return fresh
            return _heard_again(now, fresh, cause, settle)

        key = _dedup_key(fresh.project, fresh.model, fresh.kind)
        alert = await self._alerts.change(key, change, applied=cause.id)
        # From the document, not from "was it new": a redelivery after a crash must tell the same.
        return [] if alert.raised_by != cause.id else [_raised(alert, key)]

    async def _advice(self, project: str, trouble: Trouble) -> str:
        if not trouble.retrains:
            return trouble.suggestion[:_LONGEST_ADVICE]
        costs = await self._costs.get(project) or Costs()
        told = forecast(costs.spent)
        room = _LONGEST_ADVICE - len(told) - 1
        return f"{trouble.suggestion[:room]} {told}".strip()

    async def _resolve(self, cause: Cause, news: GoodNews) -> Sequence[Message]:
        told = [await self._end(cause, news.model, kind, news.reason) for kind in news.kinds]
        return [message for message in told if message is not None]

    async def _end(self, cause: Cause, model: str, kind: str, reason: str) -> AlertResolved | None:
        key = _dedup_key(cause.project, model, kind)
        nothing = _nothing_wrong(cause, model, kind)

        def change(now: Alert | None) -> Alert:
            # Types are read beside each other: what was over before its beginning is heard must not begin then.
            if now is None:
                return nothing
            if cause.time < now.heard_at:
                return now
            if not now.open:
                return now.model_copy(update={"heard_at": cause.time})
            return now.model_copy(
                update={
                    "resolved_by": cause.id,
                    "reason": reason,
                    "heard_at": cause.time,
                    "ended_at": cause.time,
                }
            )

        alert = await self._alerts.change(key, change, applied=cause.id)
        if alert.resolved_by != cause.id or not alert.was_raised:
            return None
        return AlertResolved(project=alert.project, alert_id=alert.alert_id, reason=alert.reason)


def alarms_of(bus: Bus, ring: Callable[[], None]) -> AlertHandlers:
    """Return the handlers over the documents of a bus."""
    return AlertHandlers(
        bus.documents("monitoring_alerts", Alert),
        bus.documents("monitoring_projects", WatchedProject),
        bus.documents("monitoring_costs", Costs),
        ring,
    )


def follow_ups(cause: Cause, found: Sequence[Message]) -> list[Message]:
    """Return messages that follow from no other: named by their cause, so that a repeat says nothing new."""
    return [
        message.model_copy(
            update={
                "id": follow_up_id(cause.id, message.type, index),
                "correlation_id": cause.story_id,
                "causation_id": cause.id,
            }
        )
        for index, message in enumerate(found)
    ]


def _heard_again(now: Alert, fresh: Alert, cause: Cause, settle: timedelta) -> Alert:
    if cause.time < now.heard_at:
        return now  # news from before its end
    news: dict[str, object] = {
        "title": fresh.title,
        "links": fresh.links,
        "suggestion": fresh.suggestion,
        "heard_at": cause.time,
    }
    told_by = {"raised_by": cause.id, "story_id": cause.story_id, "severity": fresh.severity}
    if now.open and RANK[fresh.severity] <= RANK[now.severity]:
        return now.model_copy(update=news)
    if now.open:
        return now.model_copy(update=news | told_by)
    if not is_same_trouble(now.ended_at, cause.time, now.notices, settle):
        return fresh
    begun = {"count": now.count + 1, "resolved_by": None, "ended_at": None, "reason": ""}
    return now.model_copy(update=news | told_by | begun)


def _nothing_wrong(cause: Cause, model: str, kind: str) -> Alert:
    return Alert(
        alert_id=follow_up_id(cause.id, "alert", 0),
        project=cause.project,
        model=model,
        kind=kind,
        severity=Severity.UNKNOWN,
        title="",
        raised_by="",
        raised_at=cause.time,
        heard_at=cause.time,
        resolved_by=cause.id,
    )


def _fresh(cause: Cause, trouble: Trouble, suggestion: str) -> Alert:
    return Alert(
        alert_id=follow_up_id(cause.id, "alert", 0),
        project=cause.project,
        model=trouble.model,
        kind=trouble.kind,
        severity=trouble.severity,
        title=trouble.title,
        links=trouble.links,
        suggestion=suggestion,
        raised_by=cause.id,
        story_id=cause.story_id,
        raised_at=cause.time,
        heard_at=cause.time,
    )


def _raised(alert: Alert, key: str) -> AlertRaised:
    return AlertRaised(
        project=alert.project,
        alert_id=alert.alert_id,
        severity=alert.severity,
        title=alert.title,
        about_model=alert.model or None,
        dedup_key=key,
        links=alert.links,
        kind=alert.kind,
        suggestion=alert.suggestion,
        count=alert.count,
    )


def _cause(event: Event) -> Cause:
    # What happens to a machine is about every project that may work on it.
    project = ALL_PROJECTS if isinstance(event, NodeEvent) else event.scope
    return Cause(event.id, event.time, event.story_id, project)


def _dedup_key(project: str, model: str, kind: str) -> str:
    safe = re.sub(r"[^A-Za-z0-9_-]", lambda found: f"={ord(found[0]):x}=", model) or "-"
    if len(safe) > _LONGEST_NAME:
        safe = f"{safe[:_LONGEST_NAME]}={hashlib.sha256(model.encode()).hexdigest()[:16]}="
    return f"{project}.{safe}.{kind}"
