# SPDX-License-Identifier: Apache-2.0
"""Trouble, and what others hear of it: a lying machine, wrong clocks, probes that fail, an agent that takes too much."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from mlops.contracts.message import NodeEvent
from mlops.contracts.telemetry_agent import SampleSource, TelemetrySampled, ThermalThrottled
from mlops.telemetry_agent.adapters.figures import HardwareFigures
from mlops.telemetry_agent.adapters.simulated import SimulatedProbe
from mlops.telemetry_agent.adapters.state import Alone, FileMemory, owner_id
from mlops.telemetry_agent.errors import AlreadyRunningError
from mlops.telemetry_agent.model.budget import Budget
from mlops.telemetry_agent.model.episodes import Where
from mlops.telemetry_agent.model.pace import Pace
from mlops.telemetry_agent.model.reading import (
    LEVEL,
    ClusterReading,
    FanReading,
    GpuReading,
    Partial,
    Value,
)
from mlops.telemetry_agent.model.scenario import parse
from mlops.telemetry_agent.ports import TelemetryProbe
from mlops.telemetry_agent.sources.agent import Agent, Identity, Surroundings

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PACE = Pace(timedelta(seconds=2), timedelta(seconds=10), timedelta(seconds=60))


@dataclass
class Time:
    """A monotonic clock that sleeping moves, and a wall clock that somebody may set."""

    seconds: float = 0.0
    set_by: timedelta = timedelta(0)

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds) + self.set_by

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)


class Probe:
    """Says what a function of the time says."""

    def __init__(self, said: Callable[[float], dict[str, Value]], name: str = "probe") -> None:
        self.name = name
        self._said = said

    def read(self, at_s: float) -> Partial:
        return Partial(self.name, self._said(at_s))

    def close(self) -> None:
        """Nothing is held open."""


@dataclass
class Greedy:
    """An agent that takes a share of a core."""

    time: Time
    share: float

    def cpu_s(self) -> float:
        return self.time.seconds * self.share

    def rss_bytes(self) -> int | None:
        return 50_000_000


@dataclass
class World:
    folder: Path
    time: Time = field(default_factory=Time)

    def agent(self, *probes: TelemetryProbe, around: Surroundings | None = None) -> Agent:
        return Agent(
            probes,
            FileMemory(self.folder / "thermal.json"),
            Identity(Where("node-1", "boot"), "start", SampleSource.REAL),
            PACE,
            clock=self.time.now,
            monotonic=self.time.monotonic,
            sleep=self.time.sleep,
            around=around,
        )

    async def hear(self, agent: Agent, until_s: float) -> list[NodeEvent]:
        heard: list[NodeEvent] = []
        source = agent.telemetry()
        while self.time.seconds < until_s:
            heard.append(await anext(source))
        await source.aclose()
        return heard


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def samples(heard: Sequence[NodeEvent]) -> list[TelemetrySampled]:
    return [event for event in heard if isinstance(event, TelemetrySampled)]


def edges(heard: Sequence[NodeEvent]) -> list[NodeEvent]:
    return [event for event in heard if not isinstance(event, TelemetrySampled)]


async def test_a_machine_that_lies_nominal_is_throttled_all_the_same(world: World) -> None:
    probe = SimulatedProbe(parse("fanless_air:load=1.0,on=300,faults=lie_nominal"))

    heard = await world.hear(world.agent(probe), 250)

    [edge] = edges(heard)
    assert isinstance(edge, ThermalThrottled)
    assert edge.level == 2
    assert "nominal by simulated; cpu busy, clock at" in edge.reason
    last = samples(heard)[-1].sample.thermal
    assert (last.level, last.derived_throttle, last.reasons) == (2, True, ("thermal",))
    assert last.level_source == "derived"


async def test_spikes_make_no_episode_and_are_counted(world: World) -> None:
    probe = SimulatedProbe(parse("desktop:load=0.5,seed=3,faults=spike"))

    heard = await world.hear(world.agent(probe), 600)

    last = samples(heard)[-1].sample
    assert edges(heard) == []
    assert last.agent.dropped > 20
    assert last.thermal.cpu_temp_c is not None
    assert last.thermal.cpu_temp_c < 100


async def test_looks_that_fail_leave_the_others_to_tell(world: World) -> None:
    probe = SimulatedProbe(parse("fanless_air:load=1.0,on=120,off=300,seed=5,faults=drop"))

    heard = await world.hear(world.agent(probe), 400)

    assert [edge.type for edge in edges(heard)] == ["thermal.throttled", "thermal.recovered"]


async def test_silence_of_the_hardware_is_unknown_and_not_cool(world: World) -> None:
    probe = SimulatedProbe(parse("fanless_air:load=1.0,faults=silence"))

    heard = await world.hear(world.agent(probe), 150)

    last = samples(heard)[-1].sample
    assert last.thermal.level is None
    assert last.missing[LEVEL] == "stale"
    # It was throttled when it fell silent: nobody knows that it recovered.
    assert [edge.type for edge in edges(heard)] == ["thermal.throttled"]


async def test_a_clock_that_is_set_ahead_ends_no_episode(world: World) -> None:
    probe = Probe(lambda at: {LEVEL: 2 if at < 20 else 0})
    agent = world.agent(probe)
    source = agent.telemetry()
    heard = []
    while world.time.seconds < 30:
        heard.append(await anext(source))
    world.time.set_by = timedelta(hours=5)
    while world.time.seconds < 70:
        heard.append(await anext(source))
    before = edges(heard)
    while world.time.seconds < 100:
        heard.append(await anext(source))
    await source.aclose()

    assert [edge.type for edge in before] == ["thermal.throttled"]
    recovered = edges(heard)[-1]
    assert recovered.type == "thermal.recovered"
    assert getattr(recovered, "duration_s") == pytest.approx(76, abs=4)  # noqa: B009 - of one of two kinds


async def test_a_clock_that_is_set_back_changes_no_window(world: World) -> None:
    agent = world.agent(Probe(lambda _: {LEVEL: 0}))
    source = agent.telemetry()
    first = await anext(source)
    world.time.set_by = timedelta(days=-300)
    second = await anext(source)
    await source.aclose()

    [before, after] = samples([first, second])
    assert (before.sample.window_s, after.sample.window_s) == (10.0, 10.0)
    assert after.sample.seq == before.sample.seq + 1
    assert after.id != before.id


async def test_an_agent_that_takes_too_much_reads_half_as_often_and_says_so(world: World) -> None:
    looks: list[float] = []

    def said(at: float) -> dict[str, Value]:
        looks.append(at)
        return {LEVEL: 0}

    around = Surroundings(costs=Greedy(world.time, 0.03), budget=Budget(most=2))
    heard = samples(await world.hear(world.agent(Probe(said), around=around), 200))

    assert [s.sample.agent.degraded for s in heard[:4]] == [False] * 4
    assert heard[-1].sample.agent.degraded
    assert heard[-1].sample.agent.cpu_ratio == pytest.approx(0.03)
    assert looks[1] - looks[0] == 2.0
    assert looks[-1] - looks[-2] == 4.0
    assert heard[-1].sample.window_s == 20.0


async def test_a_second_agent_tells_nothing_and_goes_on_reading(world: World) -> None:
    probe = SimulatedProbe(parse("fanless_air:load=1.0"))
    agent = world.agent(probe, around=Surroundings(may_tell=lambda: False))
    source = agent.telemetry()
    task = asyncio.ensure_future(anext(source))
    while world.time.seconds < 120:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    assert not task.done() or task.cancelled()
    assert agent.newest is not None
    assert agent.episodes == 1


async def test_a_machine_at_rest_is_told_once_a_minute_and_at_work_every_ten_seconds(
    world: World,
) -> None:
    probe = Probe(lambda at: {LEVEL: 0, "cpu_busy_ratio": 0.02 if at < 300 else 0.9})

    heard = samples(await world.hear(world.agent(probe), 340))

    windows = [s.sample.window_s for s in heard]
    assert windows[:4] == [10.0, 20.0, 40.0, 60.0]
    assert windows[-3:] == [10.0, 10.0, 10.0]
    # The window in which work began ended at once, and says how long it really was.
    assert sum(windows) == world.time.seconds or sum(windows) <= world.time.seconds


async def test_energy_and_parts_are_in_the_sample(world: World) -> None:
    @dataclass
    class Rich:
        name: str = "rich"

        def read(self, at_s: float) -> Partial:
            values: dict[str, Value] = {
                LEVEL: 0,
                "energy.cpu_j": 5.0,
                "power.cpu_w": 2.5,
                "power.mode": "low",
            }
            return Partial(
                self.name,
                values if at_s else {LEVEL: 0},
                gpus=(GpuReading("gpu0", busy_ratio=0.5),),
                clusters=(ClusterReading("P-Cluster", "performance", 4, 0.5, 3e9),),
                fans=(FanReading("left", 2000.0, 5000.0),),
            )

        def close(self) -> None:
            """Nothing is held open."""

    heard = samples(await world.hear(world.agent(Rich()), 20))

    first, second = heard[0].sample, heard[1].sample
    assert (first.energy.cpu_j, second.energy.cpu_j) == (25.0, 50.0)
    assert first.energy.measured
    assert first.clusters[0].freq_hz == 3e9
    assert first.fans[0].rpm == 2000.0
    assert first.thermal.reasons == ("low_power_mode",)
    assert first.provenance["clusters"] == "rich"
    assert TelemetrySampled.decode(heard[0].encode(), strict=True) == heard[0]


async def test_what_cannot_be_never_reaches_a_message(world: World) -> None:
    bad = {
        LEVEL: 9,
        "thermal.cpu_temp_c": math.nan,
        "cpu_busy_ratio": -4.0,
        "memory.total_bytes": math.inf,
    }

    [heard] = samples(await world.hear(world.agent(Probe(lambda _: dict(bad))), 10))

    assert heard.sample.thermal.level is None
    assert heard.sample.missing["thermal.cpu_temp_c"] == "failed"
    assert heard.sample.agent.dropped == 4 * 6


async def test_figures_are_shown_under_their_names_and_nothing_is_zero_for_want_of_it(
    world: World,
) -> None:
    agent = world.agent(Probe(lambda _: {LEVEL: 1, "thermal.cpu_temp_c": 61.0, "power.cpu_w": 3.0}))
    registry = CollectorRegistry()
    HardwareFigures(lambda: agent.newest, lambda: agent.episodes).offer(registry)
    before = generate_latest(registry)
    await world.hear(agent, 10)

    said = generate_latest(registry).decode()

    assert before == b""
    assert 'hw_temperature_celsius{hw_id="cpu",hw_type="cpu"} 61.0' in said
    assert 'hw_power_watts{hw_id="cpu",hw_type="cpu"} 3.0' in said
    assert 'hw_energy_joules_total{hw_id="cpu",hw_type="cpu"} 30.0' in said
    assert "mlops_thermal_level 1.0" in said
    assert "mlops_thermal_episodes 0.0" in said
    assert "hw_host_power_watts " not in said
    assert "system_cpu_utilization" not in said


def test_two_agents_on_one_folder_are_refused_in_words(tmp_path: Path) -> None:
    first = Alone(tmp_path)

    with pytest.raises(AlreadyRunningError, match="runs already; stop it, or set MLOPS_HOME"):
        Alone(tmp_path)
    first.close()
    Alone(tmp_path).close()


def test_an_installation_keeps_what_tells_it_from_another(tmp_path: Path) -> None:
    first = owner_id(tmp_path)

    assert owner_id(tmp_path) == first
    (tmp_path / "owner").write_text("half")
    assert owner_id(tmp_path) != first
