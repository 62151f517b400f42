# SPDX-License-Identifier: Apache-2.0
"""Linux: heat from thermal zones, hwmon and throttle counters; power from RAPL; memory pressure from PSI, kills for want of memory. No root."""

from __future__ import annotations

from pathlib import Path

from mlops.telemetry_agent.adapters.files import FileReader
from mlops.telemetry_agent.adapters.linux_text import (
    HEAT,
    POWER,
    PRESSURE,
    HeatParser,
    PowerParser,
    PressureParser,
)
from mlops.telemetry_agent.adapters.parsed import ParsedProbe
from mlops.telemetry_agent.model.reading import LEVEL

_CPUS = "sys/devices/system/cpu/cpu"
_COUNTERS = ("_throttle_count", "_throttle_total_time_ms")


def heat_probe(root: Path) -> ParsedProbe:
    """Return the probe of temperatures and throttling below *root* (`/` on a real machine)."""
    zone, hwmon, cpu = (
        "sys/class/thermal/thermal_zone*/",
        "sys/class/hwmon/hwmon*/",
        f"{_CPUS}*/",
    )
    reader = FileReader(
        root,
        moving=[f"{zone}temp", f"{hwmon}temp*_input", *_throttle_files(root)],
        steady=[
            *(f"{zone}{name}" for name in ("type", "trip_point_*_temp", "trip_point_*_type")),
            *(f"{hwmon}{name}" for name in ("name", "temp*_max", "temp*_crit", "temp*_label")),
            *(f"{cpu}topology/{name}" for name in ("core_id", "physical_package_id")),
        ],
    )
    gives = (LEVEL, "thermal.cpu_temp_c", "thermal.throttle_events_delta")
    return ParsedProbe(HEAT, reader, HeatParser(), gives)


def power_probe(root: Path) -> ParsedProbe:
    """Return the probe of RAPL's energy counters."""
    zone = "sys/class/powercap/intel-rapl*/"
    reader = FileReader(
        root, moving=[f"{zone}energy_uj"], steady=[f"{zone}name", f"{zone}max_energy_range_uj"]
    )
    gives = ("power.package_w", "power.cpu_w", "power.dram_w")
    return ParsedProbe(POWER, reader, PowerParser(), gives)


def pressure_probe(root: Path) -> ParsedProbe:
    """Return the probe of memory pressure and of what was killed for want of memory."""
    moving = ["proc/pressure/memory", "proc/vmstat", "sys/fs/cgroup/memory.events"]
    reader = FileReader(root, moving=moving)
    return ParsedProbe(PRESSURE, reader, PressureParser(), gives=("memory.pressure",))


def _throttle_files(root: Path) -> list[str]:
    """Return one set of counters a core and one a package: all threads repeat them, and each read has its price."""
    chosen: dict[tuple[str, ...], str] = {}
    for path in sorted(root.glob(f"{_CPUS}*/thermal_throttle/*_throttle_*")):
        topology = path.parent.parent / "topology"
        package, core = (_text(topology / name) for name in ("physical_package_id", "core_id"))
        of_core = path.name.startswith("core")
        if path.name.endswith(_COUNTERS):
            place = (package, core or path.parent.parent.name) if of_core else (package,)
            chosen.setdefault((path.name, *place), path.relative_to(root).as_posix())
    return list(chosen.values())


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace").strip()
    except OSError:
        return ""
