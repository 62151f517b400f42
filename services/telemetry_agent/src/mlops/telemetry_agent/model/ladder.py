# SPDX-License-Identifier: Apache-2.0
"""One ladder of heat for all machines: 0 nominal, 1 elevated, 2 throttled, 3 critical, 4 emergency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

NOMINAL, ELEVATED, THROTTLED, CRITICAL, EMERGENCY = range(5)
NAMES = ("nominal", "elevated", "throttled", "critical", "emergency")
MARGIN_C = 8.0

# com.apple.system.thermalpressurelevel; macOS counts 0 to 4.
DARWIN_NAMES = ("Nominal", "Moderate", "Heavy", "Trapping", "Sleeping")

NVML_SOFTWARE_THERMAL, NVML_HARDWARE_THERMAL = 0x20, 0x40


@dataclass(frozen=True)
class Sensor:
    """A temperature and the points at which the machine acts on it; None where it names none.

    `limit_c` is the processor's own limit: it slows itself down there, long before anything switches off.
    """

    label: str
    temp_c: float
    passive_c: float | None = None
    hot_c: float | None = None
    critical_c: float | None = None
    limit_c: float | None = None


@dataclass(frozen=True)
class Rung:
    """A place on the ladder and what the machine itself said."""

    level: int
    native: str


def darwin(pressure: int) -> Rung | None:
    """Return the rung of a macOS thermal pressure level, or None for a value that is not one."""
    if not 0 <= pressure < len(DARWIN_NAMES):
        return None
    return Rung(pressure, DARWIN_NAMES[pressure])


def sensor(reading: Sensor) -> Rung | None:
    """Return the rung of one sensor, or None when it names no point to compare with."""
    points = (
        (reading.critical_c, EMERGENCY, "critical"),
        (reading.hot_c, CRITICAL, "hot"),
        (reading.limit_c, THROTTLED, "limit"),
    )
    for point, level, name in points:
        if point is not None and reading.temp_c >= point:
            return Rung(level, f"{reading.label} {reading.temp_c:.0f} °C, {name} at {point:.0f} °C")
    acts_at = reading.passive_c or reading.limit_c or reading.hot_c or reading.critical_c
    if acts_at is None:
        return None
    # Reaching the passive point is the cooling at work, not yet a slow-down: only a counter can tell that.
    near = reading.temp_c >= acts_at - MARGIN_C
    native = f"{reading.label} {reading.temp_c:.0f} °C of {acts_at:.0f} °C"
    return Rung(ELEVATED if near else NOMINAL, native)


def margin(reading: Sensor) -> float | None:
    """Return how many degrees are left until the machine acts on a sensor; None when it names no such point."""
    points = (reading.passive_c, reading.limit_c, reading.hot_c, reading.critical_c)
    known = [point for point in points if point is not None]
    return min(known) - reading.temp_c if known else None


def linux(sensors: Sequence[Sensor], throttle_events: int | None) -> Rung | None:
    """Return the rung of a Linux machine: its hottest sensor, or throttling that its counters saw."""
    rungs = [rung for reading in sensors if (rung := sensor(reading)) is not None]
    if throttle_events is not None:
        counted = THROTTLED if throttle_events > 0 else NOMINAL
        rungs.append(Rung(counted, f"{throttle_events} throttle events"))
    return max(rungs, key=lambda rung: rung.level, default=None)


def nvidia(reasons: int, margin_c: float | None) -> Rung:
    """Return the rung of an NVIDIA GPU from its clock-event bits; a power cap is normal at full load."""
    if reasons & NVML_HARDWARE_THERMAL:
        return Rung(CRITICAL, "hw_thermal_slowdown")
    if reasons & NVML_SOFTWARE_THERMAL:
        return Rung(THROTTLED, "sw_thermal_slowdown")
    if margin_c is not None and margin_c < MARGIN_C:
        return Rung(ELEVATED, f"{margin_c:.0f} °C below slowdown")
    return Rung(NOMINAL, "no thermal event")
