# SPDX-License-Identifier: Apache-2.0
"""Strain: what a machine went through while one workflow ran on it, as a few figures, however long that took."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from mlops.orchestration_bridge.model.heat import SHRINKS


@dataclass(frozen=True)
class Look:
    """What one sample says of strain; None where the machine cannot tell. Clocks are of units that were at work."""

    at: datetime
    window_s: float = 0.0
    level: int | None = None
    derived_throttle: bool = False
    throttled_s: float | None = None
    clocks_hz: Mapping[str, float] = field(default_factory=dict)
    pressure: str = "unknown"
    total: int | None = None
    available: int | None = None
    swap: int | None = None
    oom_kills: int = 0
    low_power: bool = False
    power_cap: bool = False


@dataclass(frozen=True)
class Clock:
    """The slowest and the fastest that a unit was seen at, in Hz."""

    least_hz: float
    most_hz: float


@dataclass(frozen=True)
class Strain:
    """The sum of the looks: seconds and extremes, with the times of the worst."""

    known_s: float = 0.0
    peak_level: int = 0
    peak_at: datetime | None = None
    reason: str = ""
    throttled_s: float = 0.0
    clocks: Mapping[str, Clock] = field(default_factory=dict)
    warn_s: float = 0.0
    critical_s: float = 0.0
    pressed_at: datetime | None = None
    total: int | None = None
    least_available: int | None = None
    least_at: datetime | None = None
    swap_first: int | None = None
    swap_most: int | None = None
    swap_at: datetime | None = None
    oom_kills: int = 0
    oom_at: datetime | None = None
    low_power_s: float = 0.0
    power_cap_s: float = 0.0

    @property
    def swap_grown(self) -> int:
        """Return by how many bytes swap grew above where it was at first."""
        return max(0, (self.swap_most or 0) - (self.swap_first or 0))


def strained(strain: Strain, look: Look, lasted_s: float) -> Strain:
    """Return the strain after a sample of whose window the workflow was there for *lasted_s*."""
    slow = look.derived_throttle or (look.level or 0) >= SHRINKS
    told_s = look.throttled_s if look.throttled_s is not None else look.window_s if slow else 0.0
    found = replace(
        strain,
        known_s=strain.known_s + lasted_s,
        throttled_s=strain.throttled_s + min(told_s, lasted_s),
        clocks=_clocks(strain.clocks, look.clocks_hz),
        warn_s=strain.warn_s + (lasted_s if look.pressure == "warn" else 0.0),
        critical_s=strain.critical_s + (lasted_s if look.pressure == "critical" else 0.0),
        low_power_s=strain.low_power_s + (lasted_s if look.low_power else 0.0),
        power_cap_s=strain.power_cap_s + (lasted_s if look.power_cap else 0.0),
        total=look.total or strain.total,
        oom_kills=strain.oom_kills + look.oom_kills,
        oom_at=look.at if look.oom_kills else strain.oom_at,
    )
    return _memory(heated(found, look.level, look.at), look)


def heated(strain: Strain, level: int | None, at: datetime, reason: str = "") -> Strain:
    """Return the strain after the machine was seen at a level; *reason* is what a thermal event gives."""
    if level is None or level <= strain.peak_level:
        return strain
    return replace(strain, peak_level=level, peak_at=at, reason=reason or strain.reason)


def _memory(strain: Strain, look: Look) -> Strain:
    if look.pressure in ("warn", "critical"):
        worse = look.pressure == "critical" or not strain.critical_s
        strain = replace(strain, pressed_at=look.at if worse else strain.pressed_at)
    if look.available is not None and look.available < (strain.least_available or float("inf")):
        strain = replace(strain, least_available=look.available, least_at=look.at)
    if look.swap is None:
        return strain
    if strain.swap_first is None:
        return replace(strain, swap_first=look.swap, swap_most=look.swap, swap_at=look.at)
    more = look.swap > (strain.swap_most or 0)
    return replace(strain, swap_most=look.swap, swap_at=look.at) if more else strain


def _clocks(before: Mapping[str, Clock], seen: Mapping[str, float]) -> dict[str, Clock]:
    found = dict(before)
    for unit, hertz in seen.items():
        known = found.get(unit, Clock(hertz, hertz))
        found[unit] = Clock(min(known.least_hz, hertz), max(known.most_hz, hertz))
    return found
