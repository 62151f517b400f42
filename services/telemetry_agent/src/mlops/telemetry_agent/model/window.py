# SPDX-License-Identifier: Apache-2.0
"""Many readings become one: means of what flows, the hottest of what burns, sums of events, the last of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from mlops.telemetry_agent.model.reading import GpuReading, Reading, Value

_MEAN = ("_w", "_ratio")
_MOST = ("_temp_c",)
_SUM = ("_delta",)


def aggregate(readings: Sequence[Reading]) -> Reading:
    """Return one reading for a window; a field that only some readings have is made of those."""
    if not readings:
        return Reading()
    names = {name for reading in readings for name in reading.values}
    values = {
        name: _one(name, [r.values[name] for r in readings if name in r.values]) for name in names
    }
    provenance = {name: probe for r in readings for name, probe in r.provenance.items()}
    missing = {
        name: reason
        for reading in readings
        for name, reason in reading.missing.items()
        if name not in values
    }
    return Reading(values, provenance, missing, _gpus(readings))


def _one(name: str, values: Sequence[Value]) -> Value:
    numbers = [float(v) for v in values if not isinstance(v, str | bool)]
    if len(numbers) < len(values):
        return values[-1]
    if name.endswith(_MEAN):
        return fmean(numbers)
    if name.endswith(_MOST):
        return max(numbers)
    return int(sum(numbers)) if name.endswith(_SUM) else values[-1]


def _gpus(readings: Sequence[Reading]) -> tuple[GpuReading, ...]:
    ids = dict.fromkeys(gpu.id for reading in readings for gpu in reading.gpus)
    return tuple(_gpu([g for r in readings for g in r.gpus if g.id == name]) for name in ids)


def _gpu(seen: Sequence[GpuReading]) -> GpuReading:
    busy = [gpu.busy_ratio for gpu in seen if gpu.busy_ratio is not None]
    power = [gpu.power_w for gpu in seen if gpu.power_w is not None]
    temps = [gpu.temp_c for gpu in seen if gpu.temp_c is not None]
    reasons = dict.fromkeys(reason for gpu in seen for reason in gpu.event_reasons)
    return replace(
        seen[-1],
        busy_ratio=fmean(busy) if busy else None,
        power_w=fmean(power) if power else None,
        temp_c=max(temps, default=None),
        event_reasons=tuple(reasons),
    )
