# SPDX-License-Identifier: Apache-2.0
"""What counters say between two readings: watts from energy that wraps around, events from counts that only grow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

K = TypeVar("K")


@dataclass(frozen=True)
class Energy:
    """A cumulative energy counter in microjoules, and where it wraps to zero."""

    uj: int
    wraps_at_uj: int


def watts(before: Energy, now: Energy, seconds: float) -> float | None:
    """Return the mean power between two readings, or None when it cannot be told.

    A wrap is counted once; a counter with another range began anew and tells nothing.
    """
    if seconds <= 0 or before.wraps_at_uj != now.wraps_at_uj:
        return None
    used = now.uj - before.uj
    if used < 0:
        used += now.wraps_at_uj
    return used / 1e6 / seconds if used >= 0 else None


def events(before: Mapping[K, int], now: Mapping[K, int]) -> int | None:
    """Return how many events all counters saw between two readings, None when one reading has no counters.

    A smaller count began anew; a counter that only one reading has (a core that slept) tells nothing.
    """
    if not before or not now:
        return None
    both = before.keys() & now.keys()
    return sum(now[it] - before[it] if now[it] >= before[it] else now[it] for it in both)
