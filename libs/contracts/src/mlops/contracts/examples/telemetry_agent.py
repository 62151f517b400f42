# SPDX-License-Identifier: Apache-2.0
"""Example messages of telemetry_agent: a warm node, and one thermal episode."""

from __future__ import annotations

from datetime import UTC, datetime

from mlops.contracts.message import Message
from mlops.contracts.telemetry_agent import (
    AgentCost,
    Chip,
    Cluster,
    Disk,
    Energy,
    Fan,
    Gpu,
    HardwareSample,
    Memory,
    Power,
    SampleSource,
    TelemetrySampled,
    Thermal,
    ThermalRecovered,
    ThermalThrottled,
)

_EPISODE = "node-1-2026-03-01T11:55:00Z"
_SINCE = datetime(2026, 3, 1, 11, 55, 0, tzinfo=UTC)
_SAMPLE = HardwareSample(
    seq=42,
    boot_id="5d2f0c7e-61a3-4c7b-8d54-2d0f5b6a7c88",
    observed_at=datetime(2026, 3, 1, 11, 59, 58, tzinfo=UTC),
    window_s=5.0,
    source=SampleSource.SIMULATED,
    chip=Chip(
        vendor="apple",
        name="Apple M2",
        family="m2",
        variant="base",
        model_id="Mac14,2",
        cores=8,
        core_kinds={"performance": 4, "efficiency": 4},
        gpu_cores=10,
        memory_bytes=17_179_869_184,
        gpu_name="Apple M2",
        mps_available=True,
        ane_available=True,
        cuda_available=False,
    ),
    thermal=Thermal(
        level=2,
        native="serious",
        level_source="thermal_state",
        cpu_temp_c=96.5,
        gpu_temp_c=91.0,
        throttle_events_delta=1,
        throttled_s_delta=3.5,
        margin_c=4.0,
        derived_throttle=True,
        reasons=("thermal",),
    ),
    power=Power(
        cpu_w=14.5,
        gpu_w=6.25,
        ane_w=0.0,
        dram_w=1.5,
        package_w=22.25,
        system_w=27.5,
        source="battery",
        mode="automatic",
    ),
    cpu_busy_ratio=0.93,
    gpus=(
        Gpu(
            id="gpu-0",
            name="Apple M2",
            freq_hz=720_000_000.0,
            busy_ratio=0.4,
            memory_used_bytes=2_147_483_648,
            memory_total_bytes=11_453_246_122,
            temp_c=91.0,
            power_w=6.25,
            event_reasons=("thermal",),
        ),
    ),
    memory=Memory(
        total_bytes=17_179_869_184,
        used_bytes=12_884_901_888,
        available_bytes=4_294_967_296,
        swap_used_bytes=0,
        swap_total_bytes=2_147_483_648,
        gpu_limit_bytes=11_453_246_122,
        pressure="normal",
        oom_kills_delta=0,
    ),
    disk=Disk(total_bytes=494_384_795_648, free_bytes=31_138_512_896),
    energy=Energy(
        cpu_j=1_450.0,
        gpu_j=625.0,
        ane_j=0.0,
        dram_j=150.0,
        package_j=2_225.0,
        system_j=2_750.0,
        measured=False,
    ),
    clusters=(
        Cluster(
            name="P-Cluster", kind="performance", cores=4, busy_ratio=0.97, freq_hz=2_424_000_000.0
        ),
        Cluster(
            name="E-Cluster", kind="efficiency", cores=4, busy_ratio=0.89, freq_hz=1_752_000_000.0
        ),
    ),
    fans=(Fan(name="left", rpm=2_300.0, max_rpm=6_200.0),),
    agent=AgentCost(
        cpu_ratio=0.004, rss_bytes=63_000_000, read_ms=3.2, dropped=1, degraded=True
    ),
    backfill=True,
    provenance={"thermal.level": "simulated"},
    missing={"power.dram_w": "unsupported"},
)

EXAMPLES: tuple[Message, ...] = (
    TelemetrySampled(node="node-1", sample=_SAMPLE, episode_id=_EPISODE),
    ThermalThrottled(
        node="node-1",
        episode_id=_EPISODE,
        level=3,
        native="critical",
        reason="the thermal state rose from serious to critical",
        since=_SINCE,
        escalated_from=2,
    ),
    ThermalRecovered(
        node="node-1", episode_id=_EPISODE, level=0, peak_level=3, duration_s=240.0, since=_SINCE
    ),
)
