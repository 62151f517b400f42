# SPDX-License-Identifier: Apache-2.0
"""Disk: whether one is nearly full or will be soon, from what was free lately.

The pace is the smaller of two: the median of the steps, which one large file does not move, and the mean over all, which
files that come and go do not move. Where it does not fall by both, nothing is foretold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from statistics import median

GIB = 2**30
STEP = timedelta(minutes=5)
_KEPT = timedelta(hours=6)
_AT_LEAST = timedelta(hours=1)
_FEWEST = 7
# Below the smaller of a share of the disk and so many bytes.
_LOW, _FULL = (0.10, 10 * GIB), (0.03, 2 * GIB)
_AGAIN = 1.25  # it is well again only so much above
_SOON, _NOW, _LATE = timedelta(hours=24), timedelta(hours=3), timedelta(hours=48)


class State(StrEnum):
    """How a disk is; `between` is neither bad enough to say so nor good enough to say that it is over."""

    WELL = "well"
    BETWEEN = "between"
    LOW = "low"
    FULL = "full"


@dataclass(frozen=True)
class Free:
    """What was free of a disk at a time."""

    at: datetime
    free: int
    total: int


@dataclass(frozen=True)
class Outlook:
    """How a disk is, and when it will be full if it goes on like this; None where that cannot be told."""

    state: State
    full_at: datetime | None = None
    per_hour: float = 0.0


def noted(history: Sequence[Free], one: Free) -> tuple[Free, ...]:
    """Return the history with the newest in it: one for each step, of the last hours."""
    kept = [old for old in history if one.at - _KEPT <= old.at < one.at and old.total == one.total]
    if len(kept) > 1 and kept[-1].at - kept[-2].at < STEP:
        kept.pop()
    return (*kept, one)


def outlook(history: Sequence[Free]) -> Outlook:
    """Return how the disk is by its newest entry, and what its history foretells."""
    newest = history[-1]
    per_s = _pace(history)
    left = None if per_s is None else timedelta(seconds=min(newest.free / per_s, 1e9))
    full_at = None if left is None or left > _LATE else newest.at + left
    per_hour = (per_s or 0.0) * 3600
    if _is_below(newest, _FULL) or (left is not None and left <= _NOW):
        return Outlook(State.FULL, full_at, per_hour)
    if _is_below(newest, _LOW) or (left is not None and left <= _SOON):
        return Outlook(State.LOW, full_at, per_hour)
    if _is_below(newest, _LOW, _AGAIN) or full_at is not None or not _says_something(history):
        return Outlook(State.BETWEEN, full_at, per_hour)
    return Outlook(State.WELL)


def _is_below(one: Free, bound: tuple[float, int], times: float = 1.0) -> bool:
    share, most = bound
    return one.free < times * min(share * one.total, most)


def _says_something(history: Sequence[Free]) -> bool:
    return len(history) >= _FEWEST and history[-1].at - history[0].at >= _AT_LEAST


def _pace(history: Sequence[Free]) -> float | None:
    """Return the bytes that go in a second; None when they do not, or nobody can tell."""
    if not _says_something(history):
        return None
    steps = [_between(one, other) for one, other in pairwise(history)]
    pace = min(median(steps), _between(history[0], history[-1]))
    return pace if pace > 0 else None


def _between(one: Free, other: Free) -> float:
    return (one.free - other.free) / (other.at - one.at).total_seconds()
