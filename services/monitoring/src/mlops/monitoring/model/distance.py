# SPDX-License-Identifier: Apache-2.0
"""How far one column of a window is from its reference, by chance and by size.

The reference of a window is that of its own mixture of phases: as many rows of each hour as the window has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlops.monitoring.model.bins import Floats, NumericBins
from mlops.monitoring.model.chances import two_sided
from mlops.monitoring.model.reference import Column

_ROWS_TO_LOCATE = 50
_MOST_NOISE = 0.25  # else nothing could stand out of rows that depend on each other
_LEAST_VARIANCE = 0.01  # of a score within a phase, where it is 1 over all of them


@dataclass(frozen=True)
class Distance:
    """How far a column of a window is from its reference.

    `p` is the chance of anything about it, as the rule was calibrated; `p_present` and `p_missing` tell which part
    it was. `z` are the location and the spread; `effect` is W1 in standard deviations, or the total variation.
    `beyond` is the share of the present values that the reference never had, above what it expects, of a total
    `variation`, of which chance alone makes about `noise`; `constant` tells that one bin holds all of them where the
    reference had several.
    """

    p: float
    p_present: float
    p_missing: float
    z: tuple[float, float]
    effect: float
    psi: float
    missing: float
    missing_shift: float
    beyond: float = 0.0
    variation: float = 0.0
    noise: float = 0.0
    constant: bool = False

    @property
    def excess(self) -> float:
        """Return the total variation that is left when chance is taken out."""
        return math.sqrt(max(0.0, self.variation**2 - self.noise**2))


@dataclass(frozen=True)
class _Expected:
    """The reference column for one mixture of phases: counts of as many rows as it is worth, and variance of scores."""

    column: Column
    counts: Floats
    variances: Floats

    @property
    def present(self) -> Floats:
        return self.counts[:-1]


def distance(column: Column, found: Floats) -> Distance:
    """Compare the counts of a window (by phase and bin) with a column of the reference."""
    then, now = _expected(column, found), found.sum(0)
    total, worth = float(now.sum()), float(then.counts.sum())
    present = now[:-1]
    missing = float(now[-1]) / total
    missing_shift = abs(missing - float(then.counts[-1]) / worth)
    z_missing = float(_share_z(column, now[-1:], total, then.counts[-1:], worth)[0])
    p_missing = two_sided(z_missing)
    if present.sum() < _ROWS_TO_LOCATE or then.present.sum() <= 0:
        return Distance(p_missing, 1.0, p_missing, (0.0, 0.0), 0.0, 0.0, missing, missing_shift)
    scores, shares = _scores_z(column, found, then), _shares_z(column, present, then)
    shape = [z for z, line in zip(scores[2:], column.scores[2:], strict=True) if line.any()]
    tests = len(shape) + len(shares) + 1
    first, second = two_sided(scores[0]) / 0.4, two_sided(scores[1]) / 0.2
    rest = two_sided(max(map(abs, [*shape, *shares]), default=0.0)) * tests / 0.4
    p_present = min(1.0, first, second, rest)
    effect, psi = _effects(column, present, then)
    return Distance(
        p=min(p_present, p_missing * tests / 0.4),
        p_present=p_present,
        p_missing=p_missing,
        z=(scores[0], scores[1]),
        effect=effect,
        psi=psi,
        missing=missing,
        missing_shift=missing_shift,
        beyond=_beyond(column, present, then),
        variation=_variation(present, then),
        noise=_noise(column, present, then),
        constant=_constant(present, then),
    )


def _expected(column: Column, found: Floats) -> _Expected:
    rows = np.maximum(column.counts.sum(1), 1.0)
    weights = found.sum(1) / found.sum()
    shares = weights @ (column.counts / rows[:, None])
    worth = 1.0 / float((weights * weights / rows).sum())
    if len(rows) == 1:
        return _Expected(column, shares * worth, np.ones(len(column.scores)))
    present = column.counts[:, :-1]
    by_phase = present / np.maximum(present.sum(1), 1.0)[:, None]
    squares = (column.scores**2) @ by_phase.T - column.centres**2
    return _Expected(column, shares * worth, np.maximum(squares @ weights, _LEAST_VARIANCE))


def _scores_z(column: Column, found: Floats, then: _Expected) -> list[float]:
    # The mean score of the window against the mean of the reference's phases, each as often as it is in the window.
    present = found[:, :-1]
    by_phase = present.sum(1)
    rows, worth = float(by_phase.sum()), float(then.present.sum())
    shift = column.scores @ present.sum(0) / rows - column.centres @ by_phase / rows
    scale = np.sqrt(column.design_effect * then.variances * (1 / rows + 1 / worth))
    return [float(z) for z in shift / scale]


def _shares_z(column: Column, present: Floats, then: _Expected) -> list[float]:
    rows, worth = float(present.sum()), float(then.present.sum())
    live = _folded(column, column.counts[:, :-1].sum(0)) > 0
    if column.categorical:
        live[-2:] = (
            True  # `other` and `never seen` count though the reference may have none of them
        )
    z = _share_z(column, _folded(column, present), rows, _folded(column, then.present), worth)
    found = [float(value) for value in z[live]]
    if _knows_its_range(column):
        ends = list(column.bins.beyond)
        now, before = present[ends].sum(keepdims=True), then.present[ends].sum(keepdims=True)
        found.append(float(_share_z(column, now, rows, before, worth)[0]))
    return found


def _folded(column: Column, present: Floats) -> Floats:
    """Return counts in which values beyond the range of the reference are with the outermost ones in it."""
    if column.categorical:
        return present
    found = present[1:-1].copy()
    found[[0, -1]] += present[[0, -1]]
    return found


def _knows_its_range(column: Column) -> bool:
    # Rows that depend on each other have not seen yet how far they go.
    return not column.categorical and column.design_effect == 1.0


def _share_z(column: Column, now: Floats, rows: float, then: Floats, worth: float) -> Floats:
    # Arcsine transform of shares, on effective counts: dependent rows tell less.
    effect = column.design_effect

    def angle(count: Floats, of: float) -> Floats:
        return np.arcsin(np.sqrt((count / effect + 0.375) / (of / effect + 0.75)))

    spread = math.sqrt(effect * (1 / rows + 1 / worth))
    found: Floats = 2 * (angle(now, rows) - angle(then, worth)) / spread
    return found


def _effects(column: Column, present: Floats, then: _Expected) -> tuple[float, float]:
    rows, worth = float(present.sum()), float(then.present.sum())
    now, expected = _folded(column, present) / rows, _folded(column, then.present) / worth
    floored, reference = np.maximum(now, 0.5 / rows), np.maximum(expected, 0.5 / worth)
    live = (now > 0) | (expected > 0)
    psi = float(((floored - reference) * np.log(floored / reference))[live].sum())
    if not isinstance(column.bins, NumericBins):
        return _variation(present, then), psi
    edges = column.bins.edges[1:-1]  # the way to the extremes is long, and of few rows
    apart = np.abs(np.cumsum(now - expected))[: max(0, len(edges) - 1)]
    w1 = float((apart * np.diff(edges)).sum())
    return w1 / max(column.bins.spread, 1e-9), psi


def _beyond(column: Column, present: Floats, then: _Expected) -> float:
    if not column.categorical and not _knows_its_range(column):
        return 0.0
    bins = list(column.bins.beyond)
    now = float(present[bins].sum() / present.sum())
    return now - float(then.present[bins].sum() / then.present.sum())


def _variation(present: Floats, then: _Expected) -> float:
    return float(np.abs(present / present.sum() - then.present / then.present.sum()).sum() / 2)


def _noise(column: Column, present: Floats, then: _Expected) -> float:
    rows, worth = float(present.sum()), float(then.present.sum())
    shares = then.present / worth
    spread = column.design_effect * (1 / rows + 1 / worth)
    found = float(np.sqrt(2 / math.pi * spread * shares * (1 - shares)).sum() / 2)
    return min(_MOST_NOISE, found)


def _constant(present: Floats, then: _Expected) -> bool:
    return bool(present.max() == present.sum()) and bool((then.present > 0).sum() > 1)
