# SPDX-License-Identifier: Apache-2.0
"""What counters say between two readings: joules of a counter that wraps around, events of counts that only grow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

K = TypeVar("K")
MOST_W = 2000.0


@dataclass(frozen=True)
class Energy:
    """A cumulative energy counter in microjoules, and where it wraps to zero."""

    uj: int
    wraps_at_uj: int


def joules(before: Energy, now: Energy, seconds: float) -> float | None:
    """Return the energy used between two readings, or None when it cannot be told.

    A wrap is counted once; a counter with another range began anew, and one that went back without wrapping would
    have drawn more than any machine can: both tell nothing.
    """
    if seconds <= 0 or before.wraps_at_uj != now.wraps_at_uj:
        return None
    used = now.uj - before.uj
    if used < 0:
        used += now.wraps_at_uj
    return used / 1e6 if 0 <= used / 1e6 <= MOST_W * seconds else None


def events(before: Mapping[K, int], now: Mapping[K, int]) -> int | None:
    """Return how many events all counters saw between two readings, None when one reading has no counters.

    A smaller count began anew; a counter that only one reading has (a core that slept) tells nothing.
    """
    if not before or not now:
        return None
    both = before.keys() & now.keys()
    return sum(now[it] - before[it] if now[it] >= before[it] else now[it] for it in both)


def longest(before: Mapping[K, int], now: Mapping[K, int]) -> tuple[int] | tuple[()]:
    """Return by how much the counter that grew most grew, or nothing when no counter is in both readings."""
    both = before.keys() & now.keys()
    return (
        (max(now[it] - before[it] if now[it] >= before[it] else now[it] for it in both),)
        if both
        else ()
    )
