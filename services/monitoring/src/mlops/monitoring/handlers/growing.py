# SPDX-License-Identifier: Apache-2.0
"""Let a second reference grow from quiet windows, where the one of the first traffic has not seen the whole day or week.

All of it is written with the judgement of the window whose rows join.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from mlops.monitoring.handlers.turn import Turn
from mlops.monitoring.model.alarm import Kind
from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.drift import WindowVerdict
from mlops.monitoring.model.growth import Growth, State, may_want, wanted
from mlops.monitoring.model.vectors import answer_columns
from mlops.monitoring.model.windows import Row, Window, columns_of, every, in_parts
from mlops.monitoring.ports import Baseline, Columns, Which

T = TypeVar("T")

# Of an hour a hundred rows are wanted: of a million rows not all need to be read for them.
_ROWS_TO_LOOK_AT = 20_000
_OF_INPUTS = (Kind.DATA, Kind.PREDICTION, Kind.MISSING)


def begin(turn: Turn, baseline: Baseline) -> None:
    """Begin with the rows of a reference that was taken from traffic, where they say when they were."""
    if baseline.times:
        growth = Growth().with_rows(baseline.times)
        turn.page.baselines.grow(turn.key, baseline.version, growth)


def after(turn: Turn, window: Window, verdict: WindowVerdict, *, lacks: bool) -> None:
    """Add rows of a judged window; *lacks*: the first reference has not seen all hours, or not both kinds of days."""
    growth = turn.page.baselines.growth(turn.key, window.version)
    if growth is None or growth.state is not State.GROWS:
        return
    if turn.project.monitor.drift.cycle != "auto":
        return  # a person says what is to be allowed for
    if not lacks or _drifts(turn):
        state = State.ENDED if lacks else State.NEEDLESS
        turn.page.baselines.grow(turn.key, window.version, replace(growth, state=state))
    elif verdict.quiet and not turn.model.degraded:
        _add(turn, window, growth)


def _drifts(turn: Turn) -> bool:
    alarms = turn.model.alarms
    return any(kind in alarms and alarms[kind].on for kind in _OF_INPUTS)


def _add(turn: Turn, window: Window, growth: Growth) -> None:
    first, last = window.first_at, window.last_at
    if first is None or last is None:
        return
    rows = list[Row]()
    if may_want(growth.places, first, last):
        some = Which(every=every(window.rows, _ROWS_TO_LOOK_AT))
        for part in in_parts(turn.page.rows.of(turn.key, window.number, some)):
            taken = [part[place] for place in wanted(growth.places, [row.at for row in part])]
            growth = growth.with_rows([row.at for row in taken])
            rows += taken
    grown = growth.after(last)
    if rows or grown.state is not growth.state:
        turn.page.baselines.grow(turn.key, window.version, grown, _with(turn, window, rows))


def _with(turn: Turn, window: Window, rows: Sequence[Row]) -> Baseline | None:
    baselines = turn.page.baselines
    known = baselines.grown(turn.key, window.version) or baselines.get(turn.key, window.version)
    return None if known is None else _joined(known, rows, window)


def _joined(known: Baseline, rows: Sequence[Row], window: Window) -> Baseline:
    times = [*known.times, *(row.at for row in rows)]
    order = sorted(range(len(times)), key=times.__getitem__)
    answers = answer_columns([row.answer for row in rows])
    first = known.origin.partition(",")[0]
    return replace(
        known,
        origin=f"{first}, grown up to window {window.index}",
        features=_columns(known.features, columns_of(rows), order),
        predictions=_in_order([*known.predictions, *(row.prediction for row in rows)], order),
        times=_in_order(times, order),
        answers=_columns(known.answers, answers, order),
    )


def _columns(columns: Columns, more: Columns, order: Sequence[int]) -> Columns:
    # Columns of the first rows are those that the model is known by.
    return {
        name: _in_order([*values, *more.get(name, _none(len(order) - len(values)))], order)
        for name, values in columns.items()
    }


def _none(rows: int) -> list[Value]:
    return [None] * rows


def _in_order(values: Sequence[T], order: Sequence[int]) -> list[T]:
    return [values[place] for place in order]
