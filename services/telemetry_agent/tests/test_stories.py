# SPDX-License-Identifier: Apache-2.0
"""What others hear of a node: edges that are never lost nor told twice, and samples that say everything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.message import NodeEvent
from mlops.contracts.telemetry_agent import (
    SampleSource,
    TelemetrySampled,
    ThermalRecovered,
    ThermalThrottled,
)
from mlops.telemetry_agent.adapters.simulated import SimulatedProbe
from mlops.telemetry_agent.adapters.state import FileMemory
from mlops.telemetry_agent.app import wire
from mlops.telemetry_agent.model.episodes import Where
from mlops.telemetry_agent.model.pace import Pace
from mlops.telemetry_agent.model.reading import LEVEL, Partial, Value
from mlops.telemetry_agent.model.scenario import parse
from mlops.telemetry_agent.ports import TelemetryProbe
from mlops.telemetry_agent.settings import Settings
from mlops.telemetry_agent.sources.agent import Agent, Identity

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PACE = Pace(timedelta(seconds=2), timedelta(seconds=10))


@dataclass
class Time:
    """A clock that only sleeping moves."""

    seconds: float = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return 1000.0 + self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)


@dataclass
class ScriptedProbe:
    """Reads what the script says, one line per look, the last one for ever."""

    script: Sequence[dict[str, Value]]
    name: str = "scripted"
    looks: int = field(default=0)

    def read(self, at_s: float) -> Partial:  # noqa: ARG002 - the script knows no time
        values = self.script[min(self.looks, len(self.script) - 1)]
        self.looks += 1
        return Partial(self.name, values, {} if LEVEL in values else {LEVEL: "unsupported"})

    def close(self) -> None:
        """Nothing is held open."""


@dataclass
class World:
    folder: Path
    time: Time = field(default_factory=Time)

    def agent(self, probe: TelemetryProbe, source: SampleSource = SampleSource.REAL) -> Agent:
        return Agent(
            [probe],
            FileMemory(self.folder / "thermal.json"),
            Identity(Where("node-1", "boot-1"), f"start-{self.time.seconds:g}", source),
            PACE,
            clock=self.time.now,
            monotonic=self.time.monotonic,
            sleep=self.time.sleep,
        )

    async def hear(self, agent: Agent, seconds: float) -> list[NodeEvent]:
        """Listen for a while, then kill the agent."""
        return [event async for event in _until(agent, self.time, self.time.seconds + seconds)]


async def _until(agent: Agent, time: Time, end_s: float) -> AsyncIterator[NodeEvent]:
    source = agent.telemetry()
    async for event in source:
        yield event
        if time.seconds >= end_s:
            break
    await source.aclose()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def levels(*counted: tuple[int, int]) -> ScriptedProbe:
    return ScriptedProbe([{LEVEL: level} for level, times in counted for _ in range(times)])


def edges(events: Sequence[NodeEvent]) -> list[ThermalThrottled | ThermalRecovered]:
    return [event for event in events if isinstance(event, ThermalThrottled | ThermalRecovered)]


def samples(events: Sequence[NodeEvent]) -> list[TelemetrySampled]:
    return [event for event in events if isinstance(event, TelemetrySampled)]


async def test_a_hot_node_is_told_at_once_and_its_recovery_after_a_quiet_minute(
    world: World,
) -> None:
    heard = await world.hear(world.agent(levels((0, 1), (2, 5), (0, 1))), 120)

    throttled, recovered = edges(heard)
    assert isinstance(throttled, ThermalThrottled)
    assert isinstance(recovered, ThermalRecovered)
    assert (throttled.level, throttled.since) == (2, NOON + timedelta(seconds=4))
    assert (recovered.level, recovered.peak_level) == (0, 2)
    assert recovered.episode_id == throttled.episode_id
    assert recovered.duration_s == 66.0


async def test_every_sample_repeats_the_held_level_and_the_open_episode(world: World) -> None:
    heard = await world.hear(world.agent(levels((2, 2), (0, 1))), 100)

    [throttled, _] = edges(heard)
    held = [(s.sample.thermal.level, s.episode_id) for s in samples(heard)]
    assert held[0] == held[4] == (2, throttled.episode_id)
    assert held[-1] == (0, None)


async def test_samples_come_every_ten_seconds_and_count(world: World) -> None:
    heard = samples(await world.hear(world.agent(levels((0, 1))), 30))

    assert [s.sample.seq for s in heard] == [1, 2, 3]
    assert [s.sample.window_s for s in heard] == [10.0, 10.0, 10.0]
    assert len({s.id for s in heard}) == 3


async def test_a_machine_that_cannot_tell_says_none_and_why(world: World) -> None:
    [heard] = samples(await world.hear(world.agent(ScriptedProbe([{"power.cpu_w": 3.0}])), 10))

    sample = heard.sample
    assert sample.thermal.level is None
    assert sample.power.gpu_w is None
    assert sample.missing[LEVEL] == "unsupported"
    assert sample.missing["power.gpu_w"] == "unsupported"
    assert "power.cpu_w" not in sample.missing
    assert sample.provenance == {"power.cpu_w": "scripted", "energy.cpu_j": "integrated"}
    assert sample.thermal.derived_throttle is None
    assert TelemetrySampled.decode(heard.encode(), strict=True) == heard


async def test_a_restarted_agent_goes_on_with_the_same_episode(world: World) -> None:
    before = await world.hear(world.agent(levels((2, 1))), 20)
    world.time.seconds += 3600
    after = await world.hear(world.agent(levels((0, 1))), 120)

    [throttled], [recovered] = edges(before), edges(after)
    assert recovered.type == "thermal.recovered"
    assert recovered.episode_id == throttled.episode_id


async def test_an_edge_that_may_not_have_been_told_is_told_again_under_the_same_id(
    world: World,
) -> None:
    source = world.agent(levels((2, 1))).telemetry()
    first = await anext(source)  # kept, told, and killed before it was forgotten

    heard = await world.hear(world.agent(levels((2, 1))), 20)

    assert [edge.id for edge in edges(heard)] == [first.id]
    assert edges(heard)[0] == first.model_copy(update={"time": edges(heard)[0].time})


async def test_a_state_file_that_cannot_be_read_is_put_aside(world: World) -> None:
    (world.folder / "thermal.json").write_text("{ half")

    heard = await world.hear(world.agent(levels((0, 1))), 10)

    assert len(samples(heard)) == 1
    assert (world.folder / "thermal.unreadable").read_text() == "{ half"


async def test_a_simulated_laptop_lives_through_an_episode_and_says_that_it_is_simulated(
    world: World,
) -> None:
    probe = SimulatedProbe(parse("fanless_air:load=1.0,on=120,off=300"))

    heard = await world.hear(world.agent(probe, SampleSource.SIMULATED), 300)

    assert [edge.type for edge in edges(heard)] == ["thermal.throttled", "thermal.recovered"]
    assert {s.sample.source for s in samples(heard)} == {SampleSource.SIMULATED}


async def test_the_newest_sample_can_be_asked_for(world: World) -> None:
    bus, agent = MemoryBus(), world.agent(levels((0, 1)))
    wire(bus, agent)
    nothing = await bus.ask("telemetry_agent", "get", {})
    [heard] = await world.hear(agent, 10)

    assert nothing == {"sample": None}
    assert (await bus.ask("telemetry_agent", "get", {}))["sample"]["id"] == heard.id


def test_a_scenario_that_cannot_be_played_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="no simulated machine 'toaster'"):
        Settings(home=tmp_path, nats_url="nats://127.0.0.1:1", simulate="toaster")
