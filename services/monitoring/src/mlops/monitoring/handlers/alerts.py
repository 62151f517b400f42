# SPDX-License-Identifier: Apache-2.0
"""Alerts: one open at a time for each thing that can be wrong with a model; fed by monitoring's own events."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from mlops.chassis.bus import Documents
from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message, ProjectEvent, follow_up_id
from mlops.contracts.monitoring import (
    AcknowledgeAlert,
    AlertAcknowledged,
    AlertRaised,
    AlertResolved,
    DriftCleared,
    DriftDetected,
    PerformanceDegraded,
    PerformanceRecovered,
    Severity,
)
from mlops.contracts.serving import (
    DeploymentCompleted,
    DeploymentFailed,
    DeploymentRemoved,
    DeploymentReverted,
)
from mlops.monitoring.ports import Alert

_LONGEST_NAME = 120
_RANK = {Severity.UNKNOWN: 0, Severity.INFO: 1, Severity.WARNING: 2, Severity.CRITICAL: 3}


class AlertHandlers:
    """What happens to alerts when something begins, ends, or has been seen."""

    def __init__(self, alerts: Documents[Alert]) -> None:
        self._alerts = alerts

    async def on_drift_detected(self, event: DriftDetected) -> Sequence[Message]:
        """Raise an alert about a drift."""
        names = [column.name for column in event.columns if column.drifted]
        title = f"{event.model} v{event.version}: {event.kind.value} drift"
        title += f" in {', '.join(names[:5])}" if names else ""
        links = (event.report_uri,) if event.report_uri else ()
        alert = _alert(event, event.model, event.kind.value, event.severity, title, links)
        return await self._raise(event, alert)

    async def on_drift_cleared(self, event: DriftCleared) -> Sequence[Message]:
        """Resolve the alert about a drift."""
        reason = "the data are back at their reference, or have a new one"
        return await self._resolve(event, event.model, event.kind.value, reason)

    async def on_performance_degraded(self, event: PerformanceDegraded) -> Sequence[Message]:
        """Raise an alert about the performance of a model."""
        title = (
            f"{event.model} v{event.version}: {event.metric} is {event.value:.3f}, "
            f"worse than {event.threshold:.3f}"
        )
        links = (event.report_uri,) if event.report_uri else ()
        if event.against_version is not None:
            title += f", while it is rolled out beside v{event.against_version}"
            alert = _alert(event, event.model, "candidate", Severity.WARNING, title, links)
        else:
            alert = _alert(event, event.model, "performance", Severity.CRITICAL, title, links)
        return await self._raise(event, alert)

    async def on_rollout_ended(
        self,
        event: DeploymentCompleted | DeploymentFailed | DeploymentReverted | DeploymentRemoved,
    ) -> Sequence[Message]:
        """Resolve the alert about a version that was being rolled out."""
        how = event.type.rpartition(".")[2]
        reason = f"the rollout of version {event.version} has ended: {how}"
        return await self._resolve(event, event.model, "candidate", reason)

    async def on_performance_recovered(self, event: PerformanceRecovered) -> Sequence[Message]:
        """Resolve the alert about the performance of a model."""
        reason = f"{event.metric} is {event.value:.3f} again with version {event.version}"
        return await self._resolve(event, event.model, "performance", reason)

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
        return [
            AlertAcknowledged(
                project=alert.project, alert_id=alert.alert_id, by=alert.acknowledged_by or by
            )
        ]

    async def _raise(self, event: ProjectEvent, fresh: Alert) -> Sequence[Message]:
        def change(now: Alert | None) -> Alert:
            if now is None or (not now.open and event.time >= now.heard_at):
                return fresh
            if event.time < now.heard_at:
                return now  # news from before its end
            worse = max(now.severity, fresh.severity, key=lambda severity: _RANK[severity])
            return now.model_copy(update={"severity": worse, "heard_at": event.time})

        key = _dedup_key(fresh.project, fresh.model, fresh.kind)
        alert = await self._alerts.change(key, change, applied=event.id)
        # From the document, not from "was it new": a redelivery after a crash must tell the same.
        if alert.raised_by != event.id:
            return []
        return [
            AlertRaised(
                project=alert.project,
                alert_id=alert.alert_id,
                severity=alert.severity,
                title=alert.title,
                about_model=alert.model,
                dedup_key=key,
                links=alert.links,
            )
        ]

    async def _resolve(
        self, event: ProjectEvent, model: str, kind: str, reason: str
    ) -> Sequence[Message]:
        key = _dedup_key(event.project, model, kind)
        known = await self._alerts.get(key)
        if known is None:
            return []

        def change(now: Alert | None) -> Alert:
            current = now or known
            if not current.open or event.time < current.heard_at:
                return current
            update = {"resolved_by": event.id, "reason": reason, "heard_at": event.time}
            return current.model_copy(update=update)

        alert = await self._alerts.change(key, change, applied=event.id)
        if alert.resolved_by != event.id:
            return []
        return [AlertResolved(project=alert.project, alert_id=alert.alert_id, reason=alert.reason)]


def _alert(
    event: ProjectEvent,
    model: str,
    kind: str,
    severity: Severity,
    title: str,
    links: tuple[str, ...],
) -> Alert:
    return Alert(
        alert_id=follow_up_id(event.id, "alert", 0),
        project=event.project,
        model=model,
        kind=kind,
        severity=severity,
        title=title[:300],
        links=links,
        raised_by=event.id,
        raised_at=event.time,
        heard_at=event.time,
    )


def _dedup_key(project: str, model: str, kind: str) -> str:
    safe = re.sub(r"[^A-Za-z0-9_-]", lambda found: f"={ord(found[0]):x}=", model)
    if len(safe) > _LONGEST_NAME:
        safe = f"{safe[:_LONGEST_NAME]}={hashlib.sha256(model.encode()).hexdigest()[:16]}="
    return f"{project}.{safe}.{kind}"
