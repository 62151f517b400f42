# SPDX-License-Identifier: Apache-2.0
"""Compare the inputs and answers of a window with the reference of its version, which is frozen once."""

from __future__ import annotations

from dataclasses import replace

from mlops.monitoring.handlers import counting
from mlops.monitoring.handlers.counting import Frozen
from mlops.monitoring.handlers.telling import far_first
from mlops.monitoring.handlers.turn import Turn
from mlops.monitoring.model.drift import ColumnVerdict, WindowVerdict, judge_tally
from mlops.monitoring.model.growth import SURER, State
from mlops.monitoring.model.reference import freeze
from mlops.monitoring.model.windows import ModelKey, Window
from mlops.monitoring.ports import Baseline

_MOST_FROZEN = 32


class Looking:
    """Looks at windows; keeps the newest frozen references, because reading their rows costs more than judging."""

    def __init__(self) -> None:
        self._frozen: dict[tuple[ModelKey, int, str], Frozen] = {}

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

    def ahead(self, turn: Turn, window: Window) -> None:
        """Count the next part of a large window that fills, where it is whole."""
        first, second = _first_name(turn, window.version), _second_name(turn, window.version)
        for name, grown in ((first, False), (second, True)):
            if name is None or not counting.is_due(turn, window, name):
                continue
            frozen = self._reference(turn, window.version, name, grown=grown)
            if frozen is not None:
                counting.ahead(turn, window, frozen)

    def _first(self, turn: Turn, version: int) -> Frozen | None:
        return self._reference(turn, version, _first_name(turn, version), grown=False)

    def _second(self, turn: Turn, version: int) -> Frozen | None:
        return self._reference(turn, version, _second_name(turn, version), grown=True)

    def _reference(
        self, turn: Turn, version: int, name: str | None, *, grown: bool
    ) -> Frozen | None:
        if name is None:
            return None
        place = (turn.key, version, name)
        if place not in self._frozen:
            baselines = turn.page.baselines
            baseline = (baselines.grown if grown else baselines.get)(turn.key, version)
            if baseline is None:
                return None
            if len(self._frozen) >= _MOST_FROZEN:
                self._frozen.pop(next(iter(self._frozen)))
            self._frozen[place] = _freeze(
                baseline, name, turn.project.monitor.drift.cycle, grown=grown
            )
        return self._frozen[place]


def _first_name(turn: Turn, version: int) -> str | None:
    made = turn.page.baselines.made(turn.key, version)
    if made is None:
        return None
    return (
        f"{made.made_at.isoformat()} {made.origin} {made.rows} {turn.project.monitor.drift.cycle}"
    )


def _second_name(turn: Turn, version: int) -> str | None:
    cycle = turn.project.monitor.drift.cycle
    growth = turn.page.baselines.growth(turn.key, version)
    if growth is None or growth.state is not State.WHOLE or cycle != "auto":
        return None  # where it is told, a person says what is to be allowed for
    return f"grown {turn.page.baselines.made(turn.key, version)} {cycle}"


def _compared(turn: Turn, window: Window, frozen: Frozen, surer: float = 1.0) -> WindowVerdict:
    alpha = surer * turn.project.monitor.drift.alpha
    counted = counting.whole(turn, window, frozen)
    found = judge_tally(frozen.rows, counted.rows, alpha)
    if frozen.answers is None or counted.answers is None:
        return found
    return _answering(found, judge_tally(frozen.answers, counted.answers, alpha))


def _freeze(baseline: Baseline, name: str, cycle: str, *, grown: bool) -> Frozen:
    size, times = baseline.window_rows, baseline.times
    # Grown from many days, so it shows by how much they differ; its own alarms come on top of those of the first.
    rows = freeze(baseline.features, baseline.predictions, size, times, cycle, levels=grown)
    if not baseline.answers:
        return Frozen(name, rows)
    none = [None] * len(baseline.predictions)
    answers = freeze(baseline.answers, none, size, times, cycle, levels=grown)
    return Frozen(name, rows, answers if answers.features else None)


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
