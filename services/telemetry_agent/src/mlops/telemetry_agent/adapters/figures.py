# SPDX-License-Identifier: Apache-2.0
"""HardwareFigures: the newest sample for Prometheus, under OpenTelemetry's names for hardware; made when asked for.

Names follow OpenTelemetry's `hw.*` and `system.*` conventions (status: development) in Prometheus' spelling; what
they lack is called `mlops_…`. Totals of a host have their own names, so that nobody adds them to their parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry

from mlops.contracts.telemetry_agent import HardwareSample, TelemetrySampled

_PRESSURES = {"normal": 0, "warn": 1, "critical": 2}
_PARTS = (
    ("cpu", "cpu"),
    ("gpu", "gpu"),
    ("ane", "ane"),
    ("dram", "memory"),
    ("package", "package"),
)

Figure = GaugeMetricFamily | CounterMetricFamily
_Row = tuple[tuple[str, ...], float | None]


class HardwareFigures(Collector):
    """The figures of the newest sample; none before the first."""

    def __init__(
        self, newest: Callable[[], TelemetrySampled | None], episodes: Callable[[], int]
    ) -> None:
        self._newest = newest
        self._episodes = episodes

    def offer(self, registry: CollectorRegistry) -> None:
        """Show them at the metrics door of this process."""
        registry.register(self)

    def describe(self) -> Iterable[Figure]:
        """Return nothing: what there is depends on the machine."""
        return ()

    def collect(self) -> Iterator[Figure]:
        """Yield what the newest sample knows; what is missing is left out, never 0."""
        told = self._newest()
        if told is None:
            return
        sample = told.sample
        for figure in (*_heat(sample), *_power(sample), *_load(sample), *_self(sample)):
            if figure.samples:
                yield figure
        yield _gauge(
            "mlops_thermal_episodes",
            "Thermal episodes since the state began.",
            (),
            [((), self._episodes())],
        )


def _heat(sample: HardwareSample) -> Iterator[Figure]:
    thermal = sample.thermal
    hardware = ("hw_id", "hw_type")
    temps = [(("cpu", "cpu"), thermal.cpu_temp_c)]
    temps += [((gpu.id, "gpu"), gpu.temp_c) for gpu in sample.gpus]
    yield _gauge("hw_temperature_celsius", "Temperature.", hardware, temps)
    yield _gauge("mlops_thermal_level", "Ladder of heat, 0 to 4.", (), [((), thermal.level)])
    held_back = [((), thermal.throttled_s_delta)]
    yield _gauge("mlops_thermal_throttled_time_seconds", "Throttled in the window.", (), held_back)
    fans = [((fan.name, "fan"), fan.rpm) for fan in sample.fans]
    yield _gauge("hw_fan_speed_rpm", "Turns per minute.", hardware, fans)
    clocks = [((one.name, "cpu"), one.freq_hz) for one in sample.clusters]
    yield _gauge("hw_cpu_speed_hertz", "Mean clock of a cluster.", hardware, clocks)


def _power(sample: HardwareSample) -> Iterator[Figure]:
    hardware = ("hw_id", "hw_type")
    watts = [((name, kind), getattr(sample.power, f"{name}_w")) for name, kind in _PARTS]
    joules = [((name, kind), getattr(sample.energy, f"{name}_j")) for name, kind in _PARTS]
    yield _gauge("hw_power_watts", "Mean power.", hardware, watts)
    yield _counter("hw_energy_joules", "Energy since the agent's start.", hardware, joules)
    yield _gauge("hw_host_power_watts", "The whole machine.", (), [((), sample.power.system_w)])
    yield _counter(
        "hw_host_energy_joules", "The whole machine.", (), [((), sample.energy.system_j)]
    )


def _load(sample: HardwareSample) -> Iterator[Figure]:
    hardware, gpus, memory = ("hw_id", "hw_type"), sample.gpus, sample.memory
    busy = [((gpu.id, "gpu"), gpu.busy_ratio) for gpu in gpus]
    yield _gauge("hw_gpu_utilization_ratio", "Busy share of a GPU.", hardware, busy)
    used = [((gpu.id, "gpu"), gpu.memory_used_bytes) for gpu in gpus]
    yield _gauge("hw_gpu_memory_usage_bytes", "Memory in use.", hardware, used)
    yield _gauge("system_cpu_utilization_ratio", "Busy share.", (), [((), sample.cpu_busy_ratio)])
    yield _gauge("system_memory_usage_bytes", "Memory in use.", (), [((), memory.used_bytes)])
    yield _gauge("system_paging_usage_bytes", "Swap in use.", (), [((), memory.swap_used_bytes)])
    kills = [((), memory.oom_kills_delta)]
    yield _gauge("mlops_memory_oom_kills", "Killed in the window for want of memory.", (), kills)
    pressure = [((), _PRESSURES.get(memory.pressure))]
    yield _gauge("mlops_memory_pressure", "0 normal, 1 warn, 2 critical.", (), pressure)


def _self(sample: HardwareSample) -> Iterator[Figure]:
    agent = sample.agent
    yield _gauge("mlops_agent_cpu_utilization_ratio", "Of one core.", (), [((), agent.cpu_ratio)])
    yield _gauge("mlops_agent_memory_bytes", "Memory of the agent.", (), [((), agent.rss_bytes)])
    yield _counter("mlops_agent_dropped", "Values thrown away.", (), [((), agent.dropped)])


def _gauge(
    name: str, about: str, labels: tuple[str, ...], rows: Iterable[_Row]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, about, labels=labels)
    for values, number in rows:
        if number is not None:
            family.add_metric(values, number)
    return family


def _counter(
    name: str, about: str, labels: tuple[str, ...], rows: Iterable[_Row]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, about, labels=labels)
    for values, number in rows:
        if number is not None:
            family.add_metric(values, number)
    return family
