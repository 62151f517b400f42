# SPDX-License-Identifier: Apache-2.0
"""HostProbe: what psutil knows on every system: processor time, memory, swap, battery, and what the chip is."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import psutil

from mlops.telemetry_agent.model.reading import FAILED, STALE, UNSUPPORTED, Partial, Value

_CPUINFO = Path("/proc/cpuinfo")
_CHIP_KEYS = {"model name": "chip.name", "vendor_id": "chip.vendor", "Model": "chip.name"}


class HostProbe:
    """psutil's view of the machine."""

    name = "host"

    def __init__(self, cpuinfo: str | None = None) -> None:
        text = _read_cpuinfo() if cpuinfo is None else cpuinfo
        self._chip: dict[str, Value] = {**parse_cpuinfo(text), **_facts()}
        self._looked = False

    def read(self, at_s: float) -> Partial:  # noqa: ARG002 - psutil keeps its own time
        """Look once; the share of busy processors is over the time since the look before."""
        values = dict(self._chip)
        missing: dict[str, str] = {}
        busy = psutil.cpu_percent(None) / 100
        if self._looked:
            values["cpu_busy_ratio"] = busy
        else:
            missing["cpu_busy_ratio"] = STALE
        self._looked = True
        memory = psutil.virtual_memory()
        values["memory.total_bytes"] = memory.total
        values["memory.available_bytes"] = memory.available
        values["memory.used_bytes"] = memory.total - memory.available
        self._read_swap(values, missing)
        self._read_battery(values, missing)
        return Partial(self.name, values, missing)

    def close(self) -> None:
        """Nothing is held open."""

    def _read_swap(self, values: dict[str, Value], missing: dict[str, str]) -> None:
        try:
            swap = psutil.swap_memory()
        except (OSError, RuntimeError):
            missing["memory.swap_used_bytes"] = FAILED
            return
        values["memory.swap_used_bytes"] = swap.used
        values["memory.swap_total_bytes"] = swap.total

    def _read_battery(self, values: dict[str, Value], missing: dict[str, str]) -> None:
        sensors = getattr(psutil, "sensors_battery", None)
        try:
            battery = sensors() if sensors else None
        except (OSError, RuntimeError, ValueError):
            battery = None
        if battery is None or battery.power_plugged is None:
            missing["power.source"] = UNSUPPORTED
        else:
            values["power.source"] = "ac" if battery.power_plugged else "battery"


def parse_cpuinfo(text: str) -> dict[str, Value]:
    """Return the chip's name and vendor from `/proc/cpuinfo`; serial numbers in it are not looked at."""
    found: dict[str, Value] = {}
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if (field := _CHIP_KEYS.get(key.strip())) and value.strip():
            found.setdefault(field, value.strip()[:64])
    return found


def _facts() -> dict[str, Value]:
    facts: dict[str, Value] = {"chip.memory_bytes": psutil.virtual_memory().total}
    if cores := psutil.cpu_count():
        facts["chip.cores"] = cores
    # Metal and the neural engine exist on Apple's own chips only.
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    return facts | {"chip.mps_available": apple, "chip.ane_available": apple}


def _read_cpuinfo() -> str:
    try:
        return _CPUINFO.read_text(errors="replace")
    except OSError:
        return f"model name: {platform.machine()}"
