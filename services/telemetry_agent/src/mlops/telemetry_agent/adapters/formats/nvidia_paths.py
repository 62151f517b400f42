# SPDX-License-Identifier: Apache-2.0
"""Where `nvidia-smi -q` says what, in XML and in text, in all its schemas: the first path that has an amount counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlops.telemetry_agent.adapters.formats.nvidia import THERMAL, Gpu, amount

_Paths = Mapping[str, Sequence[str]]

XML: _Paths = {
    "name": ("product_name",),
    "busy": ("utilization/gpu_util",),
    "memory_used": ("fb_memory_usage/used", "memory_usage/used"),
    "memory_total": ("fb_memory_usage/total", "memory_usage/total"),
    "temp": ("temperature/gpu_temp",),
    "power": (
        "gpu_power_readings/average_power_draw",
        "gpu_power_readings/power_draw",
        "gpu_power_readings/instant_power_draw",
        "power_readings/average_power_draw",
        "power_readings/power_draw",
    ),
    "clock": ("clocks/graphics_clock", "clocks/sm_clock"),
    "slowdown": ("temperature/gpu_temp_slow_threshold",),
    "shutdown": ("temperature/gpu_temp_max_threshold",),
    "margin": ("temperature/gpu_temp_tlimit",),
    "slow_margin": ("temperature/gpu_temp_slow_tlimit_threshold",),
    "off_margin": ("temperature/gpu_temp_max_tlimit_threshold",),
}
TEXT: _Paths = {
    "name": ("Product Name",),
    "busy": ("Utilization/GPU", "Utilization/Gpu"),
    "memory_used": ("FB Memory Usage/Used", "Memory Usage/Used"),
    "memory_total": ("FB Memory Usage/Total", "Memory Usage/Total"),
    "temp": ("Temperature/GPU Current Temp", "Temperature/Gpu"),
    "power": (
        "GPU Power Readings/Average Power Draw",
        "GPU Power Readings/Power Draw",
        "GPU Power Readings/Instantaneous Power Draw",
        "Power Readings/Average Power Draw",
        "Power Readings/Power Draw",
    ),
    "clock": ("Clocks/Graphics", "Clocks/SM"),
    "slowdown": ("Temperature/GPU Slowdown Temp",),
    "shutdown": ("Temperature/GPU Shutdown Temp",),
    "margin": ("Temperature/GPU T.Limit Temp",),
    "slow_margin": ("Temperature/GPU Slowdown T.Limit Temp",),
    "off_margin": ("Temperature/GPU Shutdown T.Limit Temp",),
}
_NAMES = {
    "idle": "gpu_idle",
    "sw_therm_slowdown": "sw_thermal_slowdown",
    "hw_therm_slowdown": "hw_thermal_slowdown",
}


def gpu_of(found: Mapping[str, str], paths: _Paths) -> Gpu:
    """Return a GPU from its texts by path, such as `temperature/gpu_temp`."""
    said = {
        name: next((found[path] for path in places if amount(found.get(path)) is not None), "")
        or next((found[path] for path in places if path in found), "")
        for name, places in paths.items()
    }
    reasons, told = [], False
    counters: dict[str, str] = {}
    for path, text in found.items():
        section, _, rest = path.partition("/")
        kind = section.lower().replace(" ", "_")
        if kind.endswith("_reasons_counters"):
            counters |= {name: text for name in (_reason(rest),) if name in THERMAL}
        elif kind in ("clocks_event_reasons", "clocks_throttle_reasons"):
            told = told or text in ("Active", "Not Active")
            reasons += [_reason(rest)] if text == "Active" else []
    return Gpu(
        {name: text for name, text in said.items() if text},
        tuple(reasons) if told else None,
        counters,
    )


def _reason(path: str) -> str:
    name = path.rpartition("/")[2].lower().replace(" ", "_")
    for prefix in (
        "clocks_event_reasons_counters_",
        "clocks_event_reason_",
        "clocks_throttle_reason_",
    ):
        name = name.removeprefix(prefix)
    return _NAMES.get(name, name)
