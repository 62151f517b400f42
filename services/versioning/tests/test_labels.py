# SPDX-License-Identifier: Apache-2.0
"""What people say about versions, told over the memory bus: aliases, tags, and versions that are given up."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.commands import CommandRefused
from mlops.contracts.message import Message
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.tracking import RunCompleted
from mlops.contracts.units import DatasetVersion
from mlops.contracts.versioning import (
    AddData,
    AliasData,
    DataAliased,
    DataRemoved,
    DataRestored,
    DataTagged,
    DataUnaliased,
    DataVersioned,
    PullData,
    RemoveData,
    RestoreData,
    TagData,
    UnaliasData,
)
from mlops.contracts.workspaces import ProjectRegistered
from mlops.versioning.adapters.differences import FileDifferences
from mlops.versioning.adapters.dvc_files import DvcFiles
from mlops.versioning.adapters.memory import MemoryDatasets, MemoryVersions
from mlops.versioning.app import wire
from mlops.versioning.handlers.errands import Errands

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class World:
    """A registered project with three versions of `days`: 1, 2 and 3."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.datasets, self.versions = MemoryDatasets(), MemoryVersions()
        self.bus = MemoryBus()
        self.wire()

    def wire(self) -> None:
        wire(
            self.bus,
            self.datasets,
            self.versions,
            FileDifferences(),
            Errands(),
            DvcFiles({}),
            remote_root="/remote",
            cache="/cache",
            clock=lambda: NOON,
        )

    async def tell(self, message: Message) -> Message:
        await self.bus.publish(message.model_copy(update={"time": NOON}))
        await self.bus.settle()
        return self.bus.published[-1]

    async def add(self, text: str) -> Message:
        (self.folder / "days.csv").write_text(text)
        return await self.tell(AddData(project="rain", name="days", path="days.csv"))

    async def tell_again(self, message: Message) -> Message:
        # The process died before the ack: the command comes again, on a bus that does not remember it.
        self.bus = MemoryBus(_buckets=self.bus._buckets)
        self.wire()
        return await self.tell(message)

    async def view(self) -> dict[int, dict[str, Any]]:
        answer = await self.bus.ask("versioning", "versions", {"project": "rain"})
        return {one["version"]: one for one in answer["versions"]}

    def read(self) -> str:
        return (self.folder / "days.csv").read_text()


@pytest.fixture
async def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    settings = ProjectSettings(name="rain")
    await world.tell(
        ProjectRegistered(project="rain", settings=settings, path=str(tmp_path), revision=1)
    )
    for text in ("1\n", "2\n", "3\n"):
        await world.add(text)
    return world


def alias(name: str, version: int) -> AliasData:
    return AliasData(project="rain", name="days", alias=name, version=version)


async def test_an_alias_moves_and_a_pull_follows_it(world: World) -> None:
    told = await world.tell(alias("golden", 1))
    pulled = await world.tell(PullData(project="rain", name="days", alias="golden"))
    first = world.read()
    await world.tell(alias("golden", 2))
    await world.tell(PullData(project="rain", name="days", alias="golden"))

    assert isinstance(told, DataAliased)
    assert (told.alias, told.version, told.path) == ("golden", 1, "days.csv")
    assert isinstance(pulled, DataRestored)
    assert (pulled.version, first, world.read()) == (1, "1\n", "2\n")


async def test_latest_is_the_newest_without_being_said(world: World) -> None:
    await world.tell(PullData(project="rain", name="days", alias="latest"))
    await world.tell(alias("golden", 2))

    labels = {number: one["aliases"] for number, one in (await world.view()).items()}
    assert world.read() == "3\n"
    assert labels == {1: [], 2: ["golden"], 3: ["latest"]}


async def test_an_alias_that_comes_again_does_not_move_back(world: World) -> None:
    old = alias("golden", 1)
    await world.tell(old)
    await world.tell(alias("golden", 2))

    told = await world.tell_again(old)

    assert isinstance(told, DataAliased)
    assert told.version == 1
    assert (await world.view())[2]["aliases"] == ["golden"]


