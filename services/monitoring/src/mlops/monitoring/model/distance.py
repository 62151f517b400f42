# SPDX-License-Identifier: Apache-2.0
"""How far one column of a window is from its reference, by chance and by size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlops.monitoring.model.bins import Codes, Floats, NumericBins, counts
from mlops.monitoring.model.chances import two_sided
from mlops.monitoring.model.reference import Column

_ROWS_TO_LOCATE = 50


@dataclass(frozen=True)
class Distance:
    """How far a column of a window is from its reference.

    `p` is the chance of anything about it, as the rule was calibrated; `p_present` and `p_missing` tell which part
    it was. `z` are the location and the spread; `effect` is W1 in standard deviations, or the total variation.
    """

    p: float
    p_present: float
    p_missing: float
    z: tuple[float, float]
    effect: float
    psi: float
    missing: float
    missing_shift: float


def distance(column: Column, codes: Codes, reference_rows: int) -> Distance:
    """Compare the rows of a window with a column of the reference, bin by bin and score by score."""
    found = counts(codes, column.bins)
    total, present = float(found.sum()), found[:-1]
    missing = float(found[-1]) / total
    missing_shift = abs(missing - float(column.counts[-1]) / reference_rows)
    spread = column.design_effect * (1 / total + 1 / reference_rows)
    z_missing = _share_z(
        found[-1:], total, column.counts[-1:], reference_rows, column.design_effect, spread
    )
    p_missing = two_sided(float(z_missing[0]))
    if present.sum() < _ROWS_TO_LOCATE:
        return Distance(p_missing, 1.0, p_missing, (0.0, 0.0), 0.0, 0.0, missing, missing_shift)
    scores, shares = _scores_z(column, present), _shares_z(column, present)
    shape = [z for z, line in zip(scores[2:], column.scores[2:], strict=True) if line.any()]
    others = [*shape, *shares, float(z_missing[0])]
    first, second = two_sided(scores[0]) / 0.4, two_sided(scores[1]) / 0.2
    rest = two_sided(max(map(abs, others[:-1]), default=0.0)) * len(others) / 0.4
    p_present = min(1.0, first, second, rest)
    effect, psi = _effects(column, present)
    return Distance(
        p=min(p_present, p_missing * len(others) / 0.4),
        p_present=p_present,
        p_missing=p_missing,
        z=(scores[0], scores[1]),
        effect=effect,
        psi=psi,
        missing=missing,
        missing_shift=missing_shift,
    )


def _scores_z(column: Column, present: Floats) -> list[float]:
    rows, reference_rows = float(present.sum()), float(column.present.sum())
    shift = column.scores @ (present / rows - column.present / reference_rows)
    scale = math.sqrt(column.design_effect * (1 / rows + 1 / reference_rows))
    return [float(z) for z in shift / scale]


def _shares_z(column: Column, present: Floats) -> list[float]:
    rows, reference_rows = float(present.sum()), float(column.present.sum())
    live = column.present > 0
    if column.categorical:
        live[-2:] = True  # `other` and `never seen` count even when the reference has none
    spread = column.design_effect * (1 / rows + 1 / reference_rows)
    z = _share_z(present, rows, column.present, reference_rows, column.design_effect, spread)
    return [float(value) for value in z[live]]


def _share_z(
    now: Floats, rows: float, then: Floats, then_rows: float, effect: float, spread: float
) -> Floats:
    # Arcsine transform of shares, on effective counts: dependent rows tell less.
    def angle(count: Floats, of: float) -> Floats:
        return np.arcsin(np.sqrt((count / effect + 0.375) / (of / effect + 0.75)))

    found: Floats = 2 * (angle(now, rows) - angle(then, then_rows)) / math.sqrt(spread)
    return found


def _effects(column: Column, present: Floats) -> tuple[float, float]:
    rows, reference_rows = float(present.sum()), float(column.present.sum())
    now, then = present / rows, column.present / reference_rows
    floored, reference = np.maximum(now, 0.5 / rows), np.maximum(then, 0.5 / reference_rows)
    live = (column.present > 0) | (present > 0)
    psi = float(((floored - reference) * np.log(floored / reference))[live].sum())
    if not isinstance(column.bins, NumericBins):
        return float(np.abs(now - then).sum() / 2), psi
    apart = np.abs(np.cumsum(now - then))[: len(column.bins.edges) - 1]
    w1 = float((apart * np.diff(column.bins.edges)).sum())
    return w1 / max(column.bins.spread, 1e-9), psi
