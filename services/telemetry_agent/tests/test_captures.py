# SPDX-License-Identifier: Apache-2.0
"""The parsers on kernel trees of real machines, which are not part of the repository (`MLOPS_CAPTURES`)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from mlops.telemetry_agent.adapters.files import FileReader, parse_files
from mlops.telemetry_agent.adapters.linux import heat_probe, power_probe
from mlops.telemetry_agent.adapters.linux_text import throttle_counts

ROOT = Path(__file__).parents[3]


def captures(name: str) -> Path:
    folder = Path(os.environ.get("MLOPS_CAPTURES") or ROOT / ".." / "shared" / "captures") / name
    if not folder.is_dir():
        pytest.skip(f"no captures at {folder}; set MLOPS_CAPTURES to have them parsed")
    return folder


@pytest.fixture
def server(tmp_path: Path) -> Path:
    """Return a tree of node_exporter's, with the links that the copy could not hold."""
    source = captures("node_exporter")
    shutil.copytree(source, tmp_path, dirs_exist_ok=True, symlinks=True)
    for folder in [tmp_path, *tmp_path.rglob("*/")]:
        folder.chmod(0o755)
    for line in (source / "SYMLINKS.txt").read_text().splitlines():
        link, _, target = line.partition(" -> ")
        if target:
            _link(tmp_path / link, target)
    return tmp_path


@pytest.fixture
def desktop() -> Path:
    return captures("kepler")


def test_the_processor_of_a_server_is_found_among_all_its_sensors(server: Path) -> None:
    partial = heat_probe(server).read(0.0)

    assert partial.values["thermal.cpu_temp_c"] == 55.0
    assert partial.values["thermal.level"] == 0
    assert partial.missing == {"thermal.throttle_events_delta": "stale"}


def test_the_throttle_counters_of_two_packages_are_added_once_each(server: Path) -> None:
    cpu = "sys/devices/system/cpu/cpu*"
    reader = FileReader(
        server, [f"{cpu}/thermal_throttle/*_throttle_count"], [f"{cpu}/topology/*_id"]
    )

    # Cores 5 + 0 + 0 + 9, packages 30 + 6.
    assert sum(throttle_counts(parse_files(reader())).values()) == 50


def test_a_throttled_second_package_is_noticed(server: Path) -> None:
    probe = heat_probe(server)
    probe.read(0.0)
    counter = server / "sys/devices/system/cpu/cpu3/thermal_throttle/core_throttle_count"
    counter.chmod(0o644)
    counter.write_text("10\n")

    assert probe.read(2.0).values["thermal.level"] == 2


def test_two_packages_draw_power_and_their_mirror_does_not(desktop: Path, tmp_path: Path) -> None:
    # Used energy 8 J in each package and 4 J in the cores; one package's counter wraps at 262 143 328 850 µJ.
    shutil.copytree(desktop, tmp_path, dirs_exist_ok=True, copy_function=shutil.copyfile)
    zones = tmp_path / "sys/class/powercap"
    for folder in [tmp_path, *tmp_path.rglob("*")]:
        folder.chmod(0o755)
    (zones / "intel-rapl:a/energy_uj").write_text("262139328850\n")
    probe = power_probe(tmp_path)
    probe.read(0.0)
    (zones / "intel-rapl:0/energy_uj").write_text("240430366267\n")
    (zones / "intel-rapl:a/energy_uj").write_text("4000000\n")
    (zones / "intel-rapl:0:0/energy_uj").write_text("118825284256\n")

    read_back = probe.read(2.0).values
    assert (read_back["power.package_w"], read_back["power.cpu_w"]) == (8.0, 2.0)
    assert (read_back["energy.package_j"], read_back["energy.cpu_j"]) == (16.0, 4.0)


def _link(link: Path, target: str) -> None:
    if not link.exists():
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)
