# SPDX-License-Identifier: Apache-2.0
"""Parsers of what Linux's kernel files say: bytes in, values and reasons out; no file is opened here."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

from mlops.telemetry_agent.adapters.files import parse_files, whole
from mlops.telemetry_agent.model import counters, ladder
from mlops.telemetry_agent.model.counters import Energy
from mlops.telemetry_agent.model.ladder import Sensor
from mlops.telemetry_agent.model.reading import DENIED, LEVEL, STALE, UNSUPPORTED, Partial, Value

HEAT, POWER, PRESSURE = "linux_heat", "linux_power", "linux_pressure"

_Files = Mapping[str, str | None]
_Counts = dict[tuple[str, ...], int]
_CPU_CHIPS = ("coretemp", "k10temp", "zenpower", "cpu_thermal", "soc_thermal", "macsmc_hwmon")
_CPU_ZONES = re.compile(r"x86_pkg_temp|cpu|soc|tctl|b\.l\.|big|little", re.IGNORECASE)
_BOARD_ZONE = "acpitz"
_TEMPERATURE = "thermal.cpu_temp_c"
_WAITS, _OOM = "memory.pressure", "memory.oom_kills_delta"
# RAPL's zones; `psys` is the whole board where a machine has it.
_PARTS = {"package": "package", "core": "cpu", "dram": "dram", "psys": "system"}
_WARN_PERCENT, _CRITICAL_PERCENT = 10.0, 10.0
_COLDEST_C, _HOTTEST_C = -20.0, 150.0


class HeatParser:
    """Temperatures with their trip points, and what the throttle counters say since the time before."""

    def __init__(self) -> None:
        self._counts: _Counts = {}
        self._slow_ms: _Counts = {}

    def __call__(self, raw: bytes, at_s: float) -> Partial:  # noqa: ARG002 - a parser; this one needs no time
        """Parse one reading."""
        files = parse_files(raw)
        counts = throttle_counts(files)
        delta = counters.events(self._counts, counts)
        self._counts = counts
        sensors = cpu_sensors(files)
        values: dict[str, Value] = {}
        missing: dict[str, str] = {}
        if sensors:
            values[_TEMPERATURE] = max(sensor.temp_c for sensor in sensors)
        else:
            missing[_TEMPERATURE] = UNSUPPORTED
        if delta is None:
            missing["thermal.throttle_events_delta"] = STALE if counts else UNSUPPORTED
        else:
            values["thermal.throttle_events_delta"] = delta
        slow_ms = throttle_counts(files, "throttle_total_time_ms")
        if longest := counters.longest(self._slow_ms, slow_ms):
            values["thermal.throttled_s_delta"] = longest[0] / 1000
        self._slow_ms = slow_ms
        margins = [margin for sensor in sensors if (margin := ladder.margin(sensor)) is not None]
        if margins:
            values["thermal.margin_c"] = min(margins)
        if rung := ladder.linux(sensors, delta):
            values |= {LEVEL: rung.level, "thermal.native": rung.native}
        else:
            missing[LEVEL] = UNSUPPORTED
        return Partial(HEAT, values, missing)


class PowerParser:
    """Joules used since the time before, and the watts that they were."""

    def __init__(self) -> None:
        self._before: dict[str, Energy] = {}
        self._at_s = 0.0

    def __call__(self, raw: bytes, at_s: float) -> Partial:
        """Parse one reading."""
        files = parse_files(raw)
        seconds, before = at_s - self._at_s, self._before
        now = _energies(files)
        self._before, self._at_s = now, at_s
        sums: dict[str, float] = defaultdict(float)
        for zone, energy in now.items():
            part = _power_part(files, zone)
            used = counters.joules(before[zone], energy, seconds) if zone in before else None
            if part and used is not None:
                sums[part] += used
        reason = STALE if now else DENIED if _any_denied(files) else UNSUPPORTED
        missing = {f"power.{part}_w": reason for part in _PARTS.values() if part not in sums}
        if now:
            known = {f"power.{_power_part(files, zone)}_w" for zone in now}
            missing |= {field: UNSUPPORTED for field in missing if field not in known}
        values: dict[str, Value] = {
            f"power.{part}_w": used / seconds for part, used in sums.items()
        }
        return Partial(
            POWER, values | {f"energy.{part}_j": used for part, used in sums.items()}, missing
        )


class PressureParser:
    """Whether processes wait for memory, and how many the kernel has killed for want of it since the time before."""

    def __init__(self) -> None:
        self._kills: int | None = None

    def __call__(self, raw: bytes, at_s: float) -> Partial:  # noqa: ARG002 - a parser; this one needs no time
        """Parse one reading: `normal`, `warn` (some wait) or `critical` (all wait)."""
        files = parse_files(raw)
        values, missing = _pressure(files.get("proc/pressure/memory")), dict[str, str]()
        if not values:
            missing[_WAITS] = UNSUPPORTED
        before, self._kills = self._kills, _oom_kills(files)
        if self._kills is not None and before is not None:
            # A container that was started anew counts from zero.
            values[_OOM] = self._kills - before if self._kills >= before else self._kills
        elif self._kills is not None:
            missing[_OOM] = STALE
        return Partial(PRESSURE, values, missing)


def _pressure(text: str | None) -> dict[str, Value]:
    if not text:
        return {}
    averages = {
        kind: float(share) for kind, share in re.findall(r"(some|full) avg10=([\d.]+)", text)
    }
    if averages.get("full", 0.0) >= _CRITICAL_PERCENT:
        return {_WAITS: "critical"}
    return {_WAITS: "warn" if averages.get("some", 0.0) >= _WARN_PERCENT else "normal"}


def _oom_kills(files: _Files) -> int | None:
    """Return the kills so far: those of the container, where it is one, else those of the machine."""
    for path in ("sys/fs/cgroup/memory.events", "proc/vmstat"):
        found = re.search(r"^oom_kill (\d{1,18})$", files.get(path) or "", re.MULTILINE)
        if found:
            return int(found[1])
    return None


def cpu_sensors(files: _Files) -> list[Sensor]:
    """Return the processor's sensors: of its own chip, else of a zone named after it, else of the board."""
    chips = [s for place in _folders(files, "hwmon") for s in _chip_sensors(files, place)]
    zones = [(files.get(f"{place}/type") or "", place) for place in _folders(files, "thermal")]
    own = [_zone(files, kind, place) for kind, place in zones if _CPU_ZONES.search(kind)]
    board = [_zone(files, kind, place) for kind, place in zones if kind == _BOARD_ZONE]
    named = [sensor for sensor in own if sensor]
    return [*chips, *named] or [sensor for sensor in board if sensor]


