# SPDX-License-Identifier: Apache-2.0
"""While the bus is away samples wait, bounded and thinned; afterwards the newest comes first, the others say so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlops.contracts.message import NodeEvent
from mlops.contracts.telemetry_agent import SampleSource, TelemetrySampled
from mlops.telemetry_agent.adapters.backlog import BusLine, SqliteBacklog
from mlops.telemetry_agent.adapters.state import FileMemory
from mlops.telemetry_agent.model.episodes import Where
from mlops.telemetry_agent.model.pace import Pace
from mlops.telemetry_agent.model.reading import LEVEL, Partial
from mlops.telemetry_agent.sources.agent import Agent, Identity, Surroundings
from mlops.telemetry_agent.sources.early import Early
from mlops.telemetry_agent.sources.telling import Telling

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PACE = Pace(timedelta(seconds=2), timedelta(seconds=10))


@dataclass
class Time:
    seconds: float = 0.0

    def now(self) -> datetime:
        return NOON + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)


@dataclass
class Cable:
    """A bus that is there between two moments only."""

    time: Time
    away: tuple[float, float]
    waiting: int = 0

    async def check(self) -> str | None:
        return "lost" if self.away[0] <= self.time.seconds < self.away[1] else None


class Level:
    """A probe that says how hot it is at each second."""

    name = "level"

    def __init__(self, level: Callable[[float], int]) -> None:
        self._level = level

    def read(self, at_s: float) -> Partial:
        return Partial(self.name, {LEVEL: self._level(at_s)})

    def close(self) -> None:
        """Nothing is held open."""


@dataclass
class World:
    folder: Path
    time: Time = field(default_factory=Time)

    def agent(self, cable: Cable, level: Callable[[float], int] = lambda _: 0) -> Agent:
        backlog = SqliteBacklog(self.folder / "samples.db")
        telling = Telling(BusLine(cable.check, lambda: cable.waiting), backlog)
        return Agent(
            [Level(level)],
            FileMemory(self.folder / "thermal.json"),
            Identity(Where("node-1", "boot"), "start", SampleSource.REAL),
            PACE,
            clock=self.time.now,
            monotonic=self.time.monotonic,
            sleep=self.time.sleep,
            around=Surroundings(telling),
        )

    async def hear(self, agent: Agent, until_s: float) -> list[tuple[float, NodeEvent]]:
        heard: list[tuple[float, NodeEvent]] = []
        source = agent.telemetry()
        try:
            while self.time.seconds < until_s:
                event = await anext(source)
                heard.append((self.time.seconds, event))
        finally:
            await source.aclose()
        return heard


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def late(heard: list[tuple[float, NodeEvent]]) -> list[TelemetrySampled]:
    return [e for _, e in heard if isinstance(e, TelemetrySampled) and e.sample.backfill]


async def test_nothing_is_told_while_the_bus_is_away_and_one_a_minute_afterwards(
    world: World,
) -> None:
    heard = await world.hear(world.agent(Cable(world.time, (100.0, 400.0))), 500)

    during = [at for at, _ in heard if 100 <= at < 400]
    filled = late(heard)
    assert during == []
    # The minutes from 12:01 to 12:06, each by its last sample.
    minutes = [event.sample.observed_at.minute for event in filled]
    assert minutes == [1, 2, 3, 4, 5, 6]
    assert [e.sample.observed_at.second for e in filled] == [50, 50, 50, 50, 50, 30]


async def test_the_newest_sample_comes_first_and_is_no_backfill(world: World) -> None:
    heard = await world.hear(world.agent(Cable(world.time, (100.0, 395.0))), 450)

    back = [event for at, event in heard if at >= 395]
    first = back[0]
    assert isinstance(first, TelemetrySampled)
    assert not first.sample.backfill
    assert first.sample.observed_at == NOON + timedelta(seconds=390)
    assert all(
        e.time == e.sample.observed_at or e.sample.backfill
        for e in back[1:3]
        if isinstance(e, TelemetrySampled)
    )


async def test_a_backfilled_sample_keeps_its_id_and_its_time(world: World) -> None:
    heard = await world.hear(world.agent(Cable(world.time, (100.0, 400.0))), 500)

    ids = [event.id for _, event in heard]
    assert len(ids) == len(set(ids))
    seqs = [e.sample.seq for e in late(heard)]
    assert seqs == sorted(seqs)


async def test_edges_are_told_at_once_also_while_the_bus_is_away(world: World) -> None:
    agent = world.agent(Cable(world.time, (0.0, 1e9)), lambda at: 2 if at >= 50 else 0)

    source = agent.telemetry()
    async with asyncio.timeout(10):
        edge = await anext(source)
    await source.aclose()

    assert edge.type == "thermal.throttled"
    assert world.time.seconds == 52.0


async def test_edges_that_wait_in_the_outbox_go_before_samples(world: World) -> None:
    cable = Cable(world.time, (0.0, 0.0), waiting=1)
    source = world.agent(cable).telemetry()
    task = asyncio.ensure_future(anext(source))
    while world.time.seconds < 60:
        await asyncio.sleep(0)
    told_before = task.done()
    cable.waiting = 0
    first = await task
    await source.aclose()

    assert not told_before
    assert isinstance(first, TelemetrySampled)


async def test_what_waits_survives_a_restart(world: World) -> None:
    task = asyncio.create_task(world.hear(world.agent(Cable(world.time, (0.0, 1e9))), 1e9))
    while world.time.seconds < 200:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    heard = await world.hear(world.agent(Cable(world.time, (0.0, 0.0))), 260)

    assert [e.sample.observed_at.minute for e in late(heard)] == [0, 1, 2, 3]


def test_the_ring_keeps_six_hours_and_counts_what_it_drops(tmp_path: Path) -> None:
    backlog = SqliteBacklog(tmp_path / "samples.db")
    for minute in range(500):
        backlog.put(NOON + timedelta(minutes=minute), b"x")

    assert len(backlog) == 360
    assert backlog.dropped == 140
    assert backlog.take(1)[0][0] == int((NOON + timedelta(minutes=140)).timestamp() // 60)


def test_the_ring_has_a_size(tmp_path: Path) -> None:
    backlog = SqliteBacklog(tmp_path / "samples.db", most_bytes=1000)
    for minute in range(10):
        backlog.put(NOON + timedelta(minutes=minute), b"x" * 300)

    assert len(backlog) == 3
    assert backlog.dropped == 7


def test_a_ring_that_cannot_be_read_is_put_aside(tmp_path: Path) -> None:
    (tmp_path / "samples.db").write_bytes(b"half a database" * 100)

    backlog = SqliteBacklog(tmp_path / "samples.db")
    backlog.put(NOON, b"x")

    assert len(backlog) == 1
    assert (tmp_path / "samples.unreadable").exists()


async def test_a_node_that_starts_without_a_bus_is_watched_and_goes_on_when_it_comes(
    world: World,
) -> None:
    agent = world.agent(Cable(world.time, (0.0, 1e9)), lambda at: 2 if at >= 10 else 0)
    kept: list[NodeEvent] = []

    async def to_outbox(message: NodeEvent) -> None:
        kept.append(message)

    early = Early(agent, to_outbox)
    early.begin()
    while not kept:
        await asyncio.sleep(0)
    task, before = asyncio.create_task(_drain(early, kept)), world.time.seconds
    while world.time.seconds < before + 30:
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    # An edge under way when the bus came may be told again, under its own id.
    assert {event.type for event in kept} == {"thermal.throttled"}
    assert len({event.id for event in kept}) == 1
    assert agent.episodes == 1


async def _drain(early: Early, into: list[NodeEvent]) -> None:
    async for message in early.telemetry():
        into.append(message)  # noqa: PERF401 - others look into the list meanwhile
