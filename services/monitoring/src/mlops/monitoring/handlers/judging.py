# SPDX-License-Identifier: Apache-2.0
"""Judge: what follows for a model once rows, labels or a deployment have been written down.

`advance` is the one procedure: whatever came, it looks at full windows whose inputs nobody has looked at, then
measures those that are due. So the order in which news of different kinds arrive does not matter.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from itertools import dropwhile

from mlops.contracts.settings import Goal
from mlops.monitoring.handlers import concept, growing, labels, telling
from mlops.monitoring.handlers.heat import HeatLog
from mlops.monitoring.handlers.looking import Looking
from mlops.monitoring.handlers.turn import Turn
from mlops.monitoring.model.alarm import Alarm, Edge, Kind, signs, step
from mlops.monitoring.model.drift import WindowVerdict
from mlops.monitoring.model.metrics import can_measure, measure_rows, plain_name
from mlops.monitoring.model.performance import Promise
from mlops.monitoring.model.phases import lacking
from mlops.monitoring.model.suspects import suspects
from mlops.monitoring.model.vectors import answer_columns
from mlops.monitoring.model.windows import (
    MOST_REFERENCE_ROWS,
    Phase,
    Row,
    Summary,
    Watched,
    Window,
    columns_of,
    longest_reference,
    on_reference,
    reference_windows,
)
from mlops.monitoring.ports import Baseline, Reports, WatchedProject, Which

_LOOK_BACK = 200
_LOOK_FAR_BACK = 1000  # labels may have been waited for while hundreds of windows filled
_MISSES_CONSIDERED = 2


class Judge:
    """Looks at inputs, measures performance, keeps alarms; all within the write of the message that caused it."""

    def __init__(self, reports: Reports, heat: HeatLog) -> None:
        self._reports = reports
        self._heat = heat
        self._looking = Looking()

    def advance(self, turn: Turn) -> None:
        """Look at the inputs of full windows, then measure those that are due; oldest first."""
        for window in _full(turn):
            if window.inputs is None and turn.model.judges(window.version):
                turn.page.windows.put(turn.key, self._inspect(turn, window))
        for window in _full(turn):
            if turn.is_due(window):
                self.conclude(turn, window, "within the horizon")

    def conclude(self, turn: Turn, window: Window, when: str) -> None:
        """Measure a window whose labels are waited for no longer, or give it up when they say nothing."""
        needed = window.labels_needed(by_horizon=turn.horizon_s is not None)
        if window.labelled >= needed:
            self._measure(turn, window)
            labels.inspect(turn, window)
            return
        turn.page.windows.put(turn.key, replace(window, phase=Phase.EXPIRED))
        if window.labelled or turn.horizon_s is not None:  # else nobody ever sends labels
            metric = turn.project.evaluate.metric
            turn.tell(telling.unmeasured(turn.key, window, metric, needed, when))

    def catch_up(self, turn: Turn) -> None:
        """Look at the inputs of windows that a version filled before the news of its deployment came."""
        for window in turn.page.windows.latest(turn.key, _LOOK_BACK):
            waits = window.index is not None and window.inputs is None and window.stored
            if waits and turn.model.judges(window.version):
                turn.page.windows.put(turn.key, self._inspect(turn, window))

    def look(self, turn: Turn, window: Window) -> WindowVerdict:
        """Return what the inputs of a window say; unjudged without a reference."""
        return self._looking.at(turn, window)

    def count_ahead(self, turn: Turn, window: Window) -> None:
        """Count the next part of a large open window, if it will be judged when it is full."""
        if turn.model.judges(window.version):
            self._looking.ahead(turn, window)

    def clear_alarms(self, turn: Turn) -> None:
        """End every open alarm, because there is a new version or a new reference."""
        model = turn.model
        last = [w for w in turn.page.windows.latest(turn.key, _LOOK_BACK) if w.index is not None][
            -1:
        ]
        for name, alarm in model.alarms.items():
            if alarm.on and last:
                turn.tell(telling.drift_cleared(turn.key, last[0], Kind(name)))
        turn.page.models.put(replace(model, alarms={}))

    def _inspect(self, turn: Turn, window: Window) -> Window:
        if turn.page.baselines.made(turn.key, window.version) is None:
            return replace(window, inputs=Summary(unjudged=_collect(turn, window)))
        verdict = self.look(turn, window)
        if verdict.unjudged is not None:
            return replace(window, inputs=Summary(unjudged=verdict.unjudged))
        found = signs(verdict, turn.project.monitor.drift.share)
        columns = dict.fromkeys(
            column for sign in found.values() if sign.seen for column in sign.columns
        )
        seen = tuple(kind.value for kind, sign in found.items() if sign.seen)
        new = telling.first_names(verdict.unexpected)
        summary = Summary(None, verdict.share, tuple(columns), seen, verdict.allowed, new)
        window = replace(window, inputs=summary)
        self._alarm(turn, window, verdict)
        growing.after(turn, window, verdict, lacks=self._looking.lacks(turn, window.version))
        return window

    def _alarm(self, turn: Turn, window: Window, verdict: WindowVerdict) -> None:
        drift, model = turn.project.monitor.drift, turn.model
        alarms = dict(model.alarms)
        for kind, sign in signs(verdict, drift.share).items():
            before = alarms.get(kind.value, Alarm())
            alarms[kind.value], edge = step(before, kind, sign, drift.persist_windows)
            if edge is Edge.CLEARED:
                turn.tell(telling.drift_cleared(turn.key, window, kind))
            elif edge is not None:
                self._tell_drift(turn, window, kind, alarms[kind.value], verdict)
        turn.page.models.put(replace(model, alarms=alarms))

    def _tell_drift(
        self, turn: Turn, window: Window, kind: Kind, alarm: Alarm, verdict: WindowVerdict
    ) -> None:
        name = _report_name(window, "drift")
        uri = self._reports.uri(turn.key, name)
        first = not any(told.type == "drift.detected" for told in turn.told)
        message = turn.tell(telling.drift_detected(turn.key, window, kind, alarm, verdict, uri))
        if first:
            turn.promise_report(window, "drift", name, message)

    def _measure(self, turn: Turn, window: Window) -> None:
        promise = promise_of(turn.project, turn.model, window.version)
        found = measure_rows(promise.metric, labels.rows_of(turn, window, promise.metric))
        if found is None:
            turn.page.windows.put(turn.key, replace(window, phase=Phase.MEASURED))
            if can_measure(promise.metric):
                turn.tell(telling.without_value(turn.key, window, promise.metric))
            return
        before = [other.missed for other in _before(turn, window)[-_MISSES_CONSIDERED:]]
        window = replace(
            window,
            phase=Phase.MEASURED,
            value=found.value,
            missed=promise.missed_by(found.value),
            degraded=promise.broken_by(found, before),
        )
        turn.page.windows.put(turn.key, window)
        turn.page.models.put(turn.model.showing(window.version, promise.metric, found))
        turn.tell(telling.measured(turn.key, window, promise, found))
        self._compare(turn, window, promise, found.value)

    def _compare(self, turn: Turn, window: Window, promise: Promise, value: float) -> None:
        model, index = turn.model, window.index
        if index is None or index <= model.measured_up_to or not model.judges(window.version):
            return  # labels that came so late say nothing about the model as it answers now
        if window.degraded:
            self._tell_degraded(turn, window, promise, value)
        elif model.degraded and not window.missed:
            turn.tell(telling.recovered(turn.key, window, promise, value))
        concept.inspect(turn, window, promise, value)
        model = turn.model
        turn.page.models.put(
            replace(
                model,
                degraded=window.degraded or (model.degraded and window.missed),
                measured_up_to=index,
            )
        )

    def _tell_degraded(self, turn: Turn, window: Window, promise: Promise, value: float) -> None:
        found = suspects(window, self._heat.heat, len(_before(turn, window)))
        # The report compares inputs, and one per episode is enough: it costs seconds of CPU.
        reported = (
            not turn.model.degraded
            and turn.page.baselines.made(turn.key, window.version) is not None
        )
        name = _report_name(window, "performance")
        uri = self._reports.uri(turn.key, name) if reported else None
        message = turn.tell(telling.degraded(turn.key, window, promise, value, found, uri))
        if reported:
            turn.promise_report(window, "performance", name, message)


def promise_of(project: WatchedProject, model: Watched, version: int | None) -> Promise:
    """Return what a version owes: what it was promoted with, or more when it has shown more."""
    evaluate, allowed = project.evaluate, project.monitor.accuracy
    metrics = model.expected.get(version, {}) if version is not None else {}
    known = {plain_name(name): value for name, value in metrics.items()}
    # The gate's figure is of few rows; a project that knows better what to expect logs `expected_<metric>`.
    gate = known.get(plain_name(evaluate.metric))
    # Without any promise, what the version showed on the reference that somebody brought.
    shown = known.get(plain_name(on_reference(evaluate.metric)))
    promise = Promise(
        metric=evaluate.metric,
        higher_is_better=evaluate.goal is not Goal.MIN,
        expected=known.get(
            plain_name(f"expected_{evaluate.metric}"), shown if gate is None else gate
        ),
        drop=allowed.drop,
        floor=allowed.min,
    )
    return (
        promise
        if version is None
        else promise.outdone_by(model.has_shown(version, evaluate.metric))
    )


def baseline_of(turn: Turn, version: int, rows: Sequence[Row], size: int, origin: str) -> Baseline:
    """Return the reference that *rows* (in the order they came) make."""
    newest = rows[-MOST_REFERENCE_ROWS:]
    times = [row.at for row in newest]
    return Baseline(
        version=version,
        made_at=turn.cause.time,
        origin=origin,
        window_rows=size,
        features=columns_of(newest),
        predictions=[row.prediction for row in newest],
        answers=answer_columns([row.answer for row in newest]),
        times=times if len(set(times)) > 1 else (),  # a table does not say when its rows were
    )


def _collect(turn: Turn, window: Window) -> str:
    """Add a window to the reference being collected; return why its own inputs are not judged."""
    needed = reference_windows(window.size)
    look_back = max(_LOOK_BACK, 2 * longest_reference(window.size))
    latest = turn.page.windows.latest(turn.key, look_back)
    known = [other for other in latest if _collectable(turn.model, other, window)]
    of_version = [one for one in known if one.version == window.version and one.stored]
    if len(of_version) < needed:
        return f"it is part of the reference, which has {len(of_version)} of {needed} windows"
    if short := _too_short(turn, known, of_version):
        return f"it is part of the reference, which {short}"
    rows = deque[Row](maxlen=MOST_REFERENCE_ROWS)
    for one in of_version:
        newest = Which(newest=MOST_REFERENCE_ROWS)
        rows.extend(turn.page.rows.of(turn.key, one.number, newest))
    origin = f"windows {of_version[0].index} to {of_version[-1].index}"
    baseline = baseline_of(turn, window.version, list(rows), window.size, origin)
    turn.page.baselines.put(turn.key, baseline)
    growing.begin(turn, baseline)
    return f"it is part of the reference ({origin})"


def _too_short(turn: Turn, known: Sequence[Window], collected: Sequence[Window]) -> str | None:
    # A cycle that was told wants a longer reference, as far as the rows of one reach; older ones are not kept any longer.
    first, last = collected[0].first_at, collected[-1].last_at
    waited = dropwhile(lambda other: other.version != collected[0].version, known)
    if first is None or last is None or sum(w.rows for w in waited) >= MOST_REFERENCE_ROWS:
        return None
    return lacking(first, last, turn.project.monitor.drift.cycle)


def _collectable(model: Watched, other: Window, upto: Window) -> bool:
    if other.index is None or upto.index is None:
        return False
    return model.reference_from <= other.index <= upto.index


def _before(turn: Turn, window: Window) -> list[Window]:
    """Return the full windows of the same version before this one, oldest first."""
    return [
        other
        for other in turn.page.windows.latest(turn.key, _LOOK_FAR_BACK)
        if other.version == window.version and _earlier(other, window)
    ]


def _earlier(other: Window, window: Window) -> bool:
    return other.index is not None and window.index is not None and other.index < window.index


def _full(turn: Turn) -> list[Window]:
    full = [w for w in turn.page.windows.unfinished(turn.key) if w.phase is Phase.FULL]
    return sorted(full, key=lambda w: w.index or 0)


def _report_name(window: Window, kind: str) -> str:
    return f"v{window.version}-w{window.index or 0:05d}-{kind}"
