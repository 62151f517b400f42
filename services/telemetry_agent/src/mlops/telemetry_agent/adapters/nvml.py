# SPDX-License-Identifier: Apache-2.0
"""NvmlProbe: NVIDIA GPUs through the driver's own library, loaded only where it exists.

Questions and units as in NVIDIA's NVML reference: power in mW, energy in mJ since the driver was loaded, clocks in
MHz, violation times in ns. A GPU that fell off the bus is an emergency, not an unknown.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mlops.telemetry_agent.model import ladder
from mlops.telemetry_agent.model.ladder import Rung
from mlops.telemetry_agent.model.reading import (
    FAILED,
    LEVEL,
    UNSUPPORTED,
    GpuReading,
    Partial,
    Value,
)

NAME = "nvml"
_LIBRARY = "libnvidia-ml.so.1"
_REASONS = {
    0x2: "applications_clocks",
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake",
}
_LOST = (15, 16)  # NVML_ERROR_GPU_IS_LOST, NVML_ERROR_RESET_REQUIRED


@dataclass(frozen=True)
class _Counters:
    """What only grows; None where a GPU does not count it."""

    millijoules: int | None
    throttled_ns: int | None


class NvmlProbe:
    """One reading of all GPUs; a host without a driver says that it has none."""

    name = NAME

    def __init__(self, nvml: Any = None) -> None:
        self._nvml: Any = nvml or _load()
        self._gpus: dict[int, Any] = self._handles() if self._nvml else {}
        self._before: dict[int, _Counters] = {}
        self._lost: set[int] = set()

    def read(self, at_s: float) -> Partial:  # noqa: ARG002 - NVML measures by itself
        """Look once."""
        if not self._gpus:
            return Partial(
                NAME,
                {"chip.cuda_available": False},
                {"gpus": UNSUPPORTED, "power.gpu_w": UNSUPPORTED},
            )
        self._lost = set()
        seen = [self._gpu(place, handle) for place, handle in self._gpus.items()]
        readings = [reading for reading, _ in seen]
        values: dict[str, Value] = {"chip.cuda_available": True}
        missing: dict[str, str] = {}
        if name := next((gpu.name for gpu in readings if gpu.name), ""):
            values["chip.gpu_name"] = name
        rungs = [rung for _, rung in seen if rung is not None]
        if rungs:
            hottest = max(rungs, key=lambda rung: rung.level)
            values |= {LEVEL: hottest.level, "thermal.native": hottest.native}
        else:
            missing[LEVEL] = FAILED
        _sum_up(readings, values, missing)
        values |= self._counted()
        return Partial(NAME, values, missing, tuple(readings))

    def close(self) -> None:
        """Let the driver go."""
        if self._nvml:
            self._ask(None, self._nvml.nvmlShutdown)

    def _handles(self) -> dict[int, Any]:
        count = self._ask(None, self._nvml.nvmlDeviceGetCount) or 0
        found = {
            place: self._ask(None, self._nvml.nvmlDeviceGetHandleByIndex, place)
            for place in range(count)
        }
        return {place: handle for place, handle in found.items() if handle is not None}

    def _gpu(self, place: int, handle: Any) -> tuple[GpuReading, Rung | None]:
        nvml = self._nvml
        memory = self._ask(place, nvml.nvmlDeviceGetMemoryInfo, handle)
        busy = self._ask(place, nvml.nvmlDeviceGetUtilizationRates, handle)
        temp = self._ask(place, nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU)
        milliwatts = self._ask(place, nvml.nvmlDeviceGetPowerUsage, handle)
        megahertz = self._ask(place, nvml.nvmlDeviceGetClockInfo, handle, nvml.NVML_CLOCK_SM)
        reasons = self._ask(place, nvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
        name = self._ask(place, nvml.nvmlDeviceGetName, handle)
        margin = self._margin(place, handle, temp)
        reading = GpuReading(
            id=f"gpu{place}",
            name=str(name or "")[:128],
            freq_hz=None if megahertz is None else megahertz * 1e6,
            busy_ratio=None if busy is None else busy.gpu / 100,
            memory_used_bytes=None if memory is None else int(memory.used),
            memory_total_bytes=None if memory is None else int(memory.total),
            temp_c=None if temp is None else float(temp),
            power_w=None if milliwatts is None else milliwatts / 1000,
            event_reasons=tuple(text for bit, text in _REASONS.items() if (reasons or 0) & bit),
        )
        if place in self._lost:
            return reading, Rung(ladder.EMERGENCY, f"gpu{place} is lost")
        silent = reasons is None and margin is None
        return reading, None if silent else ladder.nvidia(reasons or 0, margin)

    def _margin(self, place: int, handle: Any, temp: float | None) -> float | None:
        """Return how many degrees are left: new chips say so themselves, older ones name the slowdown point."""
        ask = getattr(self._nvml, "nvmlDeviceGetMarginTemperature", None)
        left = self._ask(place, ask, handle) if ask else None
        left = getattr(left, "marginTemperature", left)
        if left is not None:
            return float(left)
        slowdown = self._ask(
            place,
            self._nvml.nvmlDeviceGetTemperatureThreshold,
            handle,
            self._nvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN,
        )
        return float(slowdown - temp) if slowdown and temp is not None else None

    def _counted(self) -> dict[str, Value]:
        """Return joules and throttled seconds since the reading before; a counter that went back began anew."""
        now = {place: self._counters(place, handle) for place, handle in self._gpus.items()}
        before, self._before = self._before, now
        joules = _grown(before, now, lambda counters: counters.millijoules)
        held_back = _grown(before, now, lambda counters: counters.throttled_ns)
        values: dict[str, Value] = {}
        if joules:
            values["energy.gpu_j"] = sum(joules) / 1000
        if held_back:
            values["thermal.throttled_s_delta"] = max(held_back) / 1e9
        return values

    def _counters(self, place: int, handle: Any) -> _Counters:
        nvml = self._nvml
        violation = self._ask(
            place, nvml.nvmlDeviceGetViolationStatus, handle, nvml.NVML_PERF_POLICY_THERMAL
        )
        return _Counters(
            self._ask(place, nvml.nvmlDeviceGetTotalEnergyConsumption, handle),
            None if violation is None else int(violation.violationTime),
        )

    def _ask(self, place: int | None, question: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return question(*arguments)
        except self._nvml.NVMLError as error:
            if place is not None and getattr(error, "value", None) in _LOST:
                self._lost.add(place)
            return None


def _sum_up(gpus: Sequence[GpuReading], values: dict[str, Value], missing: dict[str, str]) -> None:
    temps = [gpu.temp_c for gpu in gpus if gpu.temp_c is not None]
    watts = [gpu.power_w for gpu in gpus if gpu.power_w is not None]
    for field, found, make in (
        ("thermal.gpu_temp_c", temps, max),
        ("power.gpu_w", watts, sum),
    ):
        if found:
            values[field] = make(found)
        else:
            missing[field] = FAILED


def _grown(
    before: dict[int, _Counters],
    now: dict[int, _Counters],
    which: Callable[[_Counters], int | None],
) -> list[int]:
    grown = []
    for place in before.keys() & now.keys():
        old, new = which(before[place]), which(now[place])
        if old is not None and new is not None:
            grown.append(new - old if new >= old else 0)
    return grown


def _load() -> Any:
    try:
        ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    import pynvml  # noqa: PLC0415 - only where a driver is; elsewhere it is memory for nothing

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml
