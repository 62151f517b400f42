# SPDX-License-Identifier: Apache-2.0
"""Recordings of real machines, which are not part of the repository (`MLOPS_CAPTURES`): each has its expected result.

A new file without one fails. The values were read in the files by eye, with their units; the kernel trees are two entries.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlops.contracts.telemetry_agent import HardwareSample
from mlops.telemetry_agent.adapters.parsing.command import Refused, read

ROOT = Path(os.environ.get("MLOPS_CAPTURES") or Path(__file__).parents[5] / "shared" / "captures")
NOW = datetime(2026, 12, 1, tzinfo=UTC)
GIB, MIB = 2**30, 2**20
REFUSED = "refused"

# File: (format, samples, {"<sample>.<field>": value}); for what is none, what is said of it.
Expected = tuple[str, int, dict[str, Any]]
EXPECTED: dict[str, Expected] = {
    "SOURCES.md": (REFUSED, 0, {"none of the formats": True}),
    "node_exporter/SYMLINKS.txt": (REFUSED, 0, {"none of the formats": True}),
    "singhkays-m1-mini/powermetrics-help-macos11.2.txt": (REFUSED, 0, {"help text": True}),
    "transcribed/m4air-thermal-vs-throughput-2026-09-16.csv": (REFUSED, 0, {"measurements": True}),
    "pumas/powermetrics-m1.plist": (
        "powermetrics",
        1,
        {
            "0.observed_at": datetime(2023, 4, 1, 13, 18, 36, tzinfo=UTC),
            "0.window_s": 2.01917875,
            "0.power.cpu_w": 0.0440773,
            "0.power.gpu_w": 0.0153528,
            "0.power.package_w": 0.0594301,
            "0.energy.cpu_j": 0.089,
            "0.gpus.0.freq_hz": 714.836e6,
            "0.gpus.0.busy_ratio": 0.016659,
            "0.clusters.0.freq_hz": 1.02287e9,
            "0.clusters.0.busy_ratio": 0.227007,
            "0.thermal.level": 0,
            "0.chip.core_kinds": {"performance": 4, "efficiency": 4},
        },
    ),
    "pumas/powermetrics-m1-2.plist": (
        "powermetrics",
        1,
        {"0.power.cpu_w": 0.102663, "0.gpus.0.freq_hz": 715.009e6, "0.energy.gpu_j": 0.010},
    ),
    "pumas/pumas-sample-output.json": (
        "pumas",
        1,
        {
            "0.chip.name": "Apple M2 Max",
            "0.chip.gpu_cores": 38,
            "0.power.cpu_w": 0.0337148,
            "0.gpus.0.freq_hz": 444e6,
            "0.memory.used_bytes": 14862450688,
            "0.clusters.2.name": "P1-Cluster",
        },
    ),
    "pause-monitor/powermetrics-m4max-macos26.2-system-tasks-only.plist": (
        "powermetrics",
        1,
        {
            "0.power.cpu_w": 2.97845,
            "0.power.gpu_w": 0.269614,
            "0.clusters.1.name": "P0-Cluster",
            "0.clusters.1.freq_hz": 3.56087e9,
            "0.clusters.1.busy_ratio": 0.72778,
            "0.clusters.2.busy_ratio": 0.000357,  # down 99.7 %, idle 0.2 %
            "0.chip.core_kinds": {"performance": 12, "efficiency": 4},
            "0.gpus.0.freq_hz": 338e6,
            "0.gpus.0.busy_ratio": 0.122657,
        },
    ),
    "matiasinsaurralde-powermetrics/gpu_power-m4pro.plist": (
        "powermetrics",
        1,
        {"0.energy.gpu_j": 0.009, "0.power.gpu_w": 0.0017980, "0.gpus.0.freq_hz": 338e6},
    ),
    "matiasinsaurralde-powermetrics/gpu_power_multiple_samples-m4pro.plist": (
        "powermetrics",
        5,
        {"2.power.gpu_w": 0.157283, "2.gpus.0.freq_hz": 867.616e6, "4.energy.gpu_j": 1.186},
    ),
    "matiasinsaurralde-powermetrics/battery-m4pro.plist": (
        "powermetrics",
        1,
        {"0.chip.model_id": "Mac16,8", "0.power.cpu_w": None},
    ),
    "matiasinsaurralde-powermetrics/battery_multiple_samples-m4pro.plist": (
        "powermetrics",
        3,
        {"2.window_s": 1.001210833, "0.thermal.level": None},
    ),
    "macadmins-osquery-extension/socpower-trimmed.plist": (
        "powermetrics",
        1,
        {"0.power.cpu_w": 9.92435, "0.power.package_w": 10.0943, "0.gpus.0.busy_ratio": 0.098643},
    ),
    "macadmins-osquery-extension/thermal-trimmed-m4max.plist": (
        "powermetrics",
        1,
        {"0.thermal.level": 0, "0.thermal.native": "Nominal", "0.chip.model_id": "Mac16,6"},
    ),
    "powermetrics-tui/powermetrics-m1max-all-macos14.6.txt": (
        "powermetrics_text",
        1,
        {
            "0.observed_at": datetime(2025, 9, 13, 23, 18, 55, tzinfo=UTC),
            "0.window_s": 5.03796,
            "0.power.cpu_w": 0.044,
            "0.power.package_w": 0.054,
            "0.thermal.level": 0,
            "0.clusters.1.busy_ratio": 0.0371,
            "0.clusters.0.freq_hz": 1012e6,
            "0.gpus.0.freq_hz": 418e6,
            "0.chip.core_kinds": {"performance": 8, "efficiency": 2},
        },
    ),
    "codecarbon/powermetrics-m1air-macos12.5.txt": (
        "powermetrics_text",
        10,
        {
            "0.power.package_w": 1.473,
            "0.power.dram_w": 0.220,
            "1.power.cpu_w": 0.420,
            "0.clusters.1.freq_hz": 2247e6,
        },
    ),
    "singhkays-m1-mini/Cinebench-R23.txt.gz": (
        "powermetrics_text",
        335,
        {
            "0.power.cpu_w": 0.009,
            "0.power.package_w": 0.045,
            "0.gpus.0.busy_ratio": 0.0022,
            "0.gpus.0.freq_hz": 707e6,
            "334.window_s": 1.01627,
            "334.power.package_w": 0.081,  # of the last sample, not of the summary below it
            "334.gpus.0.freq_hz": 708e6,
            "334.gpus.0.busy_ratio": 0.0384,
        },
    ),
    "singhkays-m1-mini/GB5-CPU.txt.gz": (
        "powermetrics_text",
        223,
        {"0.window_s": 1.00468, "0.chip.model_id": "Macmini9,1"},
    ),
    "transcribed/powermetrics-m2pro-gpu-macos26.txt": (
        "powermetrics_text",
        1,
        {"0.gpus.0.busy_ratio": 0.0097, "0.gpus.0.freq_hz": 444e6, "0.power.gpu_w": 0.004},
    ),
    "transcribed/powermetrics-thermal-m4air-macos26.txt": (
        "powermetrics_text",
        1,
        {"0.thermal.level": 0, "0.chip.model_id": "Mac16,12", "0.window_s": 0.30107},
    ),
    "transcribed/macmon-pipe-v0.7-legacy.ndjson": (
        "macmon",
        3,
        {
            "0.power.cpu_w": 0.635973,
            "0.power.system_w": 10.495542,
            "0.clusters.1.freq_hz": 2061e6,
            "1.observed_at": NOW,  # no timestamp: the time of the file, here replaced
            "1.memory.used_bytes": 14942404608,
            "2.cpu_busy_ratio": 0.9946,
            "2.thermal.cpu_temp_c": 82.86,
        },
    ),
    "transcribed/macmon-m1max-v0.8dev-trimmed-cores.json": (
        "macmon",
        1,
        {
            "0.cpu_busy_ratio": 0.190335,
            "0.gpus.0.busy_ratio": 0.692162,
            "0.gpus.0.freq_hz": 388e6,
            "0.fans.1.rpm": 2514.0,
            "0.power.dram_w": 1.749782,
        },
    ),
    "sonar/ioreg-m4pro.txt": (
        "ioreg",
        1,
        {
            "0.gpus.0.busy_ratio": 1.0,
            "0.gpus.0.memory_used_bytes": 10977263616,
            "0.chip.gpu_cores": 16,
        },
    ),
    "sonar/displays-m4pro.txt": (
        "system_profiler",
        1,
        {"0.chip.gpu_name": "Apple M4 Pro", "0.chip.gpu_cores": 16},
    ),
    "transcribed/ioreg-performancestatistics-snippets.txt": (
        "ioreg",
        5,
        {"1.gpus.0.busy_ratio": 0.34, "4.gpus.0.memory_used_bytes": 1210236928},
    ),
    "transcribed/mlx-device_info.json": (
        "mlx_device_info",
        4,
        {"0.memory.gpu_limit_bytes": 223338299392, "3.chip.memory_bytes": 128 * GIB},
    ),
    "transcribed/notifyutil-thermalpressurelevel.txt": ("notifyutil", 1, {"0.thermal.level": 0}),
    "transcribed/pmset-g-therm-apple-silicon.txt": ("pmset", 1, {"0.thermal.level": None}),
    "transcribed/sysctl-m1pro.txt": (
        "sysctl",
        1,
        {"0.chip.core_kinds": {"performance": 8, "efficiency": 2}, "0.chip.variant": "pro"},
    ),
    "transcribed/sysctl-m2max-macos15.5.txt": (
        "sysctl",
        1,
        {"0.chip.memory_bytes": 64 * GIB, "0.memory.gpu_limit_bytes": None},
    ),
    "transcribed/sysctl-m3ultra.txt": (
        "sysctl",
        1,
        {"0.chip.cores": 28, "0.chip.memory_bytes": 96 * GIB, "0.chip.variant": "ultra"},
    ),
    "transcribed/system_profiler-SPHardwareDataType-m2-redacted.json": (
        "system_profiler",
        1,
        {"0.chip.core_kinds": {"performance": 4, "efficiency": 4}, "0.chip.model_id": "Mac14,7"},
    ),
    "transcribed/system_profiler-SPHardwareDataType-m2ultra-4field.json": (
        "system_profiler",
        1,
        {"0.chip.core_kinds": {"performance": 16, "efficiency": 8}, "0.chip.cores": 24},
    ),
    "transcribed/system_profiler-SPHardwareDataType-m4max-redacted.json": (
        "system_profiler",
        1,
        {
            "0.chip.core_kinds": {"performance": 12, "efficiency": 4},
            "0.chip.memory_bytes": 48 * GIB,
        },
    ),
    "telegraf/nvidia-smi-q-x/a100-sxm4-v12.xml": (
        "nvidia_smi_xml",
        1,
        {"0.gpus.0.busy_ratio": None, "0.power.gpu_w": 67.03, "0.thermal.margin_c": 62.0},
    ),
    "telegraf/nvidia-smi-q-x/rtx-3080-v13.xml": (
        "nvidia_smi_xml",
        1,
        {"0.gpus.0.busy_ratio": 0.65, "0.power.gpu_w": 139.62, "0.gpus.0.freq_hz": 1950e6},
    ),
    "telegraf/nvidia-smi-q-x/rtx-4000-sff-ada-v13.xml": (
        "nvidia_smi_xml",
        1,
        {"0.thermal.margin_c": 51.0, "0.gpus.0.memory_used_bytes": 3534 * MIB},
    ),
    "telegraf/nvidia-smi-q-x/tesla-t4.xml": (
        "nvidia_smi_xml",
        1,
        {"0.power.gpu_w": 26.78, "0.thermal.margin_c": 53.0, "0.gpus.0.freq_hz": 585e6},
    ),
    "nvidia_gpu_exporter/linux-x86_64__nvidia-h200__590.48.01.txt.gz": (
        "transcript",
        14,
        {
            "7.gpus.0.power_w": 627.32,
            "7.gpus.0.busy_ratio": 1.0,
            "7.thermal.margin_c": 37.0,
            "7.thermal.level": 0,
            "7.gpus.0.memory_total_bytes": 143771 * MIB,
            "13.gpus.0.power_w": 630.0,
            "13.gpus.0.temp_c": 54.0,
        },
    ),
    "nvidia_gpu_exporter/linux-x86_64__nvidia-geforce-rtx-4080-super__595.71.05.txt.gz": (
        "transcript",
        14,
        {
            "0.gpus.0.power_w": 25.92,
            "0.thermal.margin_c": 53.0,
            "1.gpus.0.power_w": 26.20,
            "8.gpus.0.freq_hz": 2805e6,
            "8.gpus.0.memory_used_bytes": 1474 * MIB,
        },
    ),
    "telegraf/rocm-smi/mi100_rocm602.json": (
        "rocm_smi",
        1,
        {"0.gpus.1.temp_c": 58.0, "0.power.gpu_w": 162.0, "0.gpus.3.freq_hz": 300e6},
    ),
    "telegraf/rocm-smi/vega-20-WKS-GL-XE.json": (
        "rocm_smi",
        1,
        {
            "0.gpus.0.power_w": 26.0,
            "0.gpus.0.freq_hz": 1725e6,
            "0.gpus.0.memory_used_bytes": 10850304,
        },
    ),
    "node_exporter": ("sys_tree", 1, {"0.thermal.cpu_temp_c": 55.0, "0.thermal.level": 0}),
    "kepler": ("sys_tree", 1, {"0.power.gpu_w": 118.0, "0.power.package_w": None}),
}
TREES = ("node_exporter", "kepler")


def recordings() -> list[str]:
    """Return what there is: each file, and each kernel tree as one."""
    files = (path.relative_to(ROOT) for path in ROOT.rglob("*") if path.is_file())
    found = {str(path) for path in files if not (path.parts[0] in TREES and path.parts[1] == "sys")}
    return sorted({*found, *(tree for tree in TREES if (ROOT / tree).is_dir())} or EXPECTED)


@pytest.mark.parametrize("name", recordings())
def test_a_recording_of_a_real_machine_says_what_is_in_it(name: str) -> None:
    if not ROOT.is_dir():
        pytest.skip(f"no captures at {ROOT}; set MLOPS_CAPTURES to have them parsed")
    format_, count, fields = EXPECTED[name]

    found = read(str(ROOT / name), NOW)

    if isinstance(found, Refused):
        assert format_ == REFUSED, found.reason
        assert [said for said in fields if said not in found.reason] == []
        return
    assert (found.format.name, len(found.samples)) == (format_, count)
    seen = {path: look(found.samples, path) for path in fields}
    assert seen == {path: _about(value) for path, value in fields.items()}


def look(samples: tuple[HardwareSample, ...], path: str) -> object:
    """Return a field such as `0.gpus.1.temp_c`; a time that the recording does not tell is NOW."""
    found: object = samples
    for part in path.split("."):
        if part == "observed_at" and isinstance(found, HardwareSample) and part in found.missing:
            return NOW
        found = found[int(part)] if isinstance(found, tuple) else getattr(found, part)
    return found


def _about(value: Any) -> Any:
    return pytest.approx(value, rel=1e-5, abs=3e-6) if isinstance(value, float) else value
