# SPDX-License-Identifier: Apache-2.0
"""Partial and Reading: what one probe, and what all probes together, could read; None never stands for zero."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

LEVEL = "thermal.level"

Value = bool | int | float | str
UNSUPPORTED, DENIED, FAILED, STALE = "unsupported", "denied", "failed", "stale"


@dataclass(frozen=True)
class GpuReading:
    """One GPU; None where it does not say."""

    id: str
    busy_ratio: float | None = None
    memory_used_bytes: int | None = None
    memory_total_bytes: int | None = None
    temp_c: float | None = None
    power_w: float | None = None
    event_reasons: tuple[str, ...] = ()
    name: str = ""
    freq_hz: float | None = None


@dataclass(frozen=True)
class ClusterReading:
    """Processor cores that share a clock; None where they do not say."""

    name: str
    kind: str = "unknown"
    cores: int | None = None
    busy_ratio: float | None = None
    freq_hz: float | None = None


@dataclass(frozen=True)
class FanReading:
    """One fan."""

    name: str
    rpm: float
    max_rpm: float | None = None


P = TypeVar("P", GpuReading, ClusterReading, FanReading)


@dataclass(frozen=True)
class Partial:
    """What one probe has read: values by field (`thermal.cpu_temp_c`), reasons for what it could not."""

    probe: str
    values: Mapping[str, Value] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    gpus: tuple[GpuReading, ...] = ()
    clusters: tuple[ClusterReading, ...] = ()
    fans: tuple[FanReading, ...] = ()


@dataclass(frozen=True)
class Reading:
    """All probes together: values, which probe gave each, why the others are absent, how many were thrown away."""

    values: Mapping[str, Value] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    gpus: tuple[GpuReading, ...] = ()
    clusters: tuple[ClusterReading, ...] = ()
    fans: tuple[FanReading, ...] = ()
    dropped: int = 0

    def number(self, name: str) -> float | None:
        """Return a numeric field, or None."""
        value = self.values.get(name)
        return None if value is None or isinstance(value, str) else float(value)


def compose(partials: Sequence[Partial]) -> Reading:
    """Merge partials; the earlier probe wins, but for the level of heat, where the hottest does.

    A value that cannot be (NaN, negative, out of range) is missing with the reason `failed`, and counted. GPUs are
    merged by id, the smallest margin counts; clusters and fans are those of the first probe that has any, because each names them its own way.
    """
    values: dict[str, Value] = {}
    provenance: dict[str, str] = {}
    missing: dict[str, str] = {}
    dropped = 0
    for partial in partials:
        for name, value in partial.values.items():
            if not is_possible(name, value):
                missing.setdefault(name, FAILED)
                dropped += 1
            elif _is_better(name, value, values):
                values[name], provenance[name] = value, partial.probe
        for name, reason in partial.missing.items():
            missing.setdefault(name, reason)
    _take_hottest(partials, values, provenance)
    absent = {name: reason for name, reason in missing.items() if name not in values}
    gpus, lost = _gpus(partials)
    clusters = next((partial.clusters for partial in partials if partial.clusters), ())
    fans = next((partial.fans for partial in partials if partial.fans), ())
    for kind, of in (("gpus", gpus), ("clusters", clusters), ("fans", fans)):
        if of:
            provenance[kind] = next(partial.probe for partial in partials if getattr(partial, kind))
    turning = tuple(_plausible(fan) for fan in fans if _turns(fan))
    dropped += lost + sum(map(_impossible, clusters)) + sum(map(_impossible, fans))
    sane = tuple(map(_plausible, clusters))
    return Reading(values, provenance, absent, gpus, sane, turning, dropped)


def is_possible(name: str, value: Value) -> bool:
    """Say whether a value can be what the machine does."""
    if isinstance(value, str | bool):
        return True
    low, high = next((r for suffix, r in _RANGES.items() if name.endswith(suffix)), _ANY)
    return low <= value <= high  # false for NaN, too


def _is_better(name: str, value: Value, values: Mapping[str, Value]) -> bool:
    if name == _TIGHTEST and name in values:
        return float(value) < float(values[name])
    return name not in values and name not in _OF_THE_LEVEL


_TIGHTEST = "thermal.margin_c"
_OF_THE_LEVEL = (LEVEL, "thermal.native", "thermal.level_source")
_ANY = (0.0, 1e18)
# The first that fits counts.
_RANGES = {
    "temp_c": (-20.0, 150.0),
    "margin_c": (-150.0, 150.0),
    "system_w": (0.0, 5000.0),
    "_w": (0.0, 2000.0),
    "_ratio": (0.0, 1.02),
    "level": (0.0, 4.0),
    "cores": (1.0, 1e6),
}


def _take_hottest(
    partials: Sequence[Partial], values: dict[str, Value], provenance: dict[str, str]
) -> None:
    known = [p for p in partials if LEVEL in p.values and is_possible(LEVEL, p.values[LEVEL])]
    if not known:
        return
    hottest = max(known, key=lambda partial: float(partial.values[LEVEL]))  # the first of equals
    values[LEVEL] = hottest.values[LEVEL]
    values["thermal.native"] = hottest.values.get("thermal.native", "")
    values["thermal.level_source"] = hottest.probe
    provenance[LEVEL] = hottest.probe


def _gpus(partials: Sequence[Partial]) -> tuple[tuple[GpuReading, ...], int]:
    """Return each GPU once, what one probe does not say filled in by the next; and how many values cannot be."""
    found: dict[str, GpuReading] = {}
    dropped = 0
    for gpu in (gpu for partial in partials for gpu in partial.gpus):
        dropped += _impossible(gpu)
        sane = _plausible(gpu)
        known = found.get(gpu.id)
        found[gpu.id] = _filled(known, sane) if known else sane
    return tuple(found.values()), dropped


def _filled(known: GpuReading, other: GpuReading) -> GpuReading:
    absent: dict[str, Any] = {
        name: value
        for name, value in vars(other).items()
        if getattr(known, name) in (None, "", ()) and value not in (None, "", ())
    }
    return replace(known, **absent)


def _impossible(part: GpuReading | ClusterReading | FanReading) -> int:
    return sum(
        isinstance(value, int | float) and not is_possible(name, value)
        for name, value in vars(part).items()
    )


def _plausible(part: P) -> P:
    impossible: dict[str, Any] = {
        name: None
        for name, value in vars(part).items()
        if isinstance(value, int | float) and not is_possible(name, value)
    }
    return replace(part, **impossible)


def _turns(fan: FanReading) -> bool:
    return is_possible("rpm", fan.rpm)
