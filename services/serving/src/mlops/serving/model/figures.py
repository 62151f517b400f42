# SPDX-License-Identifier: Apache-2.0
"""The metrics of a run that a document and a message can hold: finite ones, and not too many."""

from __future__ import annotations

import math
from collections.abc import Mapping

_MOST = 50
_MOST_BYTES = 8 * 1024
_BYTES_OF_A_NUMBER = 25


def kept_metrics(metrics: Mapping[str, float], first: str) -> dict[str, float]:
    """Return the metrics to keep, the one called *first* before all others."""
    finite = (name for name, value in metrics.items() if math.isfinite(value))
    names = sorted(finite, key=lambda name: (name != first, name))
    kept: dict[str, float] = {}
    room = _MOST_BYTES
    for name in names[:_MOST]:
        room -= len(name.encode()) + _BYTES_OF_A_NUMBER
        if room < 0:
            break
        kept[name] = metrics[name]
    return kept
