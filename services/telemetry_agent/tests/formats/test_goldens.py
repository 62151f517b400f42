# SPDX-License-Identifier: Apache-2.0
"""Self-made recordings of every format, with the values that a person reads in them; each sample file is in the table."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops.contracts.telemetry_agent import HardwareSample
from mlops.telemetry_agent.adapters.parsing.samples import parsed

SAMPLES = Path(__file__).parent / "samples"
NOW = datetime(2026, 9, 2, tzinfo=UTC)
GIB = 2**30

Checks = list[tuple[int, str, object]]

GOLDEN: dict[str, tuple[str, int, Checks]] = {
    "powermetrics.m5-and-ultra.plist": (
        "powermetrics",
        2,
        [
            (0, "observed_at", datetime(2026, 9, 1, 12, 0, 2, tzinfo=UTC)),
            (0, "window_s", 2.0),
            (0, "chip.model_id", "Mac17,9"),
            (0, "chip.core_kinds", {"super": 2, "performance": 4}),
            (0, "chip.vendor", "apple"),
            (0, "thermal.level", 2),
            (0, "thermal.native", "Heavy"),
            (0, "thermal.level_source", "powermetrics"),
            (0, "power.cpu_w", 4.5),  # 9000 mJ in 2 s
            (0, "power.gpu_w", 15.0),
            (0, "power.ane_w", 0.1),
            (0, "power.package_w", 19.6),
            (0, "energy.cpu_j", 9.0),
            (0, "gpus.0.freq_hz", 1338.5e6),  # MHz, whatever the key is called
            (0, "gpus.0.busy_ratio", 0.75),
            (0, "gpus.0.power_w", 15.0),
            (0, "clusters.0.kind", "performance"),
            (0, "clusters.2.name", "S-Cluster"),
            (0, "clusters.2.kind", "super"),
            (0, "clusters.2.busy_ratio", 0.9),
            (0, "clusters.2.freq_hz", 4.2e9),
            (0, "cpu_busy_ratio", 0.45),  # of the cores: (0.2 + 0.1 + 0.4 + 0.3 + 0.8 + 0.9) / 6
            (0, "provenance.power.cpu_w", "powermetrics"),
            (0, "missing.memory.pressure", "unsupported"),
            (0, "source.value", "replay"),
            (1, "thermal.level", 1),
            (1, "window_s", 1.009),
            (1, "power.cpu_w", 1.0),  # over what was measured, not over a second
            (1, "energy.cpu_j", 10.009),  # joules only grow within a recording
            (1, "chip.core_kinds", {"performance": 8, "efficiency": 4}),
            (1, "clusters.5.name", "P3-Cluster"),
        ],
    ),
    "powermetrics_text.m5pro.txt": (
        "powermetrics_text",
        2,
        [
            (0, "observed_at", datetime(2026, 9, 1, 12, 0, 2, tzinfo=UTC)),
            (0, "window_s", 1.0095),
            (0, "thermal.level", 3),
            (0, "power.cpu_w", 9.876),
            (0, "power.package_w", 30.996),
            (0, "clusters.0.busy_ratio", 0.4),  # DOWN is neither idle nor absent
            (0, "clusters.1.freq_hz", 4.2e9),
            (0, "cpu_busy_ratio", (0.3 + 0.0054 + 0.9) / 3),
            (0, "gpus.0.busy_ratio", 0.9743),
            (0, "gpus.0.freq_hz", 1338e6),
            # The cluster prints zeros while its cores run.
            (1, "clusters.0.busy_ratio", 0.4),
            (1, "clusters.0.freq_hz", (0.6 * 1000e6 + 0.2 * 1200e6) / 0.8),
            (1, "missing.thermal.level", "unsupported"),
            (1, "gpus", ()),
        ],
    ),
    "powermetrics_text.intel.txt": (
        "powermetrics_text",
        1,
        [
            (0, "power.package_w", 12.34),
            (0, "thermal.cpu_temp_c", 71.25),
            (0, "thermal.gpu_temp_c", 65.0),
            (0, "fans.0.rpm", 1836.5),
            (0, "chip.ane_available", None),
            (0, "chip.vendor", "intel"),
            (0, "chip.cores", 4),
            (0, "cpu_busy_ratio", 0.25),  # half a core of two
            (0, "gpus.0.busy_ratio", 0.0517),
            (0, "thermal.throttle_events_delta", 3),
        ],
    ),
    "powermetrics.intel.plist": (
        "powermetrics",
        1,
        [
            (0, "chip.vendor", "intel"),
            (0, "chip.model_id", "MacBookPro15,3"),
            (0, "chip.cores", 4),
            (0, "chip.ane_available", None),
            (0, "cpu_busy_ratio", 0.25),  # half a core of two
            (0, "power.package_w", 12.5),  # 25 J in 2 s
            (0, "energy.package_j", 25.0),  # J, where Apple's chips say mJ
            (0, "power.dram_w", 0.75),
            (0, "gpus.0.busy_ratio", 0.185),
            (0, "gpus.0.freq_hz", 750e6),
            (0, "thermal.cpu_temp_c", 71.25),
            (0, "thermal.gpu_temp_c", None),
            (0, "thermal.level", 1),
            (0, "thermal.derived_throttle", True),
            (0, "fans.0.rpm", 1836.5),
        ],
    ),
    "macmon.v08.ndjson": (
        "macmon",
        2,
        [
            (0, "cpu_busy_ratio", 0.25),
            (0, "gpus.0.busy_ratio", 0.75),
            (0, "gpus.0.freq_hz", 1e9),
            (0, "missing.power.system_w", "failed"),  # 0.0 is what it could not read
            (0, "missing.thermal.gpu_temp_c", "failed"),
            (0, "thermal.cpu_temp_c", 61.5),
            (0, "memory.used_bytes", 16 * GIB),
            (0, "chip.name", "Apple M3 Pro"),
            (0, "chip.core_kinds", {"performance": 6, "efficiency": 6}),
            (0, "fans.0.max_rpm", 5800.0),
            (0, "power.dram_w", 1.5),
            # Busy at 0 W cannot be; the total that holds it cannot be, either.
            (1, "missing.power.cpu_w", "failed"),
            (1, "missing.power.package_w", "failed"),
            (1, "power.gpu_w", 1.0),
            (1, "cpu_busy_ratio", 0.9),
            (1, "missing.observed_at", "unsupported"),
        ],
    ),
    "pumas.m5.json": (
        "pumas",
        1,
        [
            (0, "thermal.level", 4),
            (0, "chip.family", "m5"),
            (0, "chip.variant", "base"),
            (0, "chip.core_kinds", {"performance": 4, "efficiency": 6}),
            (0, "clusters.0.busy_ratio", 0.5),
            (0, "gpus.0.freq_hz", 1e9),
            (0, "memory.used_bytes", 8 * GIB),
        ],
    ),
    "ioreg.m2.txt": (
        "ioreg",
        1,
        [
            (0, "gpus.0.busy_ratio", 0.42),
            (0, "gpus.0.memory_used_bytes", 1234567),  # not the driver's 4096
            (0, "chip.gpu_cores", 8),
            (0, "chip.family", "m2"),
        ],
    ),
    "ioreg.two-gpus.plist": (
        "ioreg",
        1,
        [
            (0, "gpus.0.name", "AMD Radeon Pro 5300M"),
            (0, "gpus.0.memory_total_bytes", 4000),
            (0, "gpus.1.busy_ratio", 0.55),
            (0, "chip.mps_available", None),
        ],
    ),
    "sysctl.m5max.txt": (
        "sysctl",
        1,
        [
            (0, "chip.variant", "max"),
            (0, "chip.core_kinds", {"super": 6, "performance": 12}),
            (0, "chip.cores", 18),
            (0, "memory.pressure", "warn"),
            (0, "memory.available_bytes", 32 * GIB),
            (0, "memory.swap_used_bytes", int(1000.5 * 2**20)),
            (0, "memory.gpu_limit_bytes", 120 * GIB),
        ],
    ),
    "notifyutil.txt": (
        "notifyutil",
        2,
        [
            (0, "thermal.level", 2),
            (0, "thermal.native", "Heavy"),
            (1, "missing.thermal.level", "failed"),
        ],
    ),
    "pmset.custom.txt": (
        "pmset",
        1,
        [
            (0, "power.source", "battery"),
            (0, "power.mode", "low"),
            (0, "thermal.reasons", ("low_power_mode",)),
            (0, "missing.thermal.level", "unsupported"),
        ],
    ),
    "system_profiler.m2pro.json": (
        "system_profiler",
        1,
        [
            (0, "chip.core_kinds", {"performance": 8, "efficiency": 4}),
            (0, "chip.gpu_cores", 19),
            (0, "chip.memory_bytes", 16 * GIB),
        ],
    ),
    "system_profiler.text.txt": (
        "system_profiler",
        1,
        [(0, "chip.model_id", "Mac15,12"), (0, "chip.cores", 8), (0, "chip.gpu_cores", 10)],
    ),
    "mlx_device_info.python.txt": (
        "mlx_device_info",
        1,
        [(0, "memory.gpu_limit_bytes", 12713115648), (0, "chip.memory_bytes", 16 * GIB)],
    ),
    "nvidia_smi_xml.v13-two-gpus.xml": (
        "nvidia_smi_xml",
        1,
        [
            (0, "gpus.0.id", "gpu0"),
            (0, "gpus.0.event_reasons", ("sw_power_cap",)),
            (0, "gpus.0.memory_total_bytes", 81559 * 2**20),
            (0, "gpus.0.freq_hz", 1755e6),
            (0, "gpus.1.busy_ratio", None),
            (0, "gpus.1.memory_used_bytes", 1024 * 2**20),  # the GPU's, not a MIG device's
            (0, "gpus.1.power_w", None),
            (0, "thermal.level", 2),  # 0x20 of the second
            (0, "thermal.reasons", ("power_cap", "thermal")),
            (0, "thermal.margin_c", 3.0),  # 1 °C to the limit, slow-down 2 °C above
            (0, "thermal.gpu_temp_c", 86.0),
            (0, "missing.thermal.throttled_s_delta", "stale"),
            (0, "chip.cuda_available", True),
        ],
    ),
    "nvidia_smi_text.old.txt": (
        "nvidia_smi_text",
        1,
        [
            (0, "thermal.level", 3),
            (0, "thermal.margin_c", 2.0),
            (0, "power.gpu_w", 298.76),
            (0, "gpus.0.busy_ratio", 0.97),
            (0, "gpus.0.freq_hz", 1.2e9),
            (0, "gpus.0.event_reasons", ("sw_power_cap", "hw_slowdown", "hw_thermal_slowdown")),
        ],
    ),
    "nvidia_smi_csv.nounits.csv": (
        "nvidia_smi_csv",
        2,
        [
            (0, "gpus.0.memory_used_bytes", 2**30),
            (0, "gpus.0.busy_ratio", 0.99),
            (0, "gpus.1.power_w", None),
            (0, "power.gpu_w", 71.5),
            (0, "thermal.level", 3),
            (1, "thermal.level", 0),
            (1, "gpus.0.temp_c", 71.0),
        ],
    ),
    "nvidia_smi_dmon.txt": (
        "nvidia_smi_dmon",
        2,
        [(0, "power.gpu_w", 325.0), (0, "gpus.1.freq_hz", 210e6), (1, "gpus.0.busy_ratio", 1.0)],
    ),
    "rocm_smi.mi300.json": (
        "rocm_smi",
        1,
        [
            (0, "gpus.0.power_w", 740.5),  # not the 750 W that are allowed
            (0, "gpus.0.temp_c", 95.0),
            (0, "gpus.0.memory_used_bytes", 103070826496),
            (0, "gpus.0.freq_hz", 2.1e9),
            (0, "gpus.1.power_w", None),
            (0, "thermal.level", 2),
            (0, "thermal.reasons", ("thermal", "power_cap")),
        ],
    ),
    "sys_tree.server.ttar": (
        "sys_tree",
        1,
        [
            (0, "thermal.cpu_temp_c", 96.0),
            (0, "thermal.level", 1),
            (0, "power.gpu_w", 30.0),  # its hwmon0 has no link, and the name of the linked one
        ],
    ),
    "recording.jsonl": (
        "recording",
        3,
        [(0, "thermal.cpu_temp_c", 51.0), (2, "thermal.cpu_temp_c", 53.0), (2, "window_s", 2.4)],
    ),
    "transcript.txt": ("transcript", 2, [(0, "thermal.level", 3), (1, "thermal.level", 1)]),
}


@pytest.mark.parametrize("name", sorted(path.name for path in SAMPLES.iterdir()))
def test_a_recording_says_what_is_in_it(name: str) -> None:
    expected, count, checks = GOLDEN[name]

    found = parsed((SAMPLES / name).read_bytes(), name, NOW)

    assert (found.format.name, len(found.samples)) == (expected, count)
    seen = [(place, path, look(found.samples[place], path)) for place, path, _ in checks]
    assert seen == [
        (place, path, pytest.approx(value) if isinstance(value, float) else value)
        for place, path, value in checks
    ]


def test_nothing_that_names_a_person_or_a_machine_comes_out() -> None:
    samples = [parsed(path.read_bytes(), path.name, NOW).samples for path in SAMPLES.iterdir()]

    told = " ".join(sample.model_dump_json() for found in samples for sample in found)

    secrets = (
        "SECRET",
        "1111-2222",
        "alice",
        "4242",
        "GPU-9999",
        "13200000",
        "0322222",
        "69200000",
    )
    assert [secret for secret in secrets if secret in told] == []


def look(sample: HardwareSample, path: str) -> object:
    """Return a field such as `gpus.0.busy_ratio`; `provenance.` and `missing.` are followed by a field's whole name."""
    head, _, rest = path.partition(".")
    if head in ("provenance", "missing"):
        return getattr(sample, head).get(rest)
    found: object = sample
    for part in path.split("."):
        found = found[int(part)] if isinstance(found, tuple) else getattr(found, part)
    return found
