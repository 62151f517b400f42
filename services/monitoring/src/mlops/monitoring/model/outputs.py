# SPDX-License-Identifier: Apache-2.0
"""Errors of models that answer with several numbers: of one of them, or the mean over all, as scikit-learn's uniform average.

Each output leaves out the rows where either side is no number there. The standard error of the mean over the outputs
counts rows, not numbers, as independent: the outputs of one row often err together.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlops.monitoring.model.measured import Measured, Numbers, finite
from mlops.monitoring.model.regression import counts_relatively
from mlops.monitoring.model.vectors import Answer
from mlops.monitoring.model.vectors import Numbers as Parts

Pair = tuple[Numbers, Numbers]
"""What was said and what was true of one row, NaN where that is not known."""


@dataclass(frozen=True)
class _Pulled:
    """A metric of one output, and by how much every row pulls it away."""

    value: float
    pulls: Numbers


def pair_of(answer: Answer | None, truth: Parts | None) -> Pair | None:
    """Return both sides of a row; None where one is not there, is a sketch, or has another length."""
    if answer is None or truth is None or answer.length is not None:
        return None
    if len(answer.values) != len(truth):
        return None
    return np.array(answer.values, dtype=np.float64), np.array(truth, dtype=np.float64)


def measure_outputs(
    metric: str, pairs: Iterable[Pair], place: int | None = None
) -> Measured | None:
    """Return a metric of the output at *place*, or the mean over all; None when it cannot be told of any.

    Of answers of several lengths those of the commonest one are measured.
    """
    whole = _commonest(list(pairs))
    if not whole or (place is not None and place >= len(whole[0][0])):
        return None
    said, true = (np.stack(side) for side in zip(*whole, strict=True))
    if place is not None:
        said, true = said[:, [place]], true[:, [place]]
    with np.errstate(over="ignore", invalid="ignore"):
        found = [_of_one(METRICS[metric], *columns) for columns in zip(said.T, true.T, strict=True)]
        known = [one for one in found if one is not None]
        if not known:
            return None
        pulls = np.mean([one.pulls for one in known], axis=0)
        value = float(np.mean([one.value for one in known]))
        return finite(value, math.sqrt(float((pulls**2).sum())))


def _commonest(pairs: Sequence[Pair]) -> list[Pair]:
    widths = Counter(len(said) for said, _ in pairs)
    return [one for one in pairs if len(one[0]) == widths.most_common(1)[0][0]]


def _of_one(
    metric: Callable[[Numbers, Numbers], _Pulled | None], said: Numbers, true: Numbers
) -> _Pulled | None:
    known = ~(np.isnan(said) | np.isnan(true))
    found = metric(said[known], true[known]) if known.any() else None
    if found is None:
        return None
    pulls = np.zeros(len(said))
    pulls[known] = found.pulls
    return _Pulled(found.value, pulls)


def _mean(costs: Numbers) -> _Pulled:
    mean = float(costs.mean())
    return _Pulled(mean, (costs - mean) / len(costs))


def _mae(said: Numbers, true: Numbers) -> _Pulled:
    return _mean(np.abs(said - true))


def _mse(said: Numbers, true: Numbers) -> _Pulled:
    return _mean((said - true) ** 2)


def _rmse(said: Numbers, true: Numbers) -> _Pulled:
    squared = _mse(said, true)
    root = math.sqrt(squared.value)
    return _Pulled(root, squared.pulls / (2 * root) if root else squared.pulls)


def _r2(said: Numbers, true: Numbers) -> _Pulled | None:
    left, spread = (said - true) ** 2, (true - true.mean()) ** 2
    total = float(spread.sum())
    if not total > 0:
        return None
    ratio = float(left.sum()) / total
    return _Pulled(1.0 - ratio, (ratio * spread - left) / total)


def _mape(said: Numbers, true: Numbers) -> _Pulled | None:
    kept = counts_relatively(true)
    if not kept.any():
        return None
    found = _mean(np.abs(said - true)[kept] / np.abs(true)[kept])
    pulls = np.zeros(len(true))
    pulls[kept] = found.pulls
    return _Pulled(found.value, pulls)


METRICS: Mapping[str, Callable[[Numbers, Numbers], _Pulled | None]] = {
    "mae": _mae,
    "mse": _mse,
    "rmse": _rmse,
    "r2": _r2,
    "mape": _mape,
}
