# SPDX-License-Identifier: Apache-2.0
"""Linux: heat from thermal zones, hwmon and throttle counters; power from RAPL; memory pressure from PSI. No root."""

from __future__ import annotations

from pathlib import Path

from mlops.telemetry_agent.adapters.files import FileReader
from mlops.telemetry_agent.adapters.linux_text import (
    HEAT,
    POWER,
    PRESSURE,
    HeatParser,
    PowerParser,
    parse_pressure,
)
from mlops.telemetry_agent.adapters.parsed import ParsedProbe


def heat_probe(root: Path) -> ParsedProbe:
    """Return the probe of temperatures and throttling below *root* (`/` on a real machine)."""
    zone, hwmon, cpu = (
        "sys/class/thermal/thermal_zone*/",
        "sys/class/hwmon/hwmon*/",
        "sys/devices/system/cpu/cpu*/",
    )
    reader = FileReader(
        root,
        moving=[f"{zone}temp", f"{hwmon}temp*_input", f"{cpu}thermal_throttle/*_throttle_count"],
        steady=[
            *(f"{zone}{name}" for name in ("type", "trip_point_*_temp", "trip_point_*_type")),
            *(f"{hwmon}{name}" for name in ("name", "temp*_max", "temp*_crit", "temp*_label")),
            *(f"{cpu}topology/{name}" for name in ("core_id", "physical_package_id")),
        ],
    )
    return ParsedProbe(HEAT, reader, HeatParser())


def power_probe(root: Path) -> ParsedProbe:
    """Return the probe of RAPL's energy counters."""
    zone = "sys/class/powercap/intel-rapl*/"
    reader = FileReader(
        root, moving=[f"{zone}energy_uj"], steady=[f"{zone}name", f"{zone}max_energy_range_uj"]
    )
    return ParsedProbe(POWER, reader, PowerParser())


def pressure_probe(root: Path) -> ParsedProbe:
    """Return the probe of memory pressure."""
    return ParsedProbe(PRESSURE, FileReader(root, moving=["proc/pressure/memory"]), parse_pressure)
