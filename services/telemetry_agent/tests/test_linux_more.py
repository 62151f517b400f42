# SPDX-License-Identifier: Apache-2.0
"""Linux's clocks, fans, container limits and AMD GPUs, from files made by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.telemetry_agent.adapters.amdgpu import amdgpu_probe, parse_amdgpu
from mlops.telemetry_agent.adapters.linux import heat_probe, power_probe
from mlops.telemetry_agent.adapters.linux_clocks import clocks_probe, parse_clocks, processors
from mlops.telemetry_agent.adapters.linux_hwmon import hwmon_probe, parse_hwmon
from mlops.telemetry_agent.adapters.linux_limits import LimitsParser, limits_probe
from mlops.telemetry_agent.model.reading import LEVEL, ClusterReading, FanReading, Partial


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{text}\n")


CPUFREQ = "sys/devices/system/cpu/cpufreq"


def policy(root: Path, number: int, cpus: str, khz: int) -> None:
    place = f"{CPUFREQ}/policy{number}"
    write(root, {f"{place}/related_cpus": cpus, f"{place}/scaling_cur_freq": str(khz)})


def test_policies_of_several_processors_are_clusters(tmp_path: Path) -> None:
    policy(tmp_path, 0, "0 1 2 3", 1_800_000)
    policy(tmp_path, 4, "4 5", 2_400_000)

    assert clocks_probe(tmp_path).read(0.0).clusters == (
        ClusterReading("policy0", "unknown", 4, None, 1.8e9),
        ClusterReading("policy4", "unknown", 2, None, 2.4e9),
    )


def test_a_hybrid_processor_has_its_two_kinds(tmp_path: Path) -> None:
    write(tmp_path, {"sys/devices/cpu_core/cpus": "0-1", "sys/devices/cpu_atom/cpus": "2-3"})
    for number, khz in enumerate((4_000_000, 5_000_000, 3_000_000, 3_000_000)):
        policy(tmp_path, number, str(number), khz)

    assert clocks_probe(tmp_path).read(0.0).clusters == (
        ClusterReading("efficiency", "efficiency", 2, None, 3.0e9),
        ClusterReading("performance", "performance", 2, None, 4.5e9),
    )


def test_of_very_many_processors_some_are_looked_at(tmp_path: Path) -> None:
    for number in range(256):
        policy(tmp_path, number, str(number), 2_000_000)
    probe = clocks_probe(tmp_path)

    [cluster] = probe.read(0.0).clusters
    assert cluster.freq_hz == 2.0e9
    assert probe.raw.count(b"scaling_cur_freq") == 16


@pytest.mark.parametrize(
    ("text", "expected"), [("0-3,8", {0, 1, 2, 3, 8}), ("0 1", {0, 1}), ("", set()), ("x,2", {2})]
)
def test_kernel_lists(text: str, expected: set[int]) -> None:
    assert processors(text) == expected


def test_fans_and_the_power_of_the_whole_machine(tmp_path: Path) -> None:
    chip, meter = "sys/class/hwmon/hwmon0", "sys/class/hwmon/hwmon1"
    write(
        tmp_path,
        {
            f"{chip}/name": "applesmc",
            f"{chip}/fan1_input": "2160",
            f"{chip}/fan1_label": "Left side",
            f"{chip}/fan1_max": "6200",
            f"{chip}/fan2_input": "0",
            f"{chip}/power1_input": "99000000",
            f"{meter}/name": "power_meter",
            f"{meter}/power1_average": "123500000",
        },
    )

    partial = hwmon_probe(tmp_path).read(0.0)

    assert partial.fans == (
        FanReading("Left side", 2160.0, 6200.0),
        FanReading("applesmc fan2", 0.0),
    )
    assert partial.values == {"power.system_w": 123.5}


def test_a_rail_of_which_nobody_says_what_it_feeds_is_not_the_machine(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "sys/class/hwmon/hwmon0/name": "ina3221",
            "sys/class/hwmon/hwmon0/power1_input": "5000000",
        },
    )

    assert hwmon_probe(tmp_path).read(0.0).missing["power.system_w"] == "unsupported"


GROUP = "sys/fs/cgroup"


def container(
    root: Path, used_us: int = 0, memory: str = "4294967296", cpus: str = "150000 100000"
) -> None:
    write(
        root,
        {
            "proc/meminfo": "MemTotal:       67108864 kB\nMemFree: 1 kB",
            f"{GROUP}/memory.max": memory,
            f"{GROUP}/memory.current": "3221225472",
            f"{GROUP}/memory.stat": "anon 1\ninactive_file 1073741824\nactive_file 5",
            f"{GROUP}/cpu.max": cpus,
            f"{GROUP}/cpu.stat": f"usage_usec {used_us}\nuser_usec 1",
        },
    )


def test_a_containers_limits_are_the_machines_size(tmp_path: Path) -> None:
    container(tmp_path)
    probe = limits_probe(tmp_path)
    first = probe.read(0.0)
    container(tmp_path, used_us=1_500_000)
    second = probe.read(2.0)

    assert first.values == {
        "memory.total_bytes": 4 * 2**30,
        "chip.memory_bytes": 4 * 2**30,
        "memory.used_bytes": 2 * 2**30,
        "memory.available_bytes": 2 * 2**30,
        "chip.cores": 2,
    }
    assert first.missing == {"cpu_busy_ratio": "stale"}
    # 1.5 s of processor time in 2 s, of 1.5 processors.
    assert second.values["cpu_busy_ratio"] == pytest.approx(0.5)


@pytest.mark.parametrize("limit", ["max", "99999999999999", "nonsense"])
def test_no_limit_gives_nothing(tmp_path: Path, limit: str) -> None:
    container(tmp_path, memory=limit, cpus="max 100000")

    assert limits_probe(tmp_path).read(0.0) == Partial("linux_limits")


def test_the_first_version_of_cgroups_is_read_too(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "proc/meminfo": "MemTotal:       67108864 kB",
            f"{GROUP}/memory/memory.limit_in_bytes": "2147483648",
            f"{GROUP}/memory/memory.usage_in_bytes": "1073741824",
            f"{GROUP}/cpu/cpu.cfs_quota_us": "-1",
            f"{GROUP}/cpu/cpu.cfs_period_us": "100000",
        },
    )

    values = limits_probe(tmp_path).read(0.0).values

    assert values["memory.total_bytes"] == 2**31
    assert values["memory.available_bytes"] == 2**30
    assert "chip.cores" not in values


CARD = "sys/class/drm/card1/device"


def card(root: Path, junction: int = 60_000) -> None:
    write(
        root,
        {
            f"{CARD}/vendor": "0x1002",
            f"{CARD}/product_name": "Radeon PRO W7900",
            f"{CARD}/gpu_busy_percent": "87",
            f"{CARD}/mem_info_vram_used": "1000",
            f"{CARD}/mem_info_vram_total": "48301604864",
            f"{CARD}/hwmon/hwmon4/name": "amdgpu",
            f"{CARD}/hwmon/hwmon4/power1_average": "215000000",
            f"{CARD}/hwmon/hwmon4/freq1_input": "2304000000",
            f"{CARD}/hwmon/hwmon4/temp1_input": "55000",
            f"{CARD}/hwmon/hwmon4/temp2_input": str(junction),
            f"{CARD}/hwmon/hwmon4/temp2_label": "junction",
            f"{CARD}/hwmon/hwmon4/temp2_crit": "110000",
            f"{CARD}/hwmon/hwmon4/temp2_emergency": "115000",
            "sys/class/drm/card0/device/vendor": "0x8086",
            "sys/class/drm/card1-DP-1/status": "connected",
        },
    )


def test_an_amd_gpu_is_read_from_the_kernels_files(tmp_path: Path) -> None:
    card(tmp_path)

    partial = amdgpu_probe(tmp_path).read(0.0)

    [gpu] = partial.gpus
    assert (gpu.id, gpu.name, gpu.busy_ratio) == ("card1", "Radeon PRO W7900", 0.87)
    assert (gpu.power_w, gpu.freq_hz, gpu.temp_c) == (215.0, 2.304e9, 60.0)
    assert partial.values[LEVEL] == 0
    assert partial.values["power.gpu_w"] == 215.0


@pytest.mark.parametrize(("junction", "level"), [(103_000, 1), (110_000, 2), (115_000, 4)])
def test_an_amd_gpu_at_its_limits(tmp_path: Path, junction: int, level: int) -> None:
    card(tmp_path, junction)

    assert amdgpu_probe(tmp_path).read(0.0).values[LEVEL] == level


def test_a_machine_without_an_amd_gpu_has_none(tmp_path: Path) -> None:
    assert amdgpu_probe(tmp_path).read(0.0).missing == {"gpus": "unsupported"}


def test_the_longest_of_all_counters_is_the_throttled_time_and_margins_are_told(
    tmp_path: Path,
) -> None:
    cpu, zone = "sys/devices/system/cpu/cpu0", "sys/class/thermal/thermal_zone0"
    files = {
        f"{cpu}/topology/core_id": "0",
        f"{cpu}/topology/physical_package_id": "0",
        f"{cpu}/thermal_throttle/core_throttle_count": "1",
        f"{cpu}/thermal_throttle/core_throttle_total_time_ms": "1000",
        f"{cpu}/thermal_throttle/package_throttle_total_time_ms": "5000",
        f"{zone}/type": "x86_pkg_temp",
        f"{zone}/temp": "80000",
        f"{zone}/trip_point_0_type": "passive",
        f"{zone}/trip_point_0_temp": "95000",
    }
    write(tmp_path, files)
    probe = heat_probe(tmp_path)
    probe.read(0.0)
    write(tmp_path, {f"{cpu}/thermal_throttle/package_throttle_total_time_ms": "6500"})

    values = probe.read(2.0).values

    assert values["thermal.throttled_s_delta"] == 1.5
    assert values["thermal.margin_c"] == 15.0


def test_a_board_that_counts_the_whole_machine(tmp_path: Path) -> None:
    zone = "sys/class/powercap/intel-rapl:1"
    write(
        tmp_path,
        {
            f"{zone}/name": "psys",
            f"{zone}/energy_uj": "0",
            f"{zone}/max_energy_range_uj": "1000000000",
        },
    )
    probe = power_probe(tmp_path)
    probe.read(0.0)
    write(tmp_path, {f"{zone}/energy_uj": "60000000"})

    values = probe.read(2.0).values

    assert (values["power.system_w"], values["energy.system_j"]) == (30.0, 60.0)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                f"{GROUP}/memory.max",
                f"{GROUP}/cpu.max",
                f"{GROUP}/cpu.stat",
                "proc/meminfo",
                f"{CARD}/vendor",
                f"{CARD}/gpu_busy_percent",
                f"{CARD}/hwmon/hwmon1/temp1_input",
                "sys/class/hwmon/hwmon1/fan1_input",
                f"{CPUFREQ}/policy0/scaling_cur_freq",
                f"{CPUFREQ}/policy0/related_cpus",
            ]
        ),
        st.none() | st.text(max_size=30) | st.integers().map(str),
    )
)
def test_parsers_survive_any_text(files: dict[str, str | None]) -> None:
    raw = json.dumps(files).encode()

    for parse in (parse_clocks, parse_hwmon, parse_amdgpu, LimitsParser()):
        assert isinstance(parse(raw, 1.0), Partial)
