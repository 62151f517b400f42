# SPDX-License-Identifier: Apache-2.0
"""The figures of a report: how models did, what they answered and took, and what became of it, within a period."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter

from mlops.monitoring.model.reports_entries import (
    AlertClosed,
    AlertOpened,
    Change,
    Drifted,
    Entry,
    Lane,
    Measured,
    Metered,
    Moment,
    Training,
)
from mlops.monitoring.model.reports_machines import Machine
from mlops.monitoring.model.reports_period import Period

_MOST_MOMENTS = 400
_MOST_WINDOWS = 1000
_OfModel = Metered | Measured | Drifted


@dataclass(frozen=True)
class Traffic:
    """What was answered: in a step, by a model, or by all; None is what nobody could tell."""

    predictions: int = 0
    requests: int | None = None
    failed: int | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    joules: float | None = None
    joules_per_1000: float | None = None


@dataclass(frozen=True)
class Step:
    """A step of the period, and what was answered in it."""

    at: datetime
    traffic: Traffic


@dataclass(frozen=True)
class Quality:
    """A model by its labels: the mean over the labelled rows, what was promised last, and the newest windows."""

    metric: str
    value: float
    expected: float | None
    rows: int
    degraded_windows: int
    windows: tuple[Measured, ...]
    windows_left_out: int


@dataclass(frozen=True)
class ModelFigures:
    """One model within the period."""

    project: str
    model: str
    versions: tuple[int, ...]
    traffic: Traffic
    steps: tuple[Step, ...]
    quality: tuple[Quality, ...]
    drifts: tuple[Drifted, ...]


@dataclass(frozen=True)
class AlertFigures:
    """An alert of the period, and when it ended, if it did."""

    opened: AlertOpened
    closed: AlertClosed | None


@dataclass(frozen=True)
class Report:
    """Everything that a page shows; `project` is None when it is about all of them.

    `changes` are against the period before; there are none where nothing was recorded of it.
    """

    project: str | None
    period: Period
    traffic: Traffic
    models: tuple[ModelFigures, ...]
    trainings: tuple[Training, ...]
    alerts: tuple[AlertFigures, ...]
    moments: tuple[Moment, ...]
    moments_left_out: int
    machines: tuple[Machine, ...]
    by_step: tuple[Step, ...] = ()
    changes: tuple[Change, ...] = ()

    @property
    def empty(self) -> bool:
        """Return whether nothing of it was recorded; machines alone make no report."""
        own = [one for one in self.moments if one.lane is not Lane.HEAT]
        return not (self.models or self.trainings or self.alerts or own)


class Answers:
    """Adds up answer times given as counts by the place of an edge; *edges* are in ms."""

    def __init__(self, edges: Sequence[float]) -> None:
        self._edges = edges

    def quantile(self, counts: Iterable[Mapping[str, int]], share: float) -> float | None:
        """Return the time that *share* of the answers did not exceed; None without any."""
        added: dict[int, int] = {}
        for one in counts:
            for told, number in one.items():
                if told.isdecimal() and int(told) <= len(self._edges) and number > 0:
                    added[int(told)] = added.get(int(told), 0) + number
        wanted, seen = share * sum(added.values()), 0
        for place in sorted(added):
            seen += added[place]
            if seen >= wanted:
                return self._edges[min(place, len(self._edges) - 1)]
        return None


def report(
    entries: Sequence[Entry],
    machines: Sequence[Machine],
    period: Period,
    project: str | None,
    answers: Answers,
) -> Report:
    """Return the figures of *project*, or of all for None; entries of other times are left out."""
    own = [
        one
        for one in sorted(entries, key=attrgetter("at"))
        if period.holds(one.at) and _concerns(one, project)
    ]
    metered = [one for one in own if isinstance(one, Metered)]
    moments = [one for one in own if isinstance(one, Moment)]
    return Report(
        project=project,
        period=period,
        traffic=traffic(metered, answers),
        models=_models(own, period, answers),
        trainings=tuple(one for one in own if isinstance(one, Training)),
        alerts=_alerts(own),
        moments=tuple(moments[-_MOST_MOMENTS:]),
        moments_left_out=max(0, len(moments) - _MOST_MOMENTS),
        machines=tuple(machines),
        by_step=_steps(metered, period, answers),
    )


def traffic(metered: Sequence[Metered], answers: Answers) -> Traffic:
    """Return the sum of windows."""
    with_energy = [one for one in metered if one.joules is not None]
    joules = sum(one.joules or 0.0 for one in with_energy) if with_energy else None
    counted = sum(one.predictions for one in with_energy)
    times = [one.times for one in metered]
    return Traffic(
        predictions=sum(one.predictions for one in metered),
        requests=_sum(one.requests for one in metered),
        failed=_sum(one.failed for one in metered),
        p50_ms=answers.quantile(times, 0.5),
        p95_ms=answers.quantile(times, 0.95),
        joules=joules,
        joules_per_1000=1000 * joules / counted if joules is not None and counted else None,
    )


def _concerns(entry: Entry, project: str | None) -> bool:
    if not isinstance(entry, Moment):
        return project is None or entry.project == project
    # The heat of machines is everybody's; a machine may be called as another project is.
    return project is None or entry.lane is Lane.HEAT or entry.scope == project


def _models(entries: Sequence[Entry], period: Period, answers: Answers) -> tuple[ModelFigures, ...]:
    known: dict[tuple[str, str], list[_OfModel]] = {}
    for one in entries:
        if isinstance(one, Metered | Measured | Drifted):
            known.setdefault((one.project, one.model), []).append(one)
    return tuple(_model(own, period, answers) for _, own in sorted(known.items()))


def _model(entries: Sequence[_OfModel], period: Period, answers: Answers) -> ModelFigures:
    metered = [one for one in entries if isinstance(one, Metered)]
    return ModelFigures(
        project=entries[0].project,
        model=entries[0].model,
        versions=tuple(sorted({one.version for one in entries})),
        traffic=traffic(metered, answers),
        steps=_steps(metered, period, answers),
        quality=_quality([one for one in entries if isinstance(one, Measured)]),
        drifts=tuple(one for one in entries if isinstance(one, Drifted)),
    )


def _steps(metered: Iterable[Metered], period: Period, answers: Answers) -> tuple[Step, ...]:
    places: dict[datetime, list[Metered]] = {}
    for one in metered:
        places.setdefault(period.place(one.at), []).append(one)
    return tuple(Step(at, traffic(places[at], answers)) for at in sorted(places))


def _quality(measured: Sequence[Measured]) -> tuple[Quality, ...]:
    found = []
    known: dict[str, list[Measured]] = {}
    for one in measured:
        known.setdefault(one.metric, []).append(one)
    for metric, windows in known.items():
        rows = sum(one.rows for one in windows)
        weighed = sum(one.value * one.rows for one in windows)
        found.append(
            Quality(
                metric=metric,
                value=weighed / rows if rows else windows[-1].value,
                expected=windows[-1].expected,
                rows=rows,
                degraded_windows=sum(one.degraded for one in windows),
                windows=tuple(windows[-_MOST_WINDOWS:]),
                windows_left_out=max(0, len(windows) - _MOST_WINDOWS),
            )
        )
    return tuple(found)


def _alerts(entries: Sequence[Entry]) -> tuple[AlertFigures, ...]:
    """Return every alert once, as it was told first, and its end unless it came back after that."""
    opened = [one for one in entries if isinstance(one, AlertOpened)]
    first = {one.alert_id: one for one in reversed(opened)}
    last = {one.alert_id: one.at for one in opened}
    closed = {
        one.alert_id: one
        for one in entries
        if isinstance(one, AlertClosed) and one.at >= last.get(one.alert_id, one.at)
    }
    return tuple(
        AlertFigures(first[alert_id], closed.get(alert_id))
        for alert_id in dict.fromkeys(one.alert_id for one in opened)
    )


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
