# SPDX-License-Identifier: Apache-2.0
"""Apple: readings of Apple silicon under the names that every run uses, so that runs compare; pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What people and tools call them -> what MLflow's System metrics tab shows.
_NAMES = {
    "cpu_utilization_percentage": "cpu_utilization_percentage",
    "cpu_percent": "cpu_utilization_percentage",
    "cpu_usage": "cpu_utilization_percentage",
    "gpu_utilization_percentage": "gpu_utilization_percentage",
    "gpu_percent": "gpu_utilization_percentage",
    "gpu_utilization": "gpu_utilization_percentage",
    "gpu_usage": "gpu_utilization_percentage",
    "memory_used_gb": "memory_used_gb",
    "memory_usage_gb": "memory_used_gb",
    "unified_memory_used_gb": "memory_used_gb",
    "process_memory_gb": "process_memory_gb",
    "package_power_w": "package_power_w",
    "power_w": "package_power_w",
    "power_watts": "package_power_w",
    "power_consumption_watts": "package_power_w",
    "gpu_power_w": "gpu_power_w",
    "cpu_power_w": "cpu_power_w",
    "ane_power_w": "ane_power_w",
    "temperature_celsius": "temperature_celsius",
    "temperature_c": "temperature_celsius",
    "heat_level": "heat_level",
    "mlx_active_memory_gb": "mlx_active_memory_gb",
    "mlx_peak_memory_gb": "mlx_peak_memory_gb",
    "mlx_cache_memory_gb": "mlx_cache_memory_gb",
}
# `thermal_state` comes as macOS' word or number.
_HEAT = {"nominal": 0.0, "fair": 1.0, "serious": 2.0, "critical": 3.0}


def sorted_out(readings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return metrics and tags; None is "not measurable here" and is left out."""
    numbers: dict[str, Any] = {}
    words: dict[str, str] = {}
    for name, value in readings.items():
        if value is None:
            continue
        if name == "thermal_state" and str(value).lower() in _HEAT:
            numbers["system/heat_level"] = _HEAT[str(value).lower()]
        elif name == "thermal_state" and not isinstance(value, str):
            numbers["system/heat_level"] = value
        elif isinstance(value, str | bytes | Mapping | list | tuple | set):
            words[f"apple.{name}"] = str(value)
        else:
            known = _NAMES.get(name)
            numbers[f"system/{known}" if known else f"apple/{name}"] = value
    return numbers, words
