# SPDX-License-Identifier: Apache-2.0
"""Has a window left its reference? Three questions: one column by far, many by a little, two no longer together.

Statistics and effect must both speak: chance alone fires on everything in large windows, effect alone on noise in
small ones. A window that cannot be judged says why; that is never the same as "no drift".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from mlops.monitoring.model.bins import Values
from mlops.monitoring.model.chances import adjusted
from mlops.monitoring.model.distance import Distance, distance
from mlops.monitoring.model.jointly import changed_pairs, moved_together
from mlops.monitoring.model.phases import MIN_CYCLES
from mlops.monitoring.model.reference import MIN_ROWS, Column, Reference
from mlops.monitoring.model.tally import Tally, count
from mlops.monitoring.model.unseen import MOST_VARIATION, Allowance

MIN_WINDOW_ROWS = 200
W1_MOVED = 0.08
PSI_MOVED = 0.1
TVD_MOVED = 0.05
MISSING_MOVED = 0.02
BEYOND_MOVED = 0.02
BIG = 0.25
# With alpha = .05 these are the levels the rule was calibrated at: .4 % columns, .2 % answers, .1 % together, .2 % pairs.
_COLUMNS_LEVEL, _ANSWERS_LEVEL, _JOINT_LEVEL, _PAIRS_LEVEL = 0.08, 0.04, 0.02, 0.04
# Far out the tails of small samples are heavier than those of the normal curve: fewer rows must be surer.
_ENOUGH_ROWS = 1000
_PART_SURE = 0.01  # which part of a rejected column it was: values or missing values
_BIG_SURE = 1e-4
_MOSTLY = 0.3  # of a shift, noise included, that is due to values the reference never had


@dataclass(frozen=True)
class ColumnVerdict:
    """How far one column is from its reference.

    `p` is corrected for the number of columns; `moved` and `missing_moved` tell which part of it drifted. `test` names
    what is most telling: `w1` or `psi` (spread differently), `tvd` (categories), `range` or `unseen` (values that the
    reference never had), `constant`, `missing`, `absent` (the column does not come), `type` (no numbers any more),
    `hour` (no further than hours explain that the reference has not seen).
    """

    name: str
    test: str
    score: float
    threshold: float
    p: float
    missing_ratio: float
    moved: bool
    missing_moved: bool
    big: bool


@dataclass(frozen=True)
class WindowVerdict:
    """What a window says; `unjudged` holds the reason when it cannot be judged.

    `unexpected` names columns that the reference does not have; that is no drift of those that the model knows.
    `allowed` says what was not told because hours may explain it that the reference has not seen.
    """

    columns: tuple[ColumnVerdict, ...] = ()
    prediction: ColumnVerdict | None = None
    together: bool = False
    pairs: tuple[tuple[str, str], ...] = ()
    unjudged: str | None = None
    unexpected: tuple[str, ...] = ()
    allowed: str | None = None

    @property
    def quiet(self) -> bool:
        """Return whether it was judged and nothing was seen."""
        own = self.prediction is not None and (
            self.prediction.moved or self.prediction.missing_moved
        )
        seen = self.moved or self.gone or self.together or self.pairs or own
        return self.unjudged is None and not seen

    @property
    def moved(self) -> tuple[ColumnVerdict, ...]:
        """Return the features whose values drifted."""
        return tuple(column for column in self.columns if column.moved)

    @property
    def gone(self) -> tuple[ColumnVerdict, ...]:
        """Return the features whose share of missing values drifted."""
        return tuple(column for column in self.columns if column.missing_moved)

    @property
    def share(self) -> float:
        """Return the share of the features that drifted in either way."""
        drifted = sum(column.moved or column.missing_moved for column in self.columns)
        return drifted / len(self.columns) if self.columns else 0.0


def judge(
    reference: Reference,
    features: Mapping[str, Values],
    predictions: Values,
    alpha: float = 0.05,
    times: Sequence[datetime] = (),
) -> WindowVerdict:
    """Compare a window with its reference at false-discovery rate *alpha* (.05 is what was calibrated).

    A reference with phases needs the *times* of the rows.
    """
    return judge_tally(reference, count(reference, features, predictions, times), alpha)


def judge_tally(reference: Reference, tally: Tally, alpha: float = 0.05) -> WindowVerdict:
    """Compare a counted window with the reference that it was counted against."""
    if reason := _cannot_judge(reference, tally):
        return WindowVerdict(unjudged=reason, unexpected=tuple(sorted(tally.strange)))
    rows = int(tally.phases.sum())
    alpha *= math.sqrt(min(1.0, min(rows, reference.rows) / _ENOUGH_ROWS))
    unseen = reference.unseen
    allowed = Allowance() if unseen is None else unseen.allowance(tally.clock / rows)
    measured = [
        distance(column, found)
        for column, found in zip(reference.columns, tally.counts, strict=True)
    ]
    features = len(reference.features)
    columns = _verdicts(reference, tally, measured, allowed, alpha)
    level = _JOINT_LEVEL * alpha
    return WindowVerdict(
        columns=tuple(columns[:features]),
        prediction=columns[-1] if reference.prediction is not None else None,
        together=moved_together(reference, measured[:features], rows, allowed, level),
        pairs=changed_pairs(reference, tally, rows, allowed, _PAIRS_LEVEL * alpha),
        unexpected=tuple(sorted(tally.strange)),
        allowed=allowed.told,
    )


def _verdicts(
    reference: Reference,
    tally: Tally,
    measured: Sequence[Distance],
    allowed: Allowance,
    alpha: float,
) -> list[ColumnVerdict]:
    features = len(reference.features)
    corrected = adjusted([one.p for one in measured[:features]])
    corrected += [one.p for one in measured[features:]]
    levels = [_COLUMNS_LEVEL * alpha] * features + [_ANSWERS_LEVEL * alpha]
    strangers = [found / tally.rows for found in tally.strangers]
    return [
        _verdict(_Seen(column, one, p, strange, column.name in tally.absent), allowed, level)
        for column, one, p, strange, level in zip(
            reference.columns, measured, corrected, strangers, levels, strict=False
        )
    ]


def _cannot_judge(reference: Reference, tally: Tally) -> str | None:
    rows = tally.rows
    if rows < MIN_WINDOW_ROWS:
        return f"the window has {rows} rows, {MIN_WINDOW_ROWS} are needed; raise [monitor].window"
    if reference.rows < MIN_ROWS:
        return f"the reference has {reference.rows} rows, {MIN_ROWS} are needed"
    if not reference.features and reference.prediction is None:
        return "no column of the reference can be compared: all are empty or hardly ever repeat a value"
    phases, known = reference.phases, int(tally.phases.sum())
    if phases is not None and phases.cycles < MIN_CYCLES:
        return (
            f"the reference spans {phases.cycles:.2g} cycles of {phases.period_s / 3600:g} h; "
            f"{MIN_CYCLES:g} are needed to know what is normal in each part of it"
        )
    if known < MIN_WINDOW_ROWS:
        return (
            f"{known} of {rows} rows are of hours that the reference has seen often enough, "
            f"{MIN_WINDOW_ROWS} are needed; take a longer reference or set [monitor.drift] cycle"
        )
    return None


@dataclass(frozen=True)
class _Seen:
    """One column of a window: what was measured, its corrected chance, and what came in its place."""

    column: Column
    one: Distance
    corrected: float
    strangers: float
    absent: bool


def _verdict(seen: _Seen, allowed: Allowance, level: float) -> ColumnVerdict:
    column, one = seen.column, seen.one
    rejected = seen.corrected <= level
    by_hour = one.excess < _by_hour(one, allowed)
    moved = rejected and one.p_present < _PART_SURE and _is_far(column, one) and not by_hour
    missing = rejected and one.p_missing < _PART_SURE and one.missing_shift >= MISSING_MOVED
    big = rejected and one.p < _BIG_SURE and max(one.effect, one.missing_shift) >= BIG
    test, score, least = _told(seen, moved=moved, missing=missing)
    if by_hour and score >= least and not missing:
        test, score, least = "hour", one.excess, _by_hour(one, allowed)
    return ColumnVerdict(
        name=column.name,
        test=test,
        score=score,
        threshold=least,
        p=seen.corrected,
        missing_ratio=one.missing,
        moved=moved,
        missing_moved=missing,
        big=big and (moved or missing),
    )


def _by_hour(one: Distance, allowed: Allowance) -> float:
    return min(MOST_VARIATION, allowed.variation + min(allowed.variation, one.noise) / 2)


def _is_far(column: Column, one: Distance) -> bool:
    if column.categorical:
        return one.effect >= TVD_MOVED
    return one.effect >= W1_MOVED or one.psi >= PSI_MOVED or one.beyond >= BEYOND_MOVED


def _told(seen: _Seen, *, moved: bool, missing: bool) -> tuple[str, float, float]:
    """Return the name of what is most telling about a column, how much of it there is, and from where on it counts."""
    column, one = seen.column, seen.one
    plain = ("tvd", TVD_MOVED) if column.categorical else ("w1", W1_MOVED)
    if missing and not moved:
        word = "absent" if seen.absent else "missing"
        # Text where numbers were is no missing value, though it can be compared as little.
        word = "type" if seen.strangers >= one.missing_shift / 2 and not seen.absent else word
        return word, one.missing_shift, MISSING_MOVED
    if not moved:
        return plain[0], one.effect, plain[1]
    if one.constant:
        return "constant", one.effect, plain[1]
    beyond = ("unseen" if column.categorical else "range"), one.beyond, BEYOND_MOVED
    if one.beyond >= max(BEYOND_MOVED, _MOSTLY * one.variation):
        return beyond
    if one.effect >= plain[1]:
        return plain[0], one.effect, plain[1]
    return ("psi", one.psi, PSI_MOVED) if one.psi >= PSI_MOVED else beyond
