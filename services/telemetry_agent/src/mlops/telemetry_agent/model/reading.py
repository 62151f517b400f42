# SPDX-License-Identifier: Apache-2.0
"""Partial and Reading: what one probe, and what all probes together, could read; None never stands for zero."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
    """All probes together: values, which probe gave each, and why the others are absent."""

    values: Mapping[str, Value] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    gpus: tuple[GpuReading, ...] = ()
    clusters: tuple[ClusterReading, ...] = ()
    fans: tuple[FanReading, ...] = ()

    def number(self, name: str) -> float | None:
        """Return a numeric field, or None."""
        value = self.values.get(name)
        return None if value is None or isinstance(value, str) else float(value)


def compose(partials: Sequence[Partial]) -> Reading:
    """Merge partials; the earlier probe wins, but for the level of heat, where the hottest does.

    A value that cannot be (NaN, negative, out of range) is missing with the reason `failed`.
    """
    values: dict[str, Value] = {}
    provenance: dict[str, str] = {}
    missing: dict[str, str] = {}
    for partial in partials:
        for name, value in partial.values.items():
            if not is_possible(name, value):
                missing.setdefault(name, FAILED)
            elif name not in values and name not in _OF_THE_LEVEL:
                values[name], provenance[name] = value, partial.probe
        for name, reason in partial.missing.items():
            missing.setdefault(name, reason)
    _take_hottest(partials, values, provenance)
    absent = {name: reason for name, reason in missing.items() if name not in values}
    gpus = tuple(_plausible(gpu) for partial in partials for gpu in partial.gpus)
    return Reading(values, provenance, absent, gpus)


def is_possible(name: str, value: Value) -> bool:
    """Say whether a value can be what the machine does."""
    if isinstance(value, str | bool):
        return True
    if not math.isfinite(value):
        return False
    low, high = next((r for suffix, r in _RANGES.items() if name.endswith(suffix)), (0.0, math.inf))
    return low <= value <= high


_OF_THE_LEVEL = (LEVEL, "thermal.native", "thermal.level_source")
_RANGES = {
    "temp_c": (-20.0, 150.0),
    "_w": (0.0, 2000.0),
    "_ratio": (0.0, 1.02),
    "level": (0.0, 4.0),
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


def _plausible(gpu: GpuReading) -> GpuReading:
    kept = {
        name: value
        for name, value in vars(gpu).items()
        if not isinstance(value, int | float) or is_possible(name, value)
    }
    return GpuReading(**kept)
