# SPDX-License-Identifier: Apache-2.0
"""What nvidia-smi says of GPUs, whichever way it printed it: MiB, %, °C, W, MHz and µs with their units in each value.

Source: nvidia-smi(1) and NVML's clocks event reasons. `N/A` and `[Not Supported]` are missing because the GPU cannot tell,
`[Insufficient Permissions]` because we may not know. Only the two thermal slow-downs are heat; a power cap is normal at full
load and is told as the reason `power_cap`. Newer GPUs give margins (T.Limit) where older ones give thresholds: both become the
degrees that are left until the hardware slows down. nvidia-smi prints the local time of a machine whose zone it does not
tell; it is taken as UTC, and `observed_at.zone` is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from mlops.telemetry_agent.adapters.formats.document import Document, number, word
from mlops.telemetry_agent.model import ladder
from mlops.telemetry_agent.model.ladder import EMERGENCY, NOMINAL, Rung
from mlops.telemetry_agent.model.reading import (
    DENIED,
    FAILED,
    LEVEL,
    STALE,
    UNSUPPORTED,
    GpuReading,
    Partial,
    Value,
)
from mlops.telemetry_agent.model.sample import joined_reasons

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
_AMOUNT = re.compile(r"(-?\d{1,20}(?:\.\d{1,10})?) ?(%|C|W|mW|[KMGT]i?B|B|[MG]Hz|Hz|us|ms|s|RPM)?")
_SCALES = {"mW": 1e-3, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40, "%": 1e-2}
# NVIDIA writes MB and means MiB.
_SCALES |= {"KB": 2**10, "MB": 2**20, "GB": 2**30, "TB": 2**40}
_SCALES |= {"MHz": 1e6, "GHz": 1e9, "us": 1e-6, "ms": 1e-3}
_LONG = re.compile(r"\w{3} (\w{3}) +(\d{1,2}) (\d\d):(\d\d):(\d\d) (\d{4})")
_SHORT = re.compile(r"(\d{4})/(\d\d)/(\d\d) (\d\d):(\d\d):(\d\d)(?:\.\d{1,6})?")

THERMAL = {
    "sw_thermal_slowdown": ladder.NVML_SOFTWARE_THERMAL,
    "hw_thermal_slowdown": ladder.NVML_HARDWARE_THERMAL,
}
_REASONS = {"sw_power_cap": "power_cap", "hw_power_brake_slowdown": "power_brake"}
_IDLE = "gpu_idle"
_LOST = "GPU is lost"


@dataclass(frozen=True)
class Gpu:
    """One GPU as it was printed.

    `said` has the texts by our names: name, busy, memory_used, memory_total, temp, power, clock, slowdown (°C at which it
    slows down), shutdown, margin (°C left to the limit), slow_margin and off_margin (where on that scale they happen).
    `reasons` has the clocks event reasons that are active, None where none are told; `counters` the texts of the time
    spent in each of the thermal ones.
    """

    said: Mapping[str, str]
    reasons: tuple[str, ...] | None = None
    counters: Mapping[str, str] = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True)
class Log:
    """What nvidia-smi printed at one time."""

    gpus: tuple[Gpu, ...]
    at: str = ""


def documents(logs: Sequence[Log], probe: str) -> list[Document]:
    """Return a document for each log; the time spent throttled is counted from the log before."""
    found = []
    before: dict[str, float] = {}
    for log in logs:
        counted = _counted(log)
        found.append(_document(log, probe, before, counted))
        before = counted or before
    return found


def amount(text: str | None) -> float | None:
    """Return a value in SI units and shares of 1; None for what is none, such as `N/A`."""
    found = _AMOUNT.fullmatch((text or "").strip())
    if not found:
        return None
    value = number(found[1])
    return None if value is None else value * _SCALES.get(found[2] or "", 1)


def time(text: str) -> datetime | None:
    """Return the time that nvidia-smi printed, as if it were UTC."""
    if found := _LONG.fullmatch(text.strip()):
        month = _MONTHS.index(found[1]) + 1 if found[1] in _MONTHS else 0
        day, hour, minute, second, year = (int(found[place]) for place in range(2, 7))
    elif found := _SHORT.fullmatch(text.strip()):
        year, month, day, hour, minute, second = (int(found[place]) for place in range(1, 7))
    else:
        return None
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return None


def _document(
    log: Log, probe: str, before: Mapping[str, float], counted: Mapping[str, float]
) -> Document:
    readings = tuple(_reading(place, gpu) for place, gpu in enumerate(log.gpus))
    values: dict[str, Value] = {"chip.cuda_available": bool(readings)}
    missing: dict[str, str] = {}
    if name := next((reading.name for reading in readings if reading.name), ""):
        values["chip.gpu_name"] = name
    _sum_up(log, readings, values, missing)
    _heat(log, values, missing)
    both = before.keys() & counted.keys()
    if both:
        spent = sum(max(0.0, counted[key] - before[key]) for key in both)
        values["thermal.throttled_s_delta"] = spent
    elif counted:
        missing["thermal.throttled_s_delta"] = STALE
    at = time(log.at)
    if at:
        missing["observed_at.zone"] = UNSUPPORTED
    return Document(Partial(probe, values, missing, readings), at=at)


def _reading(place: int, gpu: Gpu) -> GpuReading:
    said = {name: amount(text) for name, text in gpu.said.items() if name != "name"}
    used, total = said.get("memory_used"), said.get("memory_total")
    return GpuReading(
        gpu.id or f"gpu{place}",
        busy_ratio=said.get("busy"),
        memory_used_bytes=None if used is None else int(used),
        memory_total_bytes=None if total is None else int(total),
        temp_c=said.get("temp"),
        power_w=said.get("power"),
        event_reasons=tuple(reason for reason in gpu.reasons or () if reason != _IDLE),
        name=word(gpu.said.get("name")) or "",
        freq_hz=said.get("clock"),
    )


def _sum_up(
    log: Log, readings: Sequence[GpuReading], values: dict[str, Value], missing: dict[str, str]
) -> None:
    temps = [reading.temp_c for reading in readings if reading.temp_c is not None]
    watts = [reading.power_w for reading in readings if reading.power_w is not None]
    for name, kind, found in (
        ("thermal.gpu_temp_c", "temp", max(temps, default=None)),
        ("power.gpu_w", "power", sum(watts) if watts else None),
    ):
        if found is not None:
            values[name] = found
        else:
            missing[name] = _why(log, kind)


def _why(log: Log, kind: str) -> str:
    said = " ".join(gpu.said.get(kind, "") for gpu in log.gpus)
    if "Permission" in said:
        return DENIED
    return FAILED if "Unknown Error" in said or "lost" in said else UNSUPPORTED


def _heat(log: Log, values: dict[str, Value], missing: dict[str, str]) -> None:
    margins = [margin for gpu in log.gpus if (margin := _margin(gpu, "slow")) is not None]
    if margins:
        values["thermal.margin_c"] = min(margins)
    rungs = [rung for gpu in log.gpus if (rung := _rung(gpu)) is not None]
    hottest = max(rungs, key=lambda rung: rung.level, default=None)
    if hottest:
        values |= {LEVEL: hottest.level, "thermal.native": hottest.native}
    else:
        missing[LEVEL] = UNSUPPORTED
    told = [reason for gpu in log.gpus for reason in gpu.reasons or ()]
    reasons = ["thermal" if reason in THERMAL else _REASONS.get(reason, "") for reason in told]
    if any(reasons):
        values["thermal.reasons"] = joined_reasons(filter(None, reasons))


def _rung(gpu: Gpu) -> Rung | None:
    if any(_LOST in text for text in gpu.said.values()):
        return Rung(EMERGENCY, _LOST)
    margin, off = _margin(gpu, "slow"), _margin(gpu, "off")
    if off is not None and off <= 0:
        return Rung(EMERGENCY, f"{-off:.0f} °C above shutdown")
    if gpu.reasons is None and margin is None:
        return None
    bits = sum(bit for reason, bit in THERMAL.items() if reason in (gpu.reasons or ()))
    rung = ladder.nvidia(bits, margin)
    return (
        rung
        if gpu.reasons is not None or rung.level > NOMINAL
        else Rung(NOMINAL, f"{margin:.0f} °C below slowdown")
    )


def _margin(gpu: Gpu, kind: str) -> float | None:
    """Return the degrees that are left until the GPU slows down ("slow") or switches off ("off")."""
    left, point = amount(gpu.said.get("margin")), amount(gpu.said.get(f"{kind}_margin"))
    if left is not None and point is not None:
        return left - point
    temp = amount(gpu.said.get("temp"))
    threshold = amount(gpu.said.get("slowdown" if kind == "slow" else "shutdown"))
    return None if temp is None or threshold is None else threshold - temp


def _counted(log: Log) -> dict[str, float]:
    return {
        f"{place} {name}": seconds
        for place, gpu in enumerate(log.gpus)
        for name, text in gpu.counters.items()
        if (seconds := amount(text)) is not None
    }