def throttle_counts(files: _Files, what: str = "throttle_count") -> _Counts:
    """Return the throttle events of each core and each package so far; every thread of them says the same."""
    counts: _Counts = {}
    for path, text in files.items():
        found = re.fullmatch(rf"(.*/cpu\d+)/thermal_throttle/(core|package)_{what}", path)
        value = whole(text)
        if not found or value is None:
            continue
        cpu, kind = found.groups()
        package = files.get(f"{cpu}/topology/physical_package_id") or ""
        core = (files.get(f"{cpu}/topology/core_id") or cpu) if kind == "core" else ""
        key = (kind, package, core)
        counts[key] = max(value, counts.get(key, 0))
    return counts


def _folders(files: _Files, kind: str) -> list[str]:
    return sorted(
        {path.rpartition("/")[0] for path in files if path.startswith(f"sys/class/{kind}/")}
    )


def _chip_sensors(files: _Files, place: str) -> list[Sensor]:
    if files.get(f"{place}/name") not in _CPU_CHIPS:
        return []
    found = []
    for path, text in files.items():
        sensor = re.fullmatch(re.escape(place) + r"/(temp\d+)_input", path)
        temp = _celsius(text)
        if sensor and temp is not None:
            stem = f"{place}/{sensor[1]}"
            found.append(
                Sensor(
                    label=files.get(f"{stem}_label") or files.get(f"{place}/name") or "cpu",
                    temp_c=temp,
                    passive_c=_point(files.get(f"{stem}_max")),
                    limit_c=_point(files.get(f"{stem}_crit")),
                )
            )
    return found


def _zone(files: _Files, kind: str, place: str) -> Sensor | None:
    temp = _celsius(files.get(f"{place}/temp"))
    if temp is None:
        return None
    trips: dict[str, float] = {}
    for path, text in files.items():
        trip = re.fullmatch(re.escape(place) + r"/(trip_point_\d+)_type", path)
        point = _point(files.get(f"{place}/{trip[1]}_temp")) if trip else None
        if text and point is not None:
            trips[text] = min(point, trips.get(text, point))
    return Sensor(kind, temp, trips.get("passive"), trips.get("hot"), trips.get("critical"))


def _celsius(text: str | None) -> float | None:
    value = whole(text)
    return None if value is None or not _COLDEST_C <= value / 1000 <= _HOTTEST_C else value / 1000


def _point(text: str | None) -> float | None:
    # Firmware writes 0, or numbers no processor reaches, where it means "none".
    value = _celsius(text)
    return value if value is not None and value > 0 else None


def _energies(files: _Files) -> dict[str, Energy]:
    found = {}
    for path, text in files.items():
        zone, _, name = path.rpartition("/")
        used, wraps = whole(text), whole(files.get(f"{zone}/max_energy_range_uj"))
        if name == "energy_uj" and used is not None and wraps is not None:
            found[zone] = Energy(used, wraps)
    return found


def _power_part(files: _Files, zone: str) -> str | None:
    # The same package is also seen through memory-mapped registers; counted twice it would draw double.
    if "-mmio" in zone:
        return None
    name = (files.get(f"{zone}/name") or "").partition("-")[0]
    return _PARTS.get(name)


def _any_denied(files: _Files) -> bool:
    return any(text is None for path, text in files.items() if path.endswith("energy_uj"))
