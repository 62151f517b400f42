# SPDX-License-Identifier: Apache-2.0
"""A metric over some rows with its standard error, from which every metric is built: a share, a mean, a ratio of sums.

The errors need no bootstrap: that of a ratio of sums is the delta method's, row by row. Rows count as independent.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops.monitoring.model.bins import Value

Pairs = Sequence[tuple[Value, Value]]
"""Prediction and truth of every labelled row."""
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Measured:
    """A metric over some rows, and its standard error if these rows were independent."""

    value: float
    error: float


def share_of(value: float, rows: int) -> Measured:
    """Return a share of rows.

    Two rows more, one right and one wrong: otherwise a perfect window would seem to know everything.
    """
    likely = (value * rows + 1) / (rows + 2)
    return Measured(value, math.sqrt(likely * (1 - likely) / rows))


def mean_of(costs: Numbers) -> Measured | None:
    """Return the mean of what every row costs; None without rows."""
    if not len(costs):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        mean, error = float(costs.mean()), float(costs.std() / math.sqrt(len(costs)))
    return finite(mean, error)


def ratio_of(above: Numbers, below: Numbers) -> Measured | None:
    """Return sum(*above*) / sum(*below*); None when there is nothing below."""
    total = float(below.sum())
    if not total > 0:
        return None
    ratio = float(above.sum()) / total
    pulls = (above - ratio * below) / total
    return finite(ratio, math.sqrt(float((pulls**2).sum())))


def mean_of_shares(above: Numbers, below: Numbers) -> Measured | None:
    """Return the mean over the columns of the share sum(*above*) / sum(*below*), a row for each row of the window.

    A column with nothing below counts as 0; None when that is so in all of them.
    """
    sums = below.sum(0)
    known = sums > 0
    if not known.any():
        return None
    sizes = np.where(known, sums, 1.0)
    shares = above.sum(0) / sizes
    pulls = ((above - shares * below) / sizes).sum(1) / len(sums)
    # Where all is right or all is wrong the rows do not pull: as for a share, one more of each.
    likely = (above.sum(0) + 1) / (sums + 2)
    unsure = np.where(known & ((shares <= 0) | (shares >= 1)), likely * (1 - likely) / sizes, 0.0)
    variance = float((pulls**2).sum() + unsure.sum() / len(sums) ** 2)
    return finite(float(shares.mean()), math.sqrt(variance))


def finite(value: float, error: float) -> Measured | None:
    """Return both, None where either is beyond what a float can hold."""
    return Measured(value, error) if math.isfinite(value) and math.isfinite(error) else None
