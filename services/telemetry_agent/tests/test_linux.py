# SPDX-License-Identifier: Apache-2.0
"""Linux's kernel files, made by hand: heat, throttling, energy, memory pressure; and a host that has none of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.telemetry_agent.adapters.linux import heat_probe, power_probe, pressure_probe
from mlops.telemetry_agent.adapters.linux_text import HeatParser, PowerParser, PressureParser
from mlops.telemetry_agent.model.reading import Partial


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")


def laptop(root: Path, temp: int = 60_000) -> None:
    zone, chip = "sys/class/thermal/thermal_zone0", "sys/class/hwmon/hwmon3"
    write(
        root,
        {
            f"{zone}/type": "x86_pkg_temp",
            f"{zone}/temp": str(temp),
            f"{zone}/trip_point_0_type": "passive",
            f"{zone}/trip_point_0_temp": "90000",
            f"{zone}/trip_point_1_type": "critical",
            f"{zone}/trip_point_1_temp": "0",
            f"{chip}/name": "nvme",
            f"{chip}/temp1_input": "99000",
        },
    )


def throttling(root: Path, counts: list[tuple[int, int]]) -> None:
    """Two threads of one core, in one package: both repeat the same counters."""
    for thread, (core, package) in enumerate(counts):
        cpu = f"sys/devices/system/cpu/cpu{thread}"
        write(
            root,
            {
                f"{cpu}/topology/core_id": "0",
                f"{cpu}/topology/physical_package_id": "0",
                f"{cpu}/thermal_throttle/core_throttle_count": str(core),
                f"{cpu}/thermal_throttle/package_throttle_count": str(package),
            },
        )


def test_a_laptop_is_as_hot_as_its_processor_not_its_disk(tmp_path: Path) -> None:
    laptop(tmp_path)

    partial = heat_probe(tmp_path).read(0.0)

    assert partial.values["thermal.cpu_temp_c"] == 60.0
    assert partial.values["thermal.level"] == 0
    assert partial.values["thermal.native"] == "x86_pkg_temp 60 °C of 90 °C"


def test_a_trip_point_of_zero_is_none(tmp_path: Path) -> None:
    laptop(tmp_path, temp=89_000)

    assert heat_probe(tmp_path).read(0.0).values["thermal.level"] == 1


def test_throttle_events_are_counted_once_and_between_readings(tmp_path: Path) -> None:
    laptop(tmp_path)
    throttling(tmp_path, [(2, 7), (2, 7)])
    probe = heat_probe(tmp_path)
    first = probe.read(0.0)
    throttling(tmp_path, [(3, 9), (3, 9)])
    second = probe.read(2.0)
    third = probe.read(4.0)

    assert first.missing["thermal.throttle_events_delta"] == "stale"
    assert second.values["thermal.throttle_events_delta"] == 3
    assert second.values["thermal.level"] == 2
    assert third.values["thermal.throttle_events_delta"] == 0
    assert third.values["thermal.level"] == 0


def test_a_core_that_goes_to_sleep_and_comes_back_is_no_throttling(tmp_path: Path) -> None:
    laptop(tmp_path)
    throttling(tmp_path, [(2, 7)])
    second = {
        "sys/devices/system/cpu/cpu9/topology/core_id": "9",
        "sys/devices/system/cpu/cpu9/topology/physical_package_id": "0",
        "sys/devices/system/cpu/cpu9/thermal_throttle/core_throttle_count": "50",
    }
    write(tmp_path, second)
    counter = tmp_path / "sys/devices/system/cpu/cpu9/thermal_throttle/core_throttle_count"
    probe = heat_probe(tmp_path)
    probe.read(0.0)
    counter.unlink()
    asleep = probe.read(2.0)
    write(tmp_path, second)
    awake = probe.read(4.0)

    assert asleep.values["thermal.throttle_events_delta"] == 0
    assert awake.values["thermal.throttle_events_delta"] == 0
    assert awake.values["thermal.level"] == 0


def rapl(root: Path, package: int, core: int) -> None:
    for zone, name, energy in (
        ("intel-rapl:0", "package-0", package),
        ("intel-rapl:0:0", "core", core),
        ("intel-rapl-mmio:0", "package-0", package),
    ):
        write(
            root,
            {
                f"sys/class/powercap/{zone}/name": name,
                f"sys/class/powercap/{zone}/energy_uj": str(energy),
                f"sys/class/powercap/{zone}/max_energy_range_uj": "100000000",
            },
        )


def test_power_comes_from_energy_and_the_package_is_counted_once(tmp_path: Path) -> None:
    rapl(tmp_path, 10_000_000, 5_000_000)
    probe = power_probe(tmp_path)
    first = probe.read(100.0)
    rapl(tmp_path, 40_000_000, 9_000_000)
    second = probe.read(102.0)

    assert first.values == {}
    assert first.missing["power.package_w"] == "stale"
    assert second.values == {
        "power.package_w": 15.0,
        "power.cpu_w": 2.0,
        "energy.package_j": 30.0,
        "energy.cpu_j": 4.0,
    }
    assert second.missing == {"power.dram_w": "unsupported", "power.system_w": "unsupported"}


def test_power_across_a_wrap_of_the_counter(tmp_path: Path) -> None:
    rapl(tmp_path, 99_000_000, 0)
    probe = power_probe(tmp_path)
    probe.read(0.0)
    rapl(tmp_path, 1_000_000, 0)

    assert probe.read(2.0).values["power.package_w"] == 1.0


def test_energy_that_only_root_may_read_is_denied_not_zero() -> None:
    raw = {
        "sys/class/powercap/intel-rapl:0/name": "package-0",
        "sys/class/powercap/intel-rapl:0/max_energy_range_uj": "100",
        "sys/class/powercap/intel-rapl:0/energy_uj": None,
    }

    partial = PowerParser()(json.dumps(raw).encode(), 0.0)

    assert partial.values == {}
    assert set(partial.missing.values()) == {"denied"}


@pytest.mark.parametrize(
    ("some", "full", "pressure"),
    [("0.00", "0.00", "normal"), ("12.5", "3.0", "warn"), ("60.1", "30.2", "critical")],
)
def test_memory_pressure(tmp_path: Path, some: str, full: str, pressure: str) -> None:
    write(
        tmp_path,
        {
            "proc/pressure/memory": f"some avg10={some} avg60=0.00 avg300=0.00 total=1\n"
            f"full avg10={full} avg60=0.00 avg300=0.00 total=1"
        },
    )

    assert pressure_probe(tmp_path).read(0.0).values == {"memory.pressure": pressure}


def test_what_the_kernel_killed_for_want_of_memory_is_counted_from_the_second_look(
    tmp_path: Path,
) -> None:
    field, of_machine, of_container = (
        "memory.oom_kills_delta",
        "proc/vmstat",
        "sys/fs/cgroup/memory.events",
    )

    def after(place: str, number: int) -> object:
        write(tmp_path, {place: f"nr_free_pages 81\noom_kill {number}\nnuma_hit 7"})
        read = probe.read(0.0)
        return read.values.get(field, read.missing.get(field))

    probe = pressure_probe(tmp_path)
    assert [after(of_machine, number) for number in (2, 2, 5)] == ["stale", 0, 3]

    write(tmp_path, {of_container: "oom_kill 1"})
    probe = pressure_probe(tmp_path)
    assert [after(of_machine, 5), after(of_machine, 9)] == ["stale", 0]
    assert [after(of_container, 2), after(of_container, 1)] == [1, 1], "the second began anew"


def test_a_host_that_has_nothing_says_why_and_never_zero(tmp_path: Path) -> None:
    partials = [probe(tmp_path).read(0.0) for probe in (heat_probe, power_probe, pressure_probe)]

    assert all(dict(partial.values) == {} for partial in partials)
    assert {reason for partial in partials for reason in partial.missing.values()} == {
        "unsupported"
    }


def test_a_sensor_that_goes_away_is_missing(tmp_path: Path) -> None:
    laptop(tmp_path)
    probe = heat_probe(tmp_path)
    probe.read(0.0)
    (tmp_path / "sys/class/thermal/thermal_zone0/temp").unlink()

    assert probe.read(2.0).missing["thermal.cpu_temp_c"] == "unsupported"


@given(st.dictionaries(st.text(max_size=40), st.none() | st.text(max_size=20), max_size=8))
def test_parsers_survive_any_files(files: dict[str, str | None]) -> None:
    raw = json.dumps(files).encode()

    assert isinstance(HeatParser()(raw, 0.0), Partial)
    assert isinstance(PowerParser()(raw, 0.0), Partial)
    assert isinstance(PressureParser()(raw, 0.0), Partial)


@given(
    st.sampled_from(["temp", "type", "trip_point_0_temp", "trip_point_0_type"]),
    st.text(max_size=12),
)
def test_parsers_survive_any_text_in_a_known_file(name: str, text: str) -> None:
    zone = "sys/class/thermal/thermal_zone0"
    files = {f"{zone}/type": "cpu", f"{zone}/temp": "50000", f"{zone}/{name}": text}

    assert isinstance(HeatParser()(json.dumps(files).encode(), 0.0), Partial)
