# SPDX-License-Identifier: Apache-2.0
"""Messages of telemetry_agent: what the hardware of one node does."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AwareDatetime, Field

from mlops.contracts.message import NodeEvent, Part
from mlops.contracts.units import OpenEnum

_Level = Field(
    ge=0,
    le=4,
    description="Ladder of heat: 0 nominal, 1 elevated, 2 throttled, 3 critical, 4 emergency.",
)


class SampleSource(OpenEnum):
    """Where a reading comes from."""

    REAL = "real"
    REPLAY = "replay"
    SIMULATED = "simulated"
    UNKNOWN = "unknown"


class Chip(Part):
    """The machine; it does not change while the agent runs."""

    vendor: str = Field(
        default="unknown", max_length=64, description="apple, intel, amd, arm or unknown."
    )
    name: str = Field(
        default="unknown", max_length=128, description="Marketing name of the processor."
    )
    cores: int | None = Field(default=None, ge=1, description="Logical processors.")
    memory_bytes: int | None = Field(default=None, ge=0, description="Installed memory.")
    gpu_name: str | None = Field(
        default=None, max_length=128, description="Marketing name of the GPU."
    )
    mps_available: bool | None = Field(default=None, description="Whether PyTorch can use Metal.")
    ane_available: bool | None = Field(
        default=None, description="Whether there is a neural engine."
    )
    cuda_available: bool | None = Field(default=None, description="Whether there is a CUDA device.")


class Thermal(Part):
    """How hot it is, on one ladder for all machines."""

    level: int | None = Field(
        default=None, ge=0, le=4, description="Ladder of heat; None when this machine cannot tell."
    )
    native: str = Field(default="", max_length=64, description="The value as the machine says it.")
    level_source: str = Field(
        default="", max_length=32, description="Which interface the level comes from."
    )
    cpu_temp_c: float | None = Field(
        default=None, ge=-20, le=150, description="Hottest CPU sensor in °C."
    )
    gpu_temp_c: float | None = Field(
        default=None, ge=-20, le=150, description="Hottest GPU sensor in °C."
    )
    throttle_events_delta: int | None = Field(
        default=None, ge=0, description="Throttle events since the sample before."
    )


class Power(Part):
    """Mean power over the window, in watts."""

    cpu_w: float | None = Field(default=None, ge=0, le=2000, description="CPU.")
    gpu_w: float | None = Field(default=None, ge=0, le=2000, description="GPU.")
    ane_w: float | None = Field(default=None, ge=0, le=2000, description="Neural engine.")
    dram_w: float | None = Field(default=None, ge=0, le=2000, description="Memory.")
    package_w: float | None = Field(default=None, ge=0, le=2000, description="The whole package.")
    source: str = Field(default="unknown", max_length=16, description="ac, battery or unknown.")
    mode: str = Field(
        default="unknown", max_length=16, description="automatic, low, high or unknown."
    )


class Gpu(Part):
    """One GPU."""

    id: str = Field(max_length=64, description="Names the GPU on this machine.")
    busy_ratio: float | None = Field(
        default=None, ge=0, le=1.02, description="Share of the window in which it was busy."
    )
    memory_used_bytes: int | None = Field(default=None, ge=0, description="Memory in use.")
    memory_total_bytes: int | None = Field(default=None, ge=0, description="Memory it may use.")
    temp_c: float | None = Field(default=None, ge=-20, le=150, description="Temperature in °C.")
    power_w: float | None = Field(default=None, ge=0, le=2000, description="Power in watts.")
    event_reasons: tuple[str, ...] = Field(
        default=(), description="Why its clocks are held back, as the driver says it."
    )


class Memory(Part):
    """Main (or unified) memory."""

    total_bytes: int | None = Field(default=None, ge=0, description="Installed.")
    available_bytes: int | None = Field(
        default=None, ge=0, description="What a new process could get."
    )
    swap_used_bytes: int | None = Field(default=None, ge=0, description="Swap in use.")
    pressure: str = Field(
        default="unknown", max_length=16, description="normal, warn, critical or unknown."
    )


class HardwareSample(Part):
    """What a node did in one window. None means "cannot tell here", and `missing` says why."""

    seq: int = Field(ge=0, description="Counts the samples of this start of the agent.")
    boot_id: str = Field(max_length=64, description="Changes with each start of the machine.")
    observed_at: AwareDatetime = Field(description="End of the window.")
    window_s: float = Field(ge=0, description="Length of the window.")
    source: SampleSource = Field(
        default=SampleSource.REAL, description="Where the reading comes from."
    )
    chip: Chip = Field(default=Chip(), description="The machine.")
    thermal: Thermal = Field(default=Thermal(), description="How hot it is.")
    power: Power = Field(default=Power(), description="What it draws.")
    cpu_busy_ratio: float | None = Field(
        default=None, ge=0, le=1.02, description="Mean over all processors."
    )
    gpus: tuple[Gpu, ...] = Field(default=(), description="Each GPU.")
    memory: Memory = Field(default=Memory(), description="Main memory.")
    provenance: dict[str, str] = Field(
        default_factory=dict, description="Field to the probe that read it."
    )
    missing: dict[str, str] = Field(
        default_factory=dict, description="Field to the reason: unsupported, denied, failed, stale."
    )


class TelemetrySampled(NodeEvent):
    """A sample of one node; may be thinned or lost."""

    type: ClassVar[str] = "telemetry.sampled"
    about: ClassVar[str | None] = "node"

    sample: HardwareSample = Field(description="The reading.")
    episode_id: str | None = Field(
        default=None,
        max_length=128,
        description="The open thermal episode, so that a missed edge heals.",
    )


class ThermalThrottled(NodeEvent):
    """A node got so hot that it slows down; or got hotter within the same episode."""

    type: ClassVar[str] = "thermal.throttled"
    about: ClassVar[str | None] = "node"

    episode_id: str = Field(max_length=128, description="Names the thermal episode.")
    level: int = _Level
    native: str = Field(default="", max_length=64, description="The value as the machine says it.")
    reason: str = Field(max_length=300, description="What was read that says so.")
    since: AwareDatetime = Field(description="Beginning of the episode.")
    escalated_from: int | None = Field(
        default=None, ge=0, le=4, description="The level before, within the episode."
    )


class ThermalRecovered(NodeEvent):
    """A thermal episode is over."""

    type: ClassVar[str] = "thermal.recovered"
    about: ClassVar[str | None] = "node"

    episode_id: str = Field(max_length=128, description="Names the thermal episode.")
    level: int = _Level
    peak_level: int = Field(ge=0, le=4, description="The hottest level of the episode.")
    duration_s: float = Field(ge=0, description="Length of the episode.")
    since: AwareDatetime = Field(description="Beginning of the episode.")
