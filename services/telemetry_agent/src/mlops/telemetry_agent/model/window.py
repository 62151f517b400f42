# SPDX-License-Identifier: Apache-2.0
"""Many readings become one: means of what flows, the hottest of what burns, sums of events, the last of the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from statistics import fmean

from mlops.telemetry_agent.model.reading import ClusterReading, GpuReading, Reading, Value

_MADE: tuple[tuple[tuple[str, ...], Callable[[Sequence[float]], Value]], ...] = (
    (("_w", "_ratio"), fmean),
    (("_temp_c",), max),
    (("margin_c",), min),
    (("events_delta", "kills_delta"), lambda counts: int(sum(counts))),
    (("_delta", "_j"), sum),
)
_ALL = "thermal.reasons"
_EVER = "thermal.derived_throttle"


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
    return Reading(
        values,
        provenance,
        missing,
        _gpus(readings),
        _clusters(readings),
        next((reading.fans for reading in reversed(readings) if reading.fans), ()),
        sum(reading.dropped for reading in readings),
    )


def _one(name: str, values: Sequence[Value]) -> Value:
    if name == _ALL:
        return ",".join(dict.fromkeys(part for v in values for part in str(v).split(",") if part))
    if name == _EVER:
        return any(values)
    numbers = [float(v) for v in values if not isinstance(v, str | bool)]
    if len(numbers) < len(values):
        return values[-1]
    made = next((how for endings, how in _MADE if name.endswith(endings)), None)
    return values[-1] if made is None else made(numbers)


def _gpus(readings: Sequence[Reading]) -> tuple[GpuReading, ...]:
    ids = dict.fromkeys(gpu.id for reading in readings for gpu in reading.gpus)
    return tuple(_gpu([g for r in readings for g in r.gpus if g.id == name]) for name in ids)


def _gpu(seen: Sequence[GpuReading]) -> GpuReading:
    reasons = dict.fromkeys(reason for gpu in seen for reason in gpu.event_reasons)
    return replace(
        seen[-1],
        busy_ratio=_mean(gpu.busy_ratio for gpu in seen),
        freq_hz=_mean(gpu.freq_hz for gpu in seen),
        power_w=_mean(gpu.power_w for gpu in seen),
        temp_c=max((gpu.temp_c for gpu in seen if gpu.temp_c is not None), default=None),
        event_reasons=tuple(reasons),
    )


def _clusters(readings: Sequence[Reading]) -> tuple[ClusterReading, ...]:
    # Those of the newest reading that has any: a probe that names them otherwise took its place.
    newest = next((reading.clusters for reading in reversed(readings) if reading.clusters), ())
    return tuple(
        _cluster(one, [c for r in readings for c in r.clusters if c.name == one.name])
        for one in newest
    )


def _cluster(newest: ClusterReading, seen: Sequence[ClusterReading]) -> ClusterReading:
    return replace(
        newest,
        busy_ratio=_mean(one.busy_ratio for one in seen),
        freq_hz=_mean(one.freq_hz for one in seen),
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
