# SPDX-License-Identifier: Apache-2.0
"""NvmlProbe: NVIDIA GPUs through the driver's own library, loaded only where it exists."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from mlops.telemetry_agent.model import ladder
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
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake",
}


class NvmlProbe:
    """One reading of all GPUs; a host without a driver says that it has none."""

    name = NAME

    def __init__(self, nvml: Any = None) -> None:
        self._nvml: Any = nvml or _load()
        self._gpus: dict[int, Any] = self._handles() if self._nvml else {}

    def read(self, at_s: float) -> Partial:  # noqa: ARG002 - NVML measures by itself
        """Look once."""
        if not self._gpus:
            return Partial(
                NAME,
                {"chip.cuda_available": False},
                {"gpus": UNSUPPORTED, "power.gpu_w": UNSUPPORTED},
            )
        seen = [self._gpu(place, handle) for place, handle in self._gpus.items()]
        readings = tuple(reading for reading, _ in seen)
        values: dict[str, Value] = {"chip.cuda_available": True}
        missing: dict[str, str] = {}
        if name := self._ask(self._nvml.nvmlDeviceGetName, next(iter(self._gpus.values()))):
            values["chip.gpu_name"] = str(name)[:64]
        rungs = [rung for _, rung in seen if rung is not None]
        if rungs:
            hottest = max(rungs, key=lambda rung: rung.level)
            values |= {LEVEL: hottest.level, "thermal.native": hottest.native}
        else:
            missing[LEVEL] = FAILED
        temps = [gpu.temp_c for gpu in readings if gpu.temp_c is not None]
        watts = [gpu.power_w for gpu in readings if gpu.power_w is not None]
        for field, found, sum_up in (
            ("thermal.gpu_temp_c", temps, max),
            ("power.gpu_w", watts, sum),
        ):
            if found:
                values[field] = sum_up(found)
            else:
                missing[field] = FAILED
        return Partial(NAME, values, missing, readings)

    def close(self) -> None:
        """Let the driver go."""
        if self._nvml:
            self._ask(self._nvml.nvmlShutdown)

    def _handles(self) -> dict[int, Any]:
        count = self._ask(self._nvml.nvmlDeviceGetCount) or 0
        found = {
            place: self._ask(self._nvml.nvmlDeviceGetHandleByIndex, place) for place in range(count)
        }
        return {place: handle for place, handle in found.items() if handle is not None}

    def _gpu(self, place: int, handle: Any) -> tuple[GpuReading, ladder.Rung | None]:
        nvml = self._nvml
        memory = self._ask(nvml.nvmlDeviceGetMemoryInfo, handle)
        busy = self._ask(nvml.nvmlDeviceGetUtilizationRates, handle)
        temp = self._ask(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU)
        milliwatts = self._ask(nvml.nvmlDeviceGetPowerUsage, handle)
        reasons = self._ask(nvml.nvmlDeviceGetCurrentClocksEventReasons, handle)
        slowdown = self._ask(
            nvml.nvmlDeviceGetTemperatureThreshold, handle, nvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
        )
        margin = slowdown - temp if slowdown and temp is not None else None
        reading = GpuReading(
            id=f"gpu{place}",
            busy_ratio=None if busy is None else busy.gpu / 100,
            memory_used_bytes=None if memory is None else int(memory.used),
            memory_total_bytes=None if memory is None else int(memory.total),
            temp_c=None if temp is None else float(temp),
            power_w=None if milliwatts is None else milliwatts / 1000,
            event_reasons=tuple(name for bit, name in _REASONS.items() if (reasons or 0) & bit),
        )
        silent = reasons is None and margin is None
        return reading, None if silent else ladder.nvidia(reasons or 0, margin)

    def _ask(self, question: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return question(*arguments)
        except self._nvml.NVMLError:
            return None


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
