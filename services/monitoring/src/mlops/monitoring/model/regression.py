# SPDX-License-Identifier: Apache-2.0
"""Metrics of models that answer with a number; rows where either side is no number are left out."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from mlops.monitoring.model.bins import as_number
from mlops.monitoring.model.measured import Measured, Numbers, Pairs, mean_of, ratio_of

_NEARLY_ZERO = 1e-9
_LEAST = 1e-12


def mae(pairs: Pairs) -> Measured | None:
    """Return the mean absolute error."""
    said, true = _numbers(pairs)
    return mean_of(np.abs(said - true))


def mse(pairs: Pairs) -> Measured | None:
    """Return the mean squared error."""
    said, true = _numbers(pairs)
    return mean_of((said - true) ** 2)


def rmse(pairs: Pairs) -> Measured | None:
    """Return the root of the mean squared error."""
    squared = mse(pairs)
    if squared is None:
        return None
    root = math.sqrt(squared.value)
    return Measured(root, squared.error / (2 * root) if root else 0.0)


def r2(pairs: Pairs) -> Measured | None:
    """Return the share of the variance of the truth that is explained; None when the truth does not vary."""
    said, true = _numbers(pairs)
    if not len(true):
        return None
    spread = (true - true.mean()) ** 2
    left = ratio_of((said - true) ** 2, spread)
    return None if left is None else Measured(1.0 - left.value, left.error)


def mape(pairs: Pairs) -> Measured | None:
    """Return the mean absolute error relative to the truth, rows whose truth is (nearly) 0 left out.

    One of them would outweigh all others: against 0 every error is infinite.
    """
    said, true = _numbers(pairs)
    if not len(true):
        return None
    kept = counts_relatively(true)
    return mean_of(np.abs(said - true)[kept] / np.abs(true)[kept])


def counts_relatively(true: Numbers) -> NDArray[np.bool_]:
    """Return of which truths an error can be measured relative to them."""
    sizes = np.abs(true)
    found: NDArray[np.bool_] = (sizes > _NEARLY_ZERO * sizes.mean()) & (sizes > _LEAST)
    return found


def _numbers(pairs: Pairs) -> tuple[Numbers, Numbers]:
    found = np.array([(as_number(p), as_number(label)) for p, label in pairs]).reshape(-1, 2)
    known = found[~np.isnan(found).any(1)]
    return known[:, 0], known[:, 1]
