# SPDX-License-Identifier: Apache-2.0
"""Registered models become versions: in their project's turn, and also when they come before their project."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.chassis.errors import UnavailableError
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.tracking import ModelRegistered
from mlops.contracts.workspaces import ProjectRegistered
from mlops.versioning.adapters.memory import MemoryDatasets, MemoryVersions
from mlops.versioning.handlers.artifacts import Artifacts
from mlops.versioning.handlers.asked import Turns
from mlops.versioning.handlers.projects import Projects
from mlops.versioning.model import Content
from mlops.versioning.ports import KnownProject, Place

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SOON = timedelta(seconds=30)
LONG = timedelta(hours=5)


@dataclass
class OneModel:
    """A model registry with the same files under each name."""

    asked: list[str] = field(default_factory=list)

    async def keep(self, place: Place, name: str, version: int) -> Content | None:
        self.asked.append(f"{place.project}/{name}@{version}")
        return Content("0" * 32 + ".dir", 1, 1, "outs:\n")


@dataclass
class World:
    folder: Path
    now: datetime = NOON
    models: OneModel = field(default_factory=OneModel)
    versions: MemoryVersions = field(default_factory=MemoryVersions)
    turns: Turns = field(default_factory=lambda: Turns(asyncio.Lock))

    def __post_init__(self) -> None:
        self.projects = Projects(
            MemoryBus().documents("versioning_projects", KnownProject),
            MemoryDatasets(),
            self.versions,
            self.turns,
            self.clock,
            remote_root="/remote",
            cache="/cache",
        )
        self.start()

    def start(self) -> None:
        self.artifacts = Artifacts(
            self.projects, self.models, self.versions, self.turns, self.clock
        )

    def clock(self) -> datetime:
        return self.now

    async def register(self) -> None:
        await self.projects.on_project_registered(
            ProjectRegistered(
                project="rain",
                settings=ProjectSettings(name="rain"),
                path=str(self.folder),
                revision=1,
            )
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def registered(at: datetime = NOON) -> ModelRegistered:
    return ModelRegistered(
        project="rain", name="wet", version=1, run_id="run-1", source_uri="models:/m-1", time=at
    )


async def test_a_model_waits_for_its_projects_turn(world: World) -> None:
    await world.register()
    async with world.turns["rain"]:
        coming = asyncio.create_task(world.artifacts.on_model_registered(registered()))
        for _ in range(20):
            await asyncio.sleep(0)
        before = list(world.models.asked)

    told = await coming

    assert before == []
    assert world.models.asked == ["rain/wet@1"]
    assert [message.type for message in told] == ["data.versioned"]
    assert not world.turns["rain"].locked()


async def test_a_model_that_comes_before_its_project_is_tried_again(world: World) -> None:
    world.now += LONG
    event = registered(world.now - SOON)
    with pytest.raises(UnavailableError, match="is not registered"):
        await world.artifacts.on_model_registered(event)
    await world.register()

    told = await world.artifacts.on_model_registered(event)

    assert [message.type for message in told] == ["data.versioned"]


async def test_an_old_model_waits_for_its_project_while_the_service_is_young(world: World) -> None:
    world.now += LONG
    world.start()
    world.now += SOON

    with pytest.raises(UnavailableError, match="is not registered"):
        await world.artifacts.on_model_registered(registered(NOON))


async def test_a_model_whose_project_never_comes_is_passed_over(world: World) -> None:
    world.now += LONG

    assert list(await world.artifacts.on_model_registered(registered(NOON))) == []
    assert world.models.asked == []
