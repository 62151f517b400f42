# SPDX-License-Identifier: Apache-2.0
"""What was said on the bus within a period, as the entries of a report."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import timedelta
from operator import attrgetter
from typing import TypeVar

from mlops.chassis.bus import History
from mlops.contracts import monitoring as watched
from mlops.contracts import orchestration_bridge as flows
from mlops.contracts import serving as served
from mlops.contracts import tracking as tracked
from mlops.contracts.catalogue import read_envelope
from mlops.contracts.errors import MessageError
from mlops.contracts.message import Message
from mlops.contracts.telemetry_agent import TelemetrySampled, ThermalThrottled
from mlops.monitoring.handlers.samples import Samples
from mlops.monitoring.model import reports_entries as made
from mlops.monitoring.model.reports_entries import Entry, Lane, Moment
from mlops.monitoring.model.reports_machines import Machine, Machines
from mlops.monitoring.model.reports_period import Period

# An event may be stored later than it happened: its sender had no bus, or was one of a laptop that was away.
# Labels come later than that, as late as a project allows: how a window did is looked for to the end of the record.
_LATE = timedelta(days=1)
_LEAD = timedelta(minutes=5)
_WORKFLOW = "mlops.workflow_key"

M = TypeVar("M", bound=Message)


class Records:
    """Reads the history; what the bus no longer keeps is not in a report."""

    def __init__(self, history: History) -> None:
        self._history = history

    async def entries(self, period: Period, project: str | None) -> list[Entry]:
        """Return the entries of a project, or of all for None, and the heat of machines; each event once."""
        found: dict[str, tuple[Entry, ...]] = {}
        own, heat, quality = project or "*", ThermalThrottled, watched.PerformanceMeasured
        types = [kind.type for kind in _READ if kind not in (heat, quality)]
        reads = ((types, own, _LATE), ([heat.type], "*", _LATE), ([quality.type], own, None))
        for wanted, scope, late in reads:
            async for message in self._said(wanted, scope, period, late):
                found.setdefault(message.id, _READ[type(message)](message))
        own_time = (one for entries in found.values() for one in entries if period.holds(one.at))
        return sorted(own_time, key=attrgetter("at"))  # once for all reports of the period

    async def machines(self, period: Period) -> tuple[Machine, ...]:
        """Return what machines did; a sample that came twice counts once."""
        machines, samples = Machines(period), Samples()
        async for message in self._said([TelemetrySampled.type], "*", period, _LATE):
            if isinstance(message, TelemetrySampled):
                machines.add(samples.read(message))
        return machines.found()

    async def _said(
        self, types: Sequence[str], scope: str, period: Period, late: timedelta | None
    ) -> AsyncIterator[Message]:
        """Yield what was stored from the period on, until *late* after it: to the end of the record for None."""
        since = period.since - _LEAD
        async for one in self._history.follow(types, scope, since=since, live=False):
            if late is not None and one.stored_at > period.until + late:
                return
            try:
                message = read_envelope(one.envelope)
            except MessageError:
                continue  # a stranger's words; no report may fail for them
            if message.subject == one.subject:  # else it is not what it was stored as
                yield message


def _metered(event: served.DeploymentMetered) -> Sequence[Entry]:
    return [
        made.Metered(
            project=event.project,
            model=event.model,
            version=event.version,
            at=event.since,
            predictions=event.predictions,
            requests=event.requests,
            failed=event.failed,
            times=event.latency_counts,
            joules=None if event.energy is None else event.energy.joules,
        )
    ]


def _measured(event: watched.PerformanceMeasured) -> Sequence[Entry]:
    if event.partial:
        return []  # the same window is measured again when it is full
    return [
        made.Measured(
            project=event.project,
            model=event.model,
            version=event.version,
            at=event.window.last_at,
            metric=event.metric,
            value=event.value,
            expected=event.expected,
            degraded=event.degraded,
            rows=event.window.labelled,
            standard_error=event.standard_error,
        )
    ]


def _degraded(event: watched.PerformanceDegraded) -> Sequence[Entry]:
    text = f"{event.metric} of {event.model} v{event.version} is {event.value:.4g}, the bound is {event.threshold:.4g}"
    why = "; ".join(f"{one.cause}: {one.evidence}" for one in event.suspects)
    return [Moment(event.project, event.time, Lane.DEGRADED, text, event.model, why)]


def _drifted(event: watched.DriftDetected) -> Sequence[Entry]:
    columns = tuple((one.name, one.score) for one in event.columns if one.drifted)
    drift = made.Drifted(
        project=event.project,
        model=event.model,
        version=event.version,
        at=event.window.last_at,
        kind=event.kind.value,
        severity=event.severity.value,
        share=event.share_drifted_ratio,
        columns=columns,
    )
    text = f"{event.kind.value} drift of {event.model} v{event.version}, {event.share_drifted_ratio:.0%} of its columns"
    named = ", ".join(name for name, _ in columns[:5])
    return [drift, Moment(event.project, event.time, Lane.DRIFT, text, event.model, named)]


def _queued(event: flows.WorkflowQueued) -> Sequence[Entry]:
    text = f"{event.kind.value} of {event.model or 'the project'} was queued"
    return [Moment(event.project, event.time, Lane.RETRAINING, text, event.model or "", event.why)]


def _declined(event: flows.WorkflowDeclined) -> Sequence[Entry]:
    text = f"{event.kind.value} of {event.model or 'the project'} was declined"
    return [Moment(event.project, event.time, Lane.DECLINED, text, event.model or "", event.reason)]


def _worked(event: flows.WorkflowCompleted | flows.WorkflowFailed) -> Sequence[Entry]:
    failed = isinstance(event, flows.WorkflowFailed)
    training = made.Training(
        project=event.project,
        name=event.workflow_key,
        kind=event.kind.value,
        outcome="failed" if failed else "completed",
        at=event.time,
        lasted_s=event.duration_s,
        joules=None if event.energy is None else event.energy.joules,
    )
    if not isinstance(event, flows.WorkflowFailed):
        return [training]
    text, why = f"{event.kind.value} failed in {event.step or 'a step'}", event.diagnosis[:300]
    return [
        training,
        Moment(event.project, event.time, Lane.FAILED, text, event.model or "", why),
    ]


def _ran(event: tracked.RunCompleted | tracked.RunFailed | tracked.RunStale) -> Sequence[Entry]:
    if _WORKFLOW in event.tags:
        return []  # its workflow tells of it, energy included
    began, ended = event.started_at, event.ended_at
    return [
        made.Training(
            project=event.project,
            name=event.run_name or event.run_id,
            kind="run",
            outcome=event.type.partition(".")[2],
            at=event.time,
            lasted_s=(ended - began).total_seconds() if began and ended else None,
            joules=None if event.energy is None else event.energy.joules,
        )
    ]


def _decided(event: tracked.ModelPromoted | tracked.ModelRejected) -> Sequence[Entry]:
    what = "was promoted" if isinstance(event, tracked.ModelPromoted) else "was kept back"
    text = f"{event.name} v{event.version} {what}"
    return [Moment(event.project, event.time, Lane.VERSION, text, event.name, event.reason)]


def _completed(event: served.DeploymentCompleted) -> Sequence[Entry]:
    before = "" if event.previous_version is None else f" in place of v{event.previous_version}"
    text = f"{event.model} v{event.version} answers{before}"
    return [Moment(event.project, event.time, Lane.ROLLOUT, text, event.model)]


def _reverted(event: served.DeploymentReverted) -> Sequence[Entry]:
    back = "" if event.to_version is None else f", v{event.to_version} answers again"
    text = f"{event.model} v{event.version} was taken back{back}"
    return [Moment(event.project, event.time, Lane.REVERTED, text, event.model, event.reason)]


def _undeployable(event: served.DeploymentFailed) -> Sequence[Entry]:
    text = f"{event.model} v{event.version} could not be brought up"
    why = event.reason[:300]
    return [Moment(event.project, event.time, Lane.FAILED, text, event.model, why)]


def _raised(event: watched.AlertRaised) -> Sequence[Entry]:
    alert = made.AlertOpened(
        event.project, event.alert_id, event.severity.value, event.title, event.time
    )
    model = event.about_model or ""
    return [alert, Moment(event.project, event.time, Lane.ALERT, event.title, model)]


def _resolved(event: watched.AlertResolved) -> Sequence[Entry]:
    return [made.AlertClosed(event.project, event.alert_id, event.time, event.reason)]


def _throttled(event: ThermalThrottled) -> Sequence[Entry]:
    text = f"{event.node} slows down, level {event.level}"
    return [Moment(event.node, event.time, Lane.HEAT, text, why=event.reason)]


def _reader(kind: type[M], read: Callable[[M], Sequence[Entry]]) -> _Reader:
    """Return *read* for any message; those of other types make no entry."""
    return lambda message: tuple(read(message)) if isinstance(message, kind) else ()


_Reader = Callable[[Message], tuple[Entry, ...]]
_READ: Mapping[type[Message], _Reader] = {
    served.DeploymentMetered: _reader(served.DeploymentMetered, _metered),
    served.DeploymentCompleted: _reader(served.DeploymentCompleted, _completed),
    served.DeploymentReverted: _reader(served.DeploymentReverted, _reverted),
    served.DeploymentFailed: _reader(served.DeploymentFailed, _undeployable),
    watched.PerformanceMeasured: _reader(watched.PerformanceMeasured, _measured),
    watched.PerformanceDegraded: _reader(watched.PerformanceDegraded, _degraded),
    watched.DriftDetected: _reader(watched.DriftDetected, _drifted),
    watched.AlertRaised: _reader(watched.AlertRaised, _raised),
    watched.AlertResolved: _reader(watched.AlertResolved, _resolved),
    flows.WorkflowQueued: _reader(flows.WorkflowQueued, _queued),
    flows.WorkflowDeclined: _reader(flows.WorkflowDeclined, _declined),
    flows.WorkflowCompleted: _reader(flows.WorkflowCompleted, _worked),
    flows.WorkflowFailed: _reader(flows.WorkflowFailed, _worked),
    tracked.RunCompleted: _reader(tracked.RunCompleted, _ran),
    tracked.RunFailed: _reader(tracked.RunFailed, _ran),
    tracked.RunStale: _reader(tracked.RunStale, _ran),
    tracked.ModelPromoted: _reader(tracked.ModelPromoted, _decided),
    tracked.ModelRejected: _reader(tracked.ModelRejected, _decided),
    ThermalThrottled: _reader(ThermalThrottled, _throttled),
}
