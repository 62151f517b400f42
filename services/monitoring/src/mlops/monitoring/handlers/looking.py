# SPDX-License-Identifier: Apache-2.0
"""Compare the inputs and answers of a window with the reference of its version, which is frozen once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

from mlops.monitoring.handlers.telling import far_first
from mlops.monitoring.handlers.turn import Turn
from mlops.monitoring.model.drift import ColumnVerdict, WindowVerdict, judge_tally
from mlops.monitoring.model.growth import SURER, State
from mlops.monitoring.model.reference import Reference, freeze
from mlops.monitoring.model.tally import Tally, count
from mlops.monitoring.model.vectors import answer_columns
from mlops.monitoring.model.windows import ModelKey, Row, Window, columns_of, in_parts
from mlops.monitoring.ports import Baseline

_MOST_FROZEN = 32


@dataclass(frozen=True)
class _Frozen:
    """The reference of a version, and that of the parts of its answers where these are several numbers."""

    rows: Reference
    answers: Reference | None


class Looking:
    """Looks at windows; keeps the newest frozen references, because reading their rows costs more than judging."""

    def __init__(self) -> None:
        self._frozen: dict[tuple[ModelKey, int, str], _Frozen] = {}

    def at(self, turn: Turn, window: Window) -> WindowVerdict:
        """Return what the inputs and answers of a window say; unjudged without a reference."""
        frozen = self._first(turn, window.version)
        if frozen is None:
            return WindowVerdict(unjudged="the reference of this version is still being collected")
        found = _compared(turn, window, frozen)
        grown = self._second(turn, window.version) if found.quiet else None
        if grown is None:
            return found
        # What it says counts beside the first rows, never in their place: so no slow drift is learned.
        more = _compared(turn, window, grown, SURER)
        return found if more.unjudged is not None else more

    def lacks(self, turn: Turn, version: int) -> bool:
        """Return whether the first reference of a version has not seen all hours, or not both kinds of days."""
        frozen = self._first(turn, version)
        return frozen is not None and frozen.rows.unseen is not None

    def _first(self, turn: Turn, version: int) -> _Frozen | None:
        made = turn.page.baselines.made(turn.key, version)
        if made is None:
            return None
        which = f"{made.made_at.isoformat()} {made.origin}"
        return self._reference(turn, version, which, grown=False)

    def _second(self, turn: Turn, version: int) -> _Frozen | None:
        growth = turn.page.baselines.growth(turn.key, version)
        if growth is None or growth.state is not State.WHOLE:
            return None
        if turn.project.monitor.drift.cycle != "auto":
            return None  # a person says what is to be allowed for
        made = turn.page.baselines.made(turn.key, version)
        which = f"grown {made}"
        return self._reference(turn, version, which, grown=True)

    def _reference(self, turn: Turn, version: int, which: str, *, grown: bool) -> _Frozen | None:
        cycle = turn.project.monitor.drift.cycle
        name = (turn.key, version, f"{which} {cycle}")
        if name not in self._frozen:
            baselines = turn.page.baselines
            baseline = (baselines.grown if grown else baselines.get)(turn.key, version)
            if baseline is None:
                return None
            if len(self._frozen) >= _MOST_FROZEN:
                self._frozen.pop(next(iter(self._frozen)))
            self._frozen[name] = _freeze(baseline, cycle, grown=grown)
        return self._frozen[name]


def _compared(turn: Turn, window: Window, frozen: _Frozen, surer: float = 1.0) -> WindowVerdict:
    alpha = surer * turn.project.monitor.drift.alpha
    found = _judged(turn, window, alpha, lambda part: _of_rows(frozen.rows, part))
    if frozen.answers is None:
        return found
    answers = frozen.answers
    return _answering(found, _judged(turn, window, alpha, lambda part: _of_answers(answers, part)))


def _freeze(baseline: Baseline, cycle: str, *, grown: bool) -> _Frozen:
    size, times = baseline.window_rows, baseline.times
    # Grown from many days, so it shows by how much they differ; its own alarms come on top of those of the first.
    rows = freeze(baseline.features, baseline.predictions, size, times, cycle, levels=grown)
    if not baseline.answers:
        return _Frozen(rows, None)
    none = [None] * len(baseline.predictions)
    answers = freeze(baseline.answers, none, size, times, cycle, levels=grown)
    return _Frozen(rows, answers if answers.features else None)


Counted = tuple[Reference, Tally]


def _judged(
    turn: Turn, window: Window, alpha: float, counted: Callable[[Sequence[Row]], Counted]
) -> WindowVerdict:
    parts = [counted(part) for part in in_parts(turn.page.rows.of(turn.key, window.number))]
    tally = reduce(Tally.plus, (found for _, found in parts))
    return judge_tally(parts[0][0], tally, alpha)


def _of_rows(reference: Reference, part: Sequence[Row]) -> Counted:
    answers, times = [row.prediction for row in part], [row.at for row in part]
    return reference, count(reference, columns_of(part, reference.names), answers, times)


def _of_answers(reference: Reference, part: Sequence[Row]) -> Counted:
    columns, times = answer_columns([row.answer for row in part]), [row.at for row in part]
    return reference, count(reference, columns, [None] * len(part), times)


def _answering(found: WindowVerdict, answers: WindowVerdict) -> WindowVerdict:
    """Return what was found, with the part of the answers that drifted furthest, where the answer itself did not."""
    parts = sorted(answers.columns, key=far_first)
    if answers.unjudged is not None or not parts:
        return found
    # Of answers alone something can be said, too: a model may have no inputs that can be compared.
    known = found if found.unjudged is None else WindowVerdict()
    return known if _has_moved(known.prediction) else replace(known, prediction=parts[0])


def _has_moved(column: ColumnVerdict | None) -> bool:
    return column is not None and (column.moved or column.missing_moved)
