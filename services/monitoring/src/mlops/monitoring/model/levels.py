# SPDX-License-Identifier: Apache-2.0
"""By how much do days differ from each other, though nothing drifts?

A price list, the weather, who is on shift: a day may have a level of its own. A window lies in one day, so its mean
varies by that level however many rows it has. What few days show of it is uncertain, so more is allowed than they show.
"""

from __future__ import annotations

import numpy as np

from mlops.monitoring.model.bins import Floats
from mlops.monitoring.model.chances import chi2_quantile
from mlops.monitoring.model.phases import DAY_S

_LEAST_DAYS = 3
_ROWS_OF_A_DAY = 60
_SURE = 0.3  # chance that days show as little as they do where they differ by what is taken
# Each hour is compared with the mean of its own three days, so they differ less from it.
_FREE = 2 / 3


def effect_of_days(series: Floats, times: Floats, window_rows: int) -> float:
    """Return by how much the mean of a window within a day varies more than that of independent rows, at least 1.

    *series* are the scores of a column about the means of their hours. It is a one-way analysis of variance with days
    as random effects (Searle, Casella and McCulloch, Variance Components, ch. 3).
    """
    names, days, rows = np.unique(np.floor(times / DAY_S), return_inverse=True, return_counts=True)
    known = rows >= _ROWS_OF_A_DAY
    count, kept = int(known.sum()), known[days]
    if count < _LEAST_DAYS:
        return 1.0
    found, each = series[kept], rows[known].astype(np.float64)
    means = np.bincount(days[kept], weights=found, minlength=len(names))[known] / each
    between = float((each * (means - found.mean()) ** 2).sum())
    within = float((found**2).sum() - (each * means**2).sum()) / max(1, len(found) - count)
    if within <= 0.0:
        return 1.0
    per_day = float(each.sum() - (each**2).sum() / each.sum()) / (count - 1)
    free = (count - 1) * _FREE
    level = max(0.0, between * _FREE / chi2_quantile(_SURE, free) - within) / per_day
    return 1.0 + window_rows * level * (1.0 + 1.0 / count) / within
