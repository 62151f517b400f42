# SPDX-License-Identifier: Apache-2.0
"""Messages of telemetry_agent: what the hardware of one node does."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AwareDatetime, Field

from mlops.contracts.message import NodeEvent, Part
from mlops.contracts.units import OpenEnum

LADDER = ("nominal", "elevated", "throttled", "critical", "emergency")

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
    family: str = Field(
        default="",
        max_length=16,
        description="Generation of Apple silicon: m1, m2 …; empty elsewhere.",
    )
    variant: str = Field(
        default="",
        max_length=16,
        description="base, pro, max or ultra on Apple silicon; empty elsewhere.",
    )
    model_id: str = Field(
        default="", max_length=64, description="The maker's name of the machine, such as Mac16,12."
    )
    cores: int | None = Field(default=None, ge=1, description="Logical processors.")
    core_kinds: dict[str, int] = Field(
        default_factory=dict,
        description="Cores by kind, fastest first: performance, efficiency, super ….",
    )
    gpu_cores: int | None = Field(default=None, ge=0, description="Cores of the GPU.")
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
    throttled_s_delta: float | None = Field(
        default=None, ge=0, description="Seconds spent throttled since the sample before."
    )
    margin_c: float | None = Field(
        default=None,
        ge=-150,
        le=150,
        description="Degrees left until the machine slows down, of the tightest sensor.",
    )
    derived_throttle: bool | None = Field(
        default=None,
        description="Whether clocks, power or speed say that it is slowed down, whatever the level says.",
    )
    reasons: tuple[str, ...] = Field(
        default=(),
        max_length=16,
        description="Why it is held back: thermal, power_cap, low_power_mode, memory_pressure ….",
    )


class Power(Part):
    """Mean power over the window, in watts."""

    cpu_w: float | None = Field(default=None, ge=0, le=2000, description="CPU.")
    gpu_w: float | None = Field(default=None, ge=0, le=2000, description="GPU.")
    ane_w: float | None = Field(default=None, ge=0, le=2000, description="Neural engine.")
    dram_w: float | None = Field(default=None, ge=0, le=2000, description="Memory.")
    package_w: float | None = Field(default=None, ge=0, le=2000, description="The whole package.")
    system_w: float | None = Field(
        default=None, ge=0, le=5000, description="The whole machine, as its power supply sees it."
    )
    source: str = Field(default="unknown", max_length=16, description="ac, battery or unknown.")
    mode: str = Field(
        default="unknown", max_length=16, description="automatic, low, high or unknown."
    )


class Energy(Part):
    """Joules counted since this start of the agent; they only grow, so that a lost sample loses no energy."""

    cpu_j: float | None = Field(default=None, ge=0, description="CPU.")
    gpu_j: float | None = Field(default=None, ge=0, description="GPUs, all together.")
    ane_j: float | None = Field(default=None, ge=0, description="Neural engine.")
    dram_j: float | None = Field(default=None, ge=0, description="Memory.")
    package_j: float | None = Field(default=None, ge=0, description="The whole package.")
    system_j: float | None = Field(default=None, ge=0, description="The whole machine.")
    measured: bool = Field(
        default=True,
        description="True from the machine's counters; false where watts were integrated or guessed.",
    )


class Cluster(Part):
    """Processor cores that share a clock."""

    name: str = Field(
        max_length=32, description="As the machine names it: E-Cluster, P0-Cluster …."
    )
    kind: str = Field(
        default="unknown", max_length=16, description="efficiency, performance, super or unknown."
    )
    cores: int | None = Field(default=None, ge=1, description="Cores in it.")
    busy_ratio: float | None = Field(
        default=None, ge=0, le=1.02, description="Share of the window in which its cores ran."
    )
    freq_hz: float | None = Field(default=None, ge=0, description="Mean clock while it ran.")


class Fan(Part):
    """One fan."""

    name: str = Field(max_length=64, description="As the machine names it.")
    rpm: float = Field(ge=0, description="Turns per minute.")
    max_rpm: float | None = Field(default=None, ge=0, description="The most it can do.")


class AgentCost(Part):
    """What the agent itself takes of the machine."""

    cpu_ratio: float | None = Field(
        default=None, ge=0, description="Share of one core, over the window."
    )
    rss_bytes: int | None = Field(default=None, ge=0, description="Memory it holds.")
    read_ms: float | None = Field(default=None, ge=0, description="Mean time of one reading.")
    dropped: int = Field(
        default=0, ge=0, description="Values thrown away since its start: NaN, out of range."
    )
    degraded: bool = Field(
        default=False,
        description="Whether it reads less often, because it took more than its budget.",
    )


class Gpu(Part):
    """One GPU."""

    id: str = Field(max_length=64, description="Names the GPU on this machine.")
    name: str = Field(default="", max_length=128, description="Marketing name.")
    freq_hz: float | None = Field(default=None, ge=0, description="Clock of its cores.")
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
    used_bytes: int | None = Field(
        default=None, ge=0, description="In use by programs and the system."
    )
    available_bytes: int | None = Field(
        default=None, ge=0, description="What a new process could get."
    )
    swap_used_bytes: int | None = Field(default=None, ge=0, description="Swap in use.")
    swap_total_bytes: int | None = Field(default=None, ge=0, description="Swap there is.")
    gpu_limit_bytes: int | None = Field(
        default=None, ge=0, description="What the GPU may take of unified memory."
    )
    pressure: str = Field(
        default="unknown", max_length=16, description="normal, warn, critical or unknown."
    )
    oom_kills_delta: int | None = Field(
        default=None,
        ge=0,
        description="Processes the kernel killed for want of memory since the sample before.",
    )


class Disk(Part):
    """The file system that holds the files of the platform on this machine."""

    total_bytes: int | None = Field(default=None, ge=0, description="Its size.")
    free_bytes: int | None = Field(
        default=None, ge=0, description="What the platform's user may still write."
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
    disk: Disk = Field(default=Disk(), description="Where the platform keeps its files.")
    energy: Energy = Field(default=Energy(), description="Joules since the agent's start.")
    clusters: tuple[Cluster, ...] = Field(default=(), description="Groups of processor cores.")
    fans: tuple[Fan, ...] = Field(default=(), description="Each fan.")
    agent: AgentCost = Field(default=AgentCost(), description="What the agent takes.")
    backfill: bool = Field(
        default=False, description="Told late, after the bus was away; nobody should act on it."
    )
    provenance: dict[str, str] = Field(
        default_factory=dict, description="Field to the probe that read it."
    )
    missing: dict[str, str] = Field(
        default_factory=dict, description="Field to the reason: unsupported, denied, failed, stale."
    )


class AppleSiliconMetrics(Part):
    """A sample as people with a Mac know it: the view that clients and pages show."""

    chip_type: str = Field(description="Marketing name of the chip.")
    memory_gb: float | None = Field(description="Installed unified memory in GiB.")
    mps_available: bool = Field(description="Whether PyTorch can use Metal.")
    ane_available: bool = Field(description="Whether there is a neural engine.")
    thermal_state: str = Field(
        description="nominal, elevated, throttled, critical, emergency or unknown."
    )
    power_mode: str = Field(description="automatic, low, high or unknown.")
    mps_util: float | None = Field(description="Busy share of the GPU, in percent.")
    ane_power_w: float | None = Field(description="Power of the neural engine in watts.")
    gpu_power_w: float | None = Field(description="Power of the GPU in watts.")
    cpu_power_w: float | None = Field(description="Power of the CPU in watts.")
    memory_pressure: str = Field(description="normal, warn, critical or unknown.")

    @classmethod
    def of(cls, sample: HardwareSample) -> AppleSiliconMetrics:
        """Return the view of a sample; what the machine did not tell stays None or unknown."""
        installed = sample.chip.memory_bytes or sample.memory.total_bytes
        busy = [gpu.busy_ratio for gpu in sample.gpus if gpu.busy_ratio is not None]
        level = sample.thermal.level
        return cls(
            chip_type=sample.chip.name,
            memory_gb=None if installed is None else installed / 2**30,
            mps_available=bool(sample.chip.mps_available),
            ane_available=bool(sample.chip.ane_available),
            thermal_state="unknown" if level is None else LADDER[level],
            power_mode=sample.power.mode,
            mps_util=max(busy) * 100 if busy else None,
            ane_power_w=sample.power.ane_w,
            gpu_power_w=sample.power.gpu_w,
            cpu_power_w=sample.power.cpu_w,
            memory_pressure=sample.memory.pressure,
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
