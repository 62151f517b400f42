# SPDX-License-Identifier: Apache-2.0
"""Energy: what a workflow took of its machines, and how much of it counts for a quota of any 24 hours."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

DAY = timedelta(hours=24)
_STEP = timedelta(hours=1)


@dataclass(frozen=True)
class Used:
    """What a workflow took, over all its attempts and machines; the fields are those of the message's EnergyUse."""

    joules: float
    measured: bool = False
    node: str | None = None
    machine_j: float | None = None
    share_ratio: float | None = None
    known_ratio: float = 1.0
    how: str = ""


@dataclass(frozen=True)
class Drawn:
    """Joules that were taken within one hour, by workflows that nobody keeps any more."""

    until: datetime
    joules: float


def within_day(joules: float, spans: Iterable[tuple[datetime, datetime]], now: datetime) -> float:
    """Return which part of the joules that were taken evenly over *spans* fell into the last 24 hours."""
    known = tuple(spans)
    whole_s = sum(max(0.0, (until - since).total_seconds()) for since, until in known)
    if whole_s <= 0:
        return joules if any(until > now - DAY for _, until in known) else 0.0
    day = ((max(since, now - DAY), until) for since, until in known)
    recent_s = sum(max(0.0, (until - since).total_seconds()) for since, until in day)
    return joules * recent_s / whole_s


def noted(drawn: tuple[Drawn, ...], joules: float, until: datetime) -> tuple[Drawn, ...]:
    """Return what is remembered after another one was forgotten: a sum for each of the last 24 hours, no more."""
    kept = {one.until: one.joules for one in drawn}
    hour = until.replace(minute=0, second=0, microsecond=0) + _STEP
    kept[hour] = kept.get(hour, 0.0) + joules
    newest = max(kept)
    recent = sorted((at, j) for at, j in kept.items() if at > newest - DAY - _STEP)
    return tuple(Drawn(at, j) for at, j in recent)


def remembered(drawn: tuple[Drawn, ...], now: datetime) -> float:
    """Return what of it counts for the last 24 hours, by whole hours."""
    return sum(one.joules for one in drawn if one.until > now - DAY)
