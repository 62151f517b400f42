# SPDX-License-Identifier: Apache-2.0
"""What a sample of powermetrics means, whether it was printed as a property list or as text.

Busy is `1 - idle - down`: DOWN is a power state, not absence. Some systems print a cluster's residency and clock as 0
while its cores run; then the cluster is told from its cores. The processor's busy share is the mean over all cores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from mlops.telemetry_agent.adapters.formats import apple
from mlops.telemetry_agent.adapters.formats.powermetrics_intel import Cores
from mlops.telemetry_agent.model.reading import (
    LEVEL,
    UNSUPPORTED,
    ClusterReading,
    FanReading,
    GpuReading,
    Partial,
    Value,
)

# More than rounding, and no share at all.
_SLACK = 0.02


@dataclass(frozen=True)
class Core:
    """A core: the share of the window in which it ran, and its mean clock meanwhile."""

    busy: float | None = None
    freq_hz: float | None = None


@dataclass(frozen=True)
class Group:
    """A cluster as it is printed, with its cores."""

    name: str
    busy: float | None = None
    freq_hz: float | None = None
    cores: tuple[Core, ...] = ()


@dataclass(frozen=True)
class Said:
    """All of a sample that we use; `watts` and `joules` by part: cpu, gpu, ane, dram, package."""

    probe: str
    model_id: str | None = None
    pressure: str | None = None
    groups: tuple[Group, ...] = ()
    loose_cores: tuple[Core, ...] = ()
    has_gpu: bool = False
    gpu_busy: float | None = None
    gpu_freq_hz: float | None = None
    watts: Mapping[str, float] = field(default_factory=dict)
    joules: Mapping[str, float] = field(default_factory=dict)
    temps: Mapping[str, float] = field(default_factory=dict)
    fans: tuple[FanReading, ...] = ()
    intel: Cores | None = None
    slowed: bool | None = None
    slowed_times: int | None = None


def partial(said: Said) -> Partial:
    """Return the sample's values, and why others are absent."""
    clusters = tuple(cluster_of(group) for group in said.groups)
    busy = said.intel.busy if said.intel else _busy(said, clusters)
    values: dict[str, Value] = {f"power.{part}_w": watts for part, watts in said.watts.items()}
    values |= {f"energy.{part}_j": joules for part, joules in said.joules.items()}
    values |= {f"thermal.{part}_temp_c": celsius for part, celsius in said.temps.items()}
    values |= _machine(said, clusters) | _slowed(said)
    if busy is not None:
        values["cpu_busy_ratio"] = busy
    missing = {LEVEL: UNSUPPORTED} if said.pressure is None else {}
    missing |= apple.pressure_values(said.pressure, values)
    missing |= apple.without_bogus_zeros(values, busy, said.gpu_busy)
    watts = values.get("power.gpu_w")
    gpu = GpuReading(
        "gpu0",
        busy_ratio=said.gpu_busy,
        freq_hz=said.gpu_freq_hz or None,
        power_w=None if watts is None else float(watts),
    )
    return Partial(said.probe, values, missing, (gpu,) if said.has_gpu else (), clusters, said.fans)


def residency(
    idle: float | None, down: float | None, states: Sequence[float], *, of_window: bool
) -> float | None:
    """Return the busy share from the shares of idle, of down and of each frequency; None when all are 0 or absent.

    *of_window* says that the frequencies' shares are of the window, not of the busy part of it.
    """
    if not (idle or down or sum(states)):
        return None
    if idle is None and down is None:
        return share(sum(states)) if of_window else None
    return share(1.0 - (idle or 0.0) - (down or 0.0))


def share(ratio: float | None) -> float | None:
    """Return a ratio, with rounding errors taken away; None for what is none."""
    if ratio is None or not -_SLACK <= ratio <= 1.0 + _SLACK:
        return None
    return min(1.0, max(0.0, ratio))


def cluster_of(group: Group) -> ClusterReading:
    """Return the cluster; from its cores where what it says of itself is zero and they ran."""
    own, freq = group.busy, group.freq_hz
    cores = _mean([core.busy for core in group.cores])
    if cores is not None and (own is None or (cores > 0 and (own == 0 or not freq))):
        own = cores
    if not freq and own:
        freq = _clock(group.cores)
    return ClusterReading(
        name=group.name[:32],
        kind=apple.cluster_kind(group.name),
        cores=len(group.cores) or None,
        busy_ratio=own,
        freq_hz=freq or None,
    )


def _machine(said: Said, clusters: Sequence[ClusterReading]) -> dict[str, Value]:
    values: dict[str, Value] = {}
    if said.model_id:
        values["chip.model_id"] = said.model_id
    if said.intel:
        values["chip.vendor"] = "intel"
        if said.intel.threads:
            values["chip.cores"] = said.intel.threads
        return values
    if said.groups or "ane" in said.watts or "ane" in said.joules:
        # Clusters and a neural engine are printed on Apple's own chips only.
        values |= {"chip.vendor": "apple", "chip.ane_available": True, "chip.mps_available": True}
    return values | apple.core_values(apple.kinds_of(clusters))


def _slowed(said: Said) -> dict[str, Value]:
    values: dict[str, Value] = {}
    if said.slowed is not None:
        values["thermal.derived_throttle"] = said.slowed
    if said.slowed_times is not None:
        values["thermal.throttle_events_delta"] = said.slowed_times
    return values


def _busy(said: Said, clusters: Sequence[ClusterReading]) -> float | None:
    cores = [core for group in said.groups for core in group.cores] + list(said.loose_cores)
    if cores:
        return _mean([core.busy for core in cores])
    # Without its cores, a cluster's share counts as one; better than nothing where there is only one kind.
    return _mean([cluster.busy_ratio for cluster in clusters]) if len(clusters) == 1 else None


def _mean(shares: Sequence[float | None]) -> float | None:
    known = [one for one in shares if one is not None]
    return fmean(known) if known else None


def _clock(cores: Sequence[Core]) -> float | None:
    ran = [(core.busy, core.freq_hz) for core in cores if core.busy and core.freq_hz]
    busy = sum(one for one, _ in ran)
    return sum(one * freq for one, freq in ran) / busy if busy else None
