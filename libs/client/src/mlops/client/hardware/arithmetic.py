# SPDX-License-Identifier: Apache-2.0
"""Readings become sums: time above a level, peaks; and reasons for what is not known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mlops.client.hardware.energy import Drawn, tags, text

THROTTLED = 2  # the level of heat from which a machine slows down
_GIB = 2**30
NO_READING = "no telemetry agent told of this machine during the run"

Sample = Mapping[str, Any]


@dataclass(frozen=True)
class Reading:
    """The machine at one moment, as far as sums need it."""

    at_s: float
    heat_level: int | None = None


@dataclass(frozen=True)
class Totals:
    """What the readings so far came to; seconds of unknown heat are not in them."""

    began_s: float
    last: Reading | None = None
    samples: int = 0
    heat_known: bool = False
    throttled_s: float = 0.0
    peak_heat_level: int = 0


def identity(sample: Sample) -> tuple[Any, ...]:
    """Return what tells one sample from the next: a sample that is read twice counts once."""
    return tuple(sample.get(key) for key in ("boot_id", "seq", "observed_at"))


def metrics(sample: Sample) -> dict[str, float]:
    """Return the `system/*` metrics of a sample; what it does not know is absent."""
    memory, power, thermal = (_inner(sample, key) for key in ("memory", "power", "thermal"))
    busy = [_number(gpu, "busy_ratio") for gpu in sample.get("gpus") or ()]
    known = [one for one in busy if one is not None]
    total, free = _number(memory, "total_bytes"), _number(memory, "available_bytes")
    found = {
        "cpu_utilization_percentage": _scaled(_number(sample, "cpu_busy_ratio"), 100),
        "memory_used_gb": (total - free) / _GIB if total is not None and free is not None else None,
        "gpu_utilization_percentage": 100 * sum(known) / len(known) if known else None,
        "package_power_w": _number(power, "package_w"),
        "gpu_power_w": _number(power, "gpu_w"),
        "heat_level": _number(thermal, "level"),
        "temperature_celsius": _hottest(thermal),
    }
    return {f"system/{name}": value for name, value in found.items() if value is not None}


def reading(sample: Sample, at_s: float) -> Reading:
    """Return what sums need of a sample that was read at *at_s*."""
    level = _number(_inner(sample, "thermal"), "level")
    return Reading(at_s, None if level is None else int(level))


def add(totals: Totals, new: Reading, hold_s: float) -> Totals:
    """Return the totals with one more reading; over a gap longer than *hold_s* nothing is known."""
    # Before the first reading the machine is taken to have been as it was then.
    last = totals.last or replace(new, at_s=totals.began_s)
    passed = _until(totals, last, new, hold_s)
    level = new.heat_level
    return replace(
        passed,
        last=new,
        samples=totals.samples + 1,
        heat_known=passed.heat_known or level is not None,
        peak_heat_level=max(passed.peak_heat_level, level or 0),
    )


def close(totals: Totals, at_s: float, hold_s: float) -> Totals:
    """Return the totals at the end of the run; the last reading is held until then."""
    if totals.last is None:
        return totals
    return _until(totals, totals.last, replace(totals.last, at_s=at_s), hold_s)


def summary(
    totals: Totals,
    energy: Drawn,
    lasted_s: float,
    peak_bytes: int | None,
    sample: Sample | None,
) -> dict[str, str]:
    """Return the tags `hw.*`; `hw.reason.<field>` says why one is unknown, or of how much of the run it tells."""
    found: dict[str, str] = {"hw.samples": str(totals.samples)}
    reasons: dict[str, str] = {}
    if energy.covered_s > 0:
        told, part = tags(energy, lasted_s)
        found |= told
        reasons |= {"energy_j": part} if part else {}
    else:
        unknown = ("energy_j", "machine_energy_j", "mean_power_w")
        reasons |= dict.fromkeys(unknown, _why(sample, "power"))
    if totals.heat_known:
        found["hw.peak_heat_level"] = str(totals.peak_heat_level)
        found["hw.throttled_s"] = text(totals.throttled_s)
    else:
        reasons |= dict.fromkeys(("peak_heat_level", "throttled_s"), _why(sample, "thermal"))
    if peak_bytes:
        found["hw.peak_memory_gb"] = text(peak_bytes / _GIB)
    else:
        reasons["peak_memory_gb"] = "this system does not tell it without psutil"
    return found | {f"hw.reason.{name}": why for name, why in reasons.items()}


def _until(totals: Totals, one: Reading, other: Reading, hold_s: float) -> Totals:
    """Return the totals with the time between two readings; heat is taken to change in steps."""
    passed_s = other.at_s - one.at_s
    if not 0 < passed_s <= hold_s:
        return totals
    if one.heat_level is not None and one.heat_level >= THROTTLED:
        totals = replace(totals, throttled_s=totals.throttled_s + passed_s)
    return totals


def _why(sample: Sample | None, group: str) -> str:
    if sample is None:
        return NO_READING
    missing = _inner(sample, "missing")
    told = [
        f"{name}: {why}" for name, why in sorted(missing.items()) if str(name).startswith(group)
    ]
    return "; ".join(told)[:500] or f"this machine tells nothing of {group}"


def _hottest(thermal: Mapping[str, Any]) -> float | None:
    known = [
        one for key in ("cpu_temp_c", "gpu_temp_c") if (one := _number(thermal, key)) is not None
    ]
    return max(known, default=None)


def _scaled(value: float | None, by: float) -> float | None:
    return None if value is None else value * by


def _number(values: Mapping[str, Any], name: str) -> float | None:
    found = values.get(name)
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) else None


def _inner(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}
