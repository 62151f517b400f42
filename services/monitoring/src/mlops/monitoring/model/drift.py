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

import numpy as np

from mlops.monitoring.model.bins import Floats, Values
from mlops.monitoring.model.chances import adjusted, chi2_tail, two_sided
from mlops.monitoring.model.distance import Distance, distance
from mlops.monitoring.model.phases import MIN_CYCLES
from mlops.monitoring.model.reference import MIN_ROWS, Column, Reference
from mlops.monitoring.model.tally import Tally, count

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
_JOINT_MOVED = 0.03
_PAIR_MOVED = 0.15
_PART_SURE = 0.01  # which part of a rejected column it was: values or missing values
_BIG_SURE = 1e-4
_MOSTLY = 0.3  # of a shift, noise included, that is due to values the reference never had
_FLAT = 1e-12


@dataclass(frozen=True)
class ColumnVerdict:
    """How far one column is from its reference.

    `p` is corrected for the number of columns; `moved` and `missing_moved` tell which part of it drifted. `test` names
    what is most telling: `w1` or `psi` (spread differently), `tvd` (categories), `range` or `unseen` (values that the
    reference never had), `constant`, `missing`, `absent` (the column does not come), `type` (no numbers any more).
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
    """

    columns: tuple[ColumnVerdict, ...] = ()
    prediction: ColumnVerdict | None = None
    together: bool = False
    pairs: tuple[tuple[str, str], ...] = ()
    unjudged: str | None = None
    unexpected: tuple[str, ...] = ()

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
    measured = [
        distance(column, found)
        for column, found in zip(reference.columns, tally.counts, strict=True)
    ]
    columns, features = _verdicts(reference, tally, measured, alpha), len(reference.features)
    return WindowVerdict(
        columns=tuple(columns[:features]),
        prediction=columns[-1] if reference.prediction is not None else None,
        together=_moved_together(reference, measured[:features], rows, _JOINT_LEVEL * alpha),
        pairs=_changed_pairs(reference, tally, rows, _PAIRS_LEVEL * alpha),
        unexpected=tuple(sorted(tally.strange)),
    )


def _verdicts(
    reference: Reference, tally: Tally, measured: Sequence[Distance], alpha: float
) -> list[ColumnVerdict]:
    features = len(reference.features)
    corrected = adjusted([one.p for one in measured[:features]])
    corrected += [one.p for one in measured[features:]]
    levels = [_COLUMNS_LEVEL * alpha] * features + [_ANSWERS_LEVEL * alpha]
    return [
        _verdict(_Seen(column, one, p, strangers / tally.rows, column.name in tally.absent), level)
        for column, one, p, strangers, level in zip(
            reference.columns, measured, corrected, tally.strangers, levels, strict=False
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


def _verdict(seen: _Seen, level: float) -> ColumnVerdict:
    column, one = seen.column, seen.one
    rejected = seen.corrected <= level
    threshold = TVD_MOVED if column.categorical else W1_MOVED
    by_psi = not column.categorical and one.psi >= PSI_MOVED
    beyond = not column.categorical and one.beyond >= BEYOND_MOVED
    moved = (
        rejected and one.p_present < _PART_SURE and (one.effect >= threshold or by_psi or beyond)
    )
    missing = rejected and one.p_missing < _PART_SURE and one.missing_shift >= MISSING_MOVED
    big = rejected and one.p < _BIG_SURE and max(one.effect, one.missing_shift) >= BIG
    test, score, least = _told(seen, moved=moved, missing=missing)
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


def _moved_together(
    reference: Reference, measured: Sequence[Distance], rows: int, level: float
) -> bool:
    if reference.terms == 0:
        return False
    total = sum(z * z for one in measured for z in one.z)
    if chi2_tail(total / reference.scale, reference.degrees) >= level:
        return False
    spread = 1 / rows + 1 / reference.rows
    effect = sum(c.design_effect for c in reference.features) / len(reference.features)
    excess = max(0.0, (total - reference.terms) / reference.terms)
    return math.sqrt(excess * spread * effect) >= _JOINT_MOVED


def _changed_pairs(
    reference: Reference, tally: Tally, rows: int, level: float
) -> tuple[tuple[str, str], ...]:
    columns = reference.features
    now = _correlations(tally, rows)
    tests = len(columns) * (len(columns) - 1) // 2
    variance = 1.1 * (1 / (rows - 3) + 1 / min(reference.rows, 5000))
    far = np.triu(np.abs(now - reference.pairs) >= _PAIR_MOVED, 1)
    found = []
    for i, j in zip(*np.nonzero(far), strict=True):
        one, other = columns[int(i)], columns[int(j)]
        scale = math.sqrt(variance * _pair_effect(one, other, dependent=reference.dependent))
        apart = _fisher(float(now[i, j])) - _fisher(float(reference.pairs[i, j]))
        if two_sided(apart / scale) * tests < level:
            found.append((one.name, other.name))
    return tuple(found)


def _correlations(tally: Tally, rows: int) -> Floats:
    means = tally.sums / rows
    about = tally.products / rows - np.outer(means, means)
    deviations = np.sqrt(np.maximum(np.diag(about), 0.0))
    scale = np.outer(deviations, deviations)
    found: Floats = np.divide(about, scale, out=np.zeros_like(about), where=scale > _FLAT)
    return found


def _pair_effect(one: Column, other: Column, *, dependent: bool) -> float:
    if not dependent:
        return 1.0
    product = one.lag1 * other.lag1
    return max((1 + product) / (1 - product), math.sqrt(one.design_effect * other.design_effect))


def _fisher(correlation: float) -> float:
    return math.atanh(max(-0.99, min(0.99, correlation)))
