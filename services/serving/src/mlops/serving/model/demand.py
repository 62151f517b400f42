# SPDX-License-Identifier: Apache-2.0
"""Demand: how many replicas pay for what is asked now; more at once, fewer only after a quiet minute."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime, timedelta

ONGOING_EACH = 4
CALMS_AFTER = timedelta(seconds=60)


@dataclass(frozen=True)
class Demand:
    """How many replicas pay, and since when fewer would do."""

    replicas: int
    fewer_since: datetime | None = None


def demanded(ongoing: float | None, fewest: int, most: int) -> int:
    """Return how many replicas the requests under way pay for; the fewest where nobody knows."""
    if ongoing is None:
        return fewest
    return min(most, max(fewest, math.ceil(ongoing / ONGOING_EACH)))


def steadied(before: Demand | None, wanted: int, now: datetime) -> Demand:
    """Return the demand after *wanted* replicas were asked for: it rises at once, and falls when it stayed low."""
    if before is None or wanted >= before.replicas:
        return Demand(wanted)
    since = before.fewer_since or now
    return Demand(wanted) if now - since >= CALMS_AFTER else Demand(before.replicas, since)
