# SPDX-License-Identifier: Apache-2.0
"""Compare the truths of a measured window with those of the version's first ones: label drift, a warning always.

The truths of the first windows that are measured after the inputs' reference is known become the reference of labels,
or those of the table that somebody made the reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

from mlops.monitoring.handlers import telling
from mlops.monitoring.handlers.turn import Turn
from mlops.monitoring.model.alarm import Alarm, Edge, Kind, Sign, step
from mlops.monitoring.model.bins import Value, is_missing
from mlops.monitoring.model.drift import WindowVerdict, judge
from mlops.monitoring.model.metrics import Answered, answered_with
from mlops.monitoring.model.reference import freeze
from mlops.monitoring.model.windows import LABELLED_ENOUGH, Row, Window, every, reference_windows
from mlops.monitoring.ports import Which

_LABEL = "label"
_MOST = 20_000
_MANY = 50_000  # of 1 000 000 rows the error of a share is less than .003 then, and nobody waits for seconds


def refer(turn: Turn, version: int, truths: Sequence[Value]) -> None:
    """Take the truths of a reference that somebody brought, those that it knows."""
    known = [truth for truth in truths if not is_missing(truth)]
    if known:
        turn.page.baselines.keep_truths(turn.key, version, known[-_MOST:])


def rows_of(turn: Turn, window: Window, metric: str = "") -> Iterator[Row]:
    """Yield the labelled rows of a window that a *metric* is measured on."""
    return turn.page.rows.of(turn.key, window.number, measured_on(window, metric))


def measured_on(window: Window, metric: str = "") -> Which:
    """Return the labelled rows of a window; where they are very many, spread ones that are many, too.

    For rankings all: a request of which some rows are missing is ranked otherwise.
    """
    whole = answered_with(metric) is Answered.RANK
    return Which(every=1 if whole else every(window.labelled, _MANY), labelled=True)


def inspect(turn: Turn, window: Window) -> None:
    """Add the truths of a window to the reference of labels, or judge them by it and tell what follows."""
    baselines = turn.page.baselines
    unknown = baselines.made(turn.key, window.version) is None
    if unknown or not turn.model.judges(window.version):
        return
    known = baselines.truths(turn.key, window.version)
    needed = LABELLED_ENOUGH * reference_windows(window.size) * window.size
    if len(known) < min(needed, _MOST):
        rows = turn.page.rows.of(turn.key, window.number, Which(labelled=True))
        more = [row.label for row in islice(rows, _MOST - len(known)) if row.truth is None]
        baselines.keep_truths(turn.key, window.version, [*known, *more])
        return
    reference = freeze({}, known, window.size)
    truths = [row.label for row in rows_of(turn, window) if row.truth is None]
    verdict = judge(reference, {}, truths, turn.project.monitor.drift.alpha)
    if verdict.unjudged is None:
        _alarm(turn, window, verdict)


def _alarm(turn: Turn, window: Window, verdict: WindowVerdict) -> None:
    own, model = verdict.prediction, turn.model
    seen = own is not None and own.moved
    sign = Sign(seen, at_once=own is not None and own.big, columns=(_LABEL,))
    before = model.alarms.get(Kind.LABEL.value, Alarm())
    alarm, edge = step(before, Kind.LABEL, sign, turn.project.monitor.drift.persist_windows)
    turn.page.models.put(replace(model, alarms={**model.alarms, Kind.LABEL.value: alarm}))
    if edge is Edge.CLEARED:
        turn.tell(telling.drift_cleared(turn.key, window, Kind.LABEL))
    elif edge is not None and own is not None:
        named = replace(verdict, prediction=replace(own, name=_LABEL))
        turn.tell(telling.drift_detected(turn.key, window, Kind.LABEL, alarm, named, None))
