# SPDX-License-Identifier: Apache-2.0
"""Has a window left its reference? Three questions: one column by far, many by a little, two no longer together.

Statistics and effect must both speak: chance alone fires on everything in large windows, effect alone on noise in
small ones. A window that cannot be judged says why; that is never the same as "no drift".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlops.monitoring.model.bins import Codes, Value
from mlops.monitoring.model.chances import adjusted, chi2_tail, two_sided
from mlops.monitoring.model.distance import Distance, distance
from mlops.monitoring.model.reference import (
    MIN_ROWS,
    Column,
    Reference,
    correlations,
    location_scores,
)

MIN_WINDOW_ROWS = 200
W1_MOVED = 0.08
PSI_MOVED = 0.1
TVD_MOVED = 0.05
MISSING_MOVED = 0.02
BIG = 0.25
# With alpha = .05 these are the levels the rule was calibrated at: .4 % columns, .1 % together, .2 % pairs.
_COLUMNS_LEVEL, _JOINT_LEVEL, _PAIRS_LEVEL = 0.08, 0.02, 0.04
_JOINT_MOVED = 0.03
_PAIR_MOVED = 0.15
_ROWS_FOR_PAIRS = 2000
_PART_SURE = 0.01  # which part of a rejected column it was: values or missing values
_BIG_SURE = 1e-4


@dataclass(frozen=True)
class ColumnVerdict:
    """How far one column is from its reference.

    `p` is corrected for the number of columns; `moved` and `missing_moved` tell which part of it drifted.
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
    """What a window says; `unjudged` holds the reason when it cannot be judged."""

    columns: tuple[ColumnVerdict, ...] = ()
    prediction: ColumnVerdict | None = None
    together: bool = False
    pairs: tuple[tuple[str, str], ...] = ()
    unjudged: str | None = None

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
    features: Mapping[str, Sequence[Value]],
    predictions: Sequence[Value],
    alpha: float = 0.05,
) -> WindowVerdict:
    """Compare a window with its reference at false-discovery rate *alpha* (.05 is what was calibrated)."""
    rows = len(predictions)
    if reason := _cannot_judge(reference, rows):
        return WindowVerdict(unjudged=reason)
    codes = {
        column.name: column.bins.codes(features.get(column.name, [None] * rows))
        for column in reference.features
    }
    measured = [
        distance(column, codes[column.name], reference.rows) for column in reference.features
    ]
    level = _COLUMNS_LEVEL * alpha
    corrected = adjusted([one.p for one in measured])
    columns = tuple(
        _verdict(c, one, p, level)
        for c, one, p in zip(reference.features, measured, corrected, strict=True)
    )
    prediction = None
    if reference.prediction is not None:
        own = distance(
            reference.prediction, reference.prediction.bins.codes(predictions), reference.rows
        )
        prediction = _verdict(reference.prediction, own, own.p, level)
    return WindowVerdict(
        columns=columns,
        prediction=prediction,
        together=_moved_together(reference, measured, rows, _JOINT_LEVEL * alpha),
        pairs=_changed_pairs(reference, codes, rows, _PAIRS_LEVEL * alpha),
    )


def _cannot_judge(reference: Reference, rows: int) -> str | None:
    if rows < MIN_WINDOW_ROWS:
        return f"the window has {rows} rows, {MIN_WINDOW_ROWS} are needed; raise [monitor].window"
    if reference.rows < MIN_ROWS:
        return f"the reference has {reference.rows} rows, {MIN_ROWS} are needed"
    if not reference.features and reference.prediction is None:
        return "no column of the reference can be compared: all are empty or hardly ever repeat a value"
    return None


def _verdict(column: Column, one: Distance, corrected: float, level: float) -> ColumnVerdict:
    rejected = corrected <= level
    threshold = TVD_MOVED if column.categorical else W1_MOVED
    by_psi = not column.categorical and one.effect < threshold and one.psi >= PSI_MOVED
    moved = rejected and one.p_present < _PART_SURE and (one.effect >= threshold or by_psi)
    missing = rejected and one.p_missing < _PART_SURE and one.missing_shift >= MISSING_MOVED
    big = rejected and one.p < _BIG_SURE and max(one.effect, one.missing_shift) >= BIG
    test, score, least = ("tvd" if column.categorical else "w1"), one.effect, threshold
    if missing and not moved:
        test, score, least = "missing", one.missing_shift, MISSING_MOVED
    elif by_psi:
        test, score, least = "psi", one.psi, PSI_MOVED
    return ColumnVerdict(
        name=column.name,
        test=test,
        score=score,
        threshold=least,
        p=corrected,
        missing_ratio=one.missing,
        moved=moved,
        missing_moved=missing,
        big=big and (moved or missing),
    )


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
    reference: Reference, codes: Mapping[str, Codes], rows: int, level: float
) -> tuple[tuple[str, str], ...]:
    columns = reference.features
    taken = min(_ROWS_FOR_PAIRS, rows)
    step = rows // taken
    now = correlations([location_scores(c, codes[c.name][::step][:taken]) for c in columns])
    tests = len(columns) * (len(columns) - 1) // 2
    variance = 1.1 * (1 / (taken - 3) + 1 / min(reference.rows, 5000))
    found = []
    for i, j in zip(*np.triu_indices(len(columns), 1), strict=True):
        before, after = float(reference.pairs[i, j]), float(now[i, j])
        scale = math.sqrt(
            variance * _pair_effect(columns[i], columns[j], dependent=reference.dependent)
        )
        apart = abs(_fisher(after) - _fisher(before)) / scale
        if abs(after - before) >= _PAIR_MOVED and two_sided(apart) * tests < level:
            found.append((columns[i].name, columns[j].name))
    return tuple(found)


def _pair_effect(one: Column, other: Column, *, dependent: bool) -> float:
    if not dependent:
        return 1.0
    product = one.lag1 * other.lag1
    return max((1 + product) / (1 - product), math.sqrt(one.design_effect * other.design_effect))


def _fisher(correlation: float) -> float:
    return math.atanh(max(-0.99, min(0.99, correlation)))
