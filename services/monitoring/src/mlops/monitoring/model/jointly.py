# SPDX-License-Identifier: Apache-2.0
"""What do columns say together that none of them says alone? Many moved a little, or two no longer go together."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from mlops.monitoring.model.bins import Floats
from mlops.monitoring.model.chances import chi2_tail, two_sided
from mlops.monitoring.model.distance import Distance
from mlops.monitoring.model.reference import Column, Reference
from mlops.monitoring.model.tally import Tally
from mlops.monitoring.model.unseen import Allowance

_JOINT_MOVED = 0.03
_PAIR_MOVED = 0.15
_FLAT = 1e-12


def moved_together(
    reference: Reference,
    measured: Sequence[Distance],
    rows: int,
    allowed: Allowance,
    level: float,
) -> bool:
    """Return whether all columns together moved by more than chance and the clock explain."""
    if reference.terms == 0:
        return False
    total = sum(z * z for one in measured for z in one.z)
    if chi2_tail(total / reference.scale, reference.degrees) >= level:
        return False
    spread = 1 / rows + 1 / reference.rows
    effect = sum(c.design_effect for c in reference.features) / len(reference.features)
    excess = max(0.0, (total - reference.terms) / reference.terms)
    return math.sqrt(excess * spread * effect) >= _JOINT_MOVED + allowed.shift


def changed_pairs(
    reference: Reference, tally: Tally, rows: int, allowed: Allowance, level: float
) -> tuple[tuple[str, str], ...]:
    """Return the pairs of columns whose correlation is another one than in the reference."""
    columns = reference.features
    now = _correlations(tally, rows)
    tests = len(columns) * (len(columns) - 1) // 2
    variance = 1.1 * (1 / (rows - 3) + 1 / min(reference.rows, 5000))
    far = np.triu(np.abs(now - reference.pairs) >= _PAIR_MOVED + allowed.correlation, 1)
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