async def test_an_alias_is_taken_away(world: World) -> None:
    await world.tell(alias("golden", 1))

    told = await world.tell(UnaliasData(project="rain", name="days", alias="golden"))

    assert isinstance(told, DataUnaliased)
    assert (told.alias, told.version) == ("golden", 1)
    assert (await world.view())[1]["aliases"] == []


async def test_tags_and_a_description_are_kept(world: World) -> None:
    await world.tell(TagData(project="rain", name="days", version=2, add=("draft", "source=dwd")))
    told = await world.tell(
        TagData(
            project="rain",
            name="days",
            version=2,
            add=("checked",),
            remove=("draft",),
            description="June corrected.",
        )
    )

    assert isinstance(told, DataTagged)
    assert (told.tags, told.description) == (("source=dwd", "checked"), "June corrected.")
    shown = (await world.view())[2]
    assert (shown["tags"], shown["description"]) == (["source=dwd", "checked"], "June corrected.")


async def test_a_removed_version_is_gone_and_its_number_too(world: World) -> None:
    told = await world.tell(RemoveData(project="rain", name="days", version=3))
    refused = await world.tell(RestoreData(project="rain", name="days", version=3))
    again = await world.add("3\n")

    assert isinstance(told, DataRemoved)
    assert told.version == 3
    assert isinstance(refused, CommandRefused)
    assert "no version 3; it has 1, 2" in refused.reason
    assert isinstance(again, DataVersioned)
    assert (again.version, again.parent_version) == (4, 3)
    assert list(await world.view()) == [1, 2, 4]


async def test_what_an_alias_or_a_run_names_is_removed_by_force_only(world: World) -> None:
    await world.tell(alias("golden", 1))
    read = DatasetVersion(name="days", version=1)
    await world.tell(RunCompleted(project="rain", run_id="r1", experiment_id="1", datasets=(read,)))

    refused = await world.tell(RemoveData(project="rain", name="days", version=1))
    removed = await world.tell(RemoveData(project="rain", name="days", version=1, force=True))
    gone = await world.tell(PullData(project="rain", name="days", alias="golden"))

    assert isinstance(refused, CommandRefused)
    assert "named by alias golden, run r1; move the alias, or use force" in refused.reason
    assert isinstance(removed, DataRemoved)
    assert isinstance(gone, CommandRefused)
    assert "no version or alias 'golden'; it has 2, 3 and latest" in gone.reason


async def test_a_removal_that_comes_again_tells_the_same(world: World) -> None:
    command = RemoveData(project="rain", name="days", version=2)
    first = await world.tell(command)

    again = await world.tell_again(command)

    assert isinstance(again, DataRemoved)
    assert (again.id, again.version) == (first.id, 2)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (alias("latest", 1), "'latest' always means the newest version"),
        (alias("golden", 9), "no version 9; it has 1, 2, 3"),
        (UnaliasData(project="rain", name="days", alias="golden"), "no alias 'golden'"),
        (PullData(project="rain", name="days", alias="golden"), "it has 1, 2, 3 and latest"),
        (TagData(project="rain", name="nights", version=1), "it has: days"),
        *(
            (TagData(project="rain", name="days", version=2, add=("ok", tag)), ascii(tag))
            for tag in ("a\x00b", "\x1b[31m", "a\x7f", "\x9bm", "a\u202eb")
        ),
        (RemoveData(project="rain", name="days", version=7), "no version 7"),
        (
            TagData(project="rain", name="days", version=1, add=tuple(f"t{n}" for n in range(20))),
            "would have 21 tags, at most 20",
        ),
    ],
)
async def test_what_cannot_be_said_is_refused_with_what_there_is(
    world: World, command: Message, said: str
) -> None:
    await world.tell(TagData(project="rain", name="days", version=1, add=("first",)))

    refused = await world.tell(command)

    assert isinstance(refused, CommandRefused)
    assert said in refused.reason
