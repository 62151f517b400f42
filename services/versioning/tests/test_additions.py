# SPDX-License-Identifier: Apache-2.0
"""An addition by command is known to be under way until it is answered, refused, or long given up."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.versioning import AddData
from mlops.contracts.workspaces import ProjectRegistered
from mlops.versioning.adapters.memory import MemoryDatasets, MemoryVersions
from mlops.versioning.handlers.additions import Additions
from mlops.versioning.handlers.asked import Turns
from mlops.versioning.handlers.data import Data
from mlops.versioning.handlers.projects import Projects
from mlops.versioning.handlers.watching import Watching
from mlops.versioning.model import Content
from mlops.versioning.ports import Addition, KnownProject, Place, Room, Told

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SOON, LONG = timedelta(minutes=2), timedelta(hours=5)


@dataclass
class FailingDatasets(MemoryDatasets):
    """Its remote is away at first."""

    away: bool = True
    forgotten: list[str] = field(default_factory=list)

    async def forget(self, place: Place, path: str) -> None:
        await super().forget(place, path)
        self.forgotten.append(path)

    async def snapshot(
        self, place: Place, path: str, room: Room | None = None, told: Told | None = None
    ) -> Content:
        if self.away:
            raise UnavailableError("the remote is away")
        return await super().snapshot(place, path, room, told)


@dataclass
class World:
    folder: Path
    now: datetime = NOON
    bus: MemoryBus = field(default_factory=MemoryBus)
    datasets: FailingDatasets = field(default_factory=FailingDatasets)

    def __post_init__(self) -> None:
        turns, versions = Turns(asyncio.Lock), MemoryVersions()
        documents = self.bus.documents("versioning_projects", KnownProject)
        self.place = Place("rain", str(self.folder), "/remote/rain", "/cache")
        self.projects = Projects(
            documents,
            self.datasets,
            versions,
            turns,
            self.clock,
            remote_root="/remote",
            cache="/cache",
        )
        self.data = Data(self.projects, self.datasets, versions, Watching(turns), self.clock)
        self.start()

    def start(self) -> None:
        documents = self.bus.documents("versioning_additions", Addition)
        self.additions = Additions(documents, self.data, self.clock)

    def clock(self) -> datetime:
        return self.now

    async def is_under_way(self, path: str = "days.csv") -> bool:
        return await self.additions.is_under_way(self.place, path)


@pytest.fixture
async def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    settings = ProjectSettings(name="rain")
    await world.projects.on_project_registered(
        ProjectRegistered(project="rain", settings=settings, path=str(tmp_path), revision=1)
    )
    (tmp_path / "days.csv").write_text("1\n")
    return world


def addition(path: str = "./days.csv") -> AddData:
    return AddData(project="rain", name="days", path=path, time=NOON)


async def test_it_is_under_way_until_it_is_answered(world: World) -> None:
    command = addition()
    with pytest.raises(UnavailableError):
        await world.additions.do_add_data(command)
    between = await world.is_under_way(), await world.is_under_way("wind.csv")
    world.datasets.away = False

    await world.additions.do_add_data(command)

    assert between == (True, False)
    assert not await world.is_under_way()


async def test_it_is_still_under_way_after_the_service_was_away_for_long(world: World) -> None:
    with pytest.raises(UnavailableError):
        await world.additions.do_add_data(addition())
    world.now += LONG
    world.start()
    world.now += SOON

    assert await world.is_under_way()


async def test_one_that_never_comes_again_is_forgotten(world: World) -> None:
    with pytest.raises(UnavailableError):
        await world.additions.do_add_data(addition())
    world.now += LONG

    assert not await world.is_under_way()
    assert await world.bus.documents("versioning_additions", Addition).all() == {}


async def test_one_that_is_refused_is_over(world: World) -> None:
    world.datasets.away = False
    with pytest.raises(RejectedError):
        await world.additions.do_add_data(addition("gone.csv"))

    assert not await world.is_under_way("gone.csv")


async def test_all_is_read_again_where_that_is_asked_for(world: World) -> None:
    world.datasets.away = False

    await world.additions.do_add_data(addition())
    before = list(world.datasets.forgotten)
    await world.additions.do_add_data(addition().model_copy(update={"id": "2", "reread": True}))

    assert (before, world.datasets.forgotten) == ([], ["./days.csv"])
