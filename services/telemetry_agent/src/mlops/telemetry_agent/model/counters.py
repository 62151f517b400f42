# SPDX-License-Identifier: Apache-2.0
"""What counters say between two readings: watts from energy that wraps around, events from counts that only grow."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Energy:
    """A cumulative energy counter in microjoules, and where it wraps to zero."""

    uj: int
    wraps_at_uj: int


def watts(before: Energy, now: Energy, seconds: float) -> float | None:
    """Return the mean power between two readings, or None when it cannot be told.

    A wrap is counted once; a counter that began anew (other range, or a gap that could hold two wraps) tells nothing.
    """
    if seconds <= 0 or before.wraps_at_uj != now.wraps_at_uj:
        return None
    used = now.uj - before.uj
    if used < 0:
        used += now.wraps_at_uj
    return used / 1e6 / seconds if used >= 0 else None


def events(before: int | None, now: int | None) -> int | None:
    """Return how many events came between two readings; a smaller count means that it began anew."""
    if now is None or before is None:
        return None
    return now - before if now >= before else now
