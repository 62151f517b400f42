# SPDX-License-Identifier: Apache-2.0
"""Contents that stand, told over the memory bus: read again, given up, limited, and moved to another remote."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.chassis.errors import UnavailableError
from mlops.contracts.commands import CommandRefused
from mlops.contracts.datasets import DataSettings
from mlops.contracts.message import Message
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.versioning import (
    AddData,
    CollectData,
    DataCollected,
    DataPushed,
    DataVerified,
    DataVersioned,
    PushData,
    RemoveData,
    RestoreData,
    VerifyData,
)
from mlops.contracts.workspaces import ProjectRegistered, ProjectUpdated, WorkspaceProvisioned
from mlops.versioning.adapters.differences import FileDifferences
from mlops.versioning.adapters.dvc_files import DvcFiles
from mlops.versioning.adapters.memory import MemoryDatasets, MemoryVersions
from mlops.versioning.app import wire
from mlops.versioning.handlers.asked import Turns
from mlops.versioning.handlers.errands import Errands
from mlops.versioning.handlers.watching import Watching
from mlops.versioning.model import Content
from mlops.versioning.ports import Place, Progress, Told

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass
class RecordedDatasets(MemoryDatasets):
    """Says where contents were read from and brought to; a remote that is `away` takes nothing."""

    read_from: list[str] = field(default_factory=list)
    brought_to: list[str] = field(default_factory=list)
    away: str = ""

    async def files(self, place: Place, content: Content) -> dict[str, str]:
        self.read_from.append(place.remote)
        return await super().files(place, content)

    async def push(self, place: Place, oids: Sequence[str], told: Told | None = None) -> int:
        if place.remote == self.away:
            raise UnavailableError(f"remote {place.remote}: away")
        self.brought_to.append(place.remote)
        return await super().push(place, oids, told)


class World:
    """A registered project and what stands in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.datasets, self.versions = RecordedDatasets(), MemoryVersions()
        self.bus = MemoryBus()
        self.people = wire(
            self.bus,
            self.datasets,
            self.versions,
            FileDifferences(),
            Errands(),
            DvcFiles({}),
            remote_root="/remote",
            cache=str(folder / "cache"),
            bandwidth="5MB/s",
            clock=lambda: NOON,
        )

    async def tell(self, message: Message) -> Message:
        await self.bus.publish(message)
        await self.bus.settle()
        return self.bus.published[-1]

    async def register(self, **data: object) -> Message:
        settings = ProjectSettings(name="rain", data=DataSettings.model_validate(data))
        return await self.tell(
            ProjectRegistered(
                project="rain", settings=settings, path=str(self.folder), revision=1, time=NOON
            )
        )

    async def update(self, revision: int, **data: object) -> Message:
        settings = ProjectSettings(name="rain", data=DataSettings.model_validate(data))
        return await self.tell(
            ProjectUpdated(
                project="rain",
                settings=settings,
                path=str(self.folder),
                revision=revision,
                time=NOON + timedelta(minutes=revision),
            )
        )

    async def add(self, text: str, name: str = "days") -> Message:
        (self.folder / f"{name}.csv").write_text(text)
        return await self.tell(AddData(project="rain", name=name, path=f"{name}.csv"))

    async def told_by_push(self) -> str:
        told = await self.tell(PushData(project="rain", name="days"))
        assert isinstance(told, DataPushed)
        return told.remote


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def test_contents_that_are_whole_are_said_to_be(world: World) -> None:
    await world.register()
    await world.add("1\n")
    await world.add("22\n")

    told = await world.tell(VerifyData(project="rain"))

    assert isinstance(told, DataVerified)
    assert (told.name, told.versions, told.objects, told.size_bytes) == ("", 2, 2, 5)
    assert (told.repaired, told.damaged_versions, told.repair) == (0, 0, False)


async def test_a_version_that_is_nowhere_is_named(world: World) -> None:
    await world.register()
    await world.add("1\n")
    lost = await world.add("22\n")
    assert isinstance(lost, DataVersioned)
    del world.datasets.cache[lost.hash], world.datasets.remote[lost.hash]

    told = await world.tell(VerifyData(project="rain", name="days", repair=True))

    assert isinstance(told, DataVerified)
    assert [(one.name, one.version) for one in told.damaged] == [("days", 2)]
    assert told.damaged_versions == 1


async def test_what_was_put_right_on_the_remote_is_told_apart(world: World) -> None:
    await world.register()
    here, there = await world.add("1\n"), await world.add("22\n")
    assert isinstance(here, DataVersioned)
    assert isinstance(there, DataVersioned)
    world.datasets.cache[here.hash] = b"spoilt"
    world.datasets.remote[there.hash] = b"spoilt"

    told = await world.tell(VerifyData(project="rain", repair=True))

    assert isinstance(told, DataVerified)
    assert (told.repaired, told.repaired_on_remote, told.damaged_versions) == (2, 1, 0)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (VerifyData(project="rain"), "has no versions of any dataset"),
        (VerifyData(project="rain", name="days"), "has no dataset 'days'"),
        (VerifyData(project="sun", time=NOON), "'sun' is not registered"),
        (CollectData(project="sun", time=NOON - timedelta(hours=1)), "'sun' is not registered"),
    ],
)
async def test_where_nothing_stands_nothing_is_read_or_collected(
    world: World, command: Message, said: str
) -> None:
    await world.register()

    refused = await world.tell(command.model_copy(update={"time": NOON - timedelta(hours=1)}))

    assert isinstance(refused, CommandRefused)
    assert said in refused.reason


async def test_only_what_no_version_names_is_collected(world: World) -> None:
    await world.register()
    shared = await world.add("1\n")
    await world.add("1\n", "nights")
    only = await world.add("22\n")
    assert isinstance(shared, DataVersioned)
    assert isinstance(only, DataVersioned)
    world.datasets.age(timedelta(hours=2))
    for version in (1, 2):
        await world.tell(RemoveData(project="rain", name="days", version=version))

    counted = await world.tell(CollectData(project="rain", dry_run=True))
    held = set(world.datasets.cache)
    freed = await world.tell(CollectData(project="rain"))
    again = await world.tell(CollectData(project="rain"))

    assert isinstance(counted, DataCollected)
    assert isinstance(freed, DataCollected)
    assert isinstance(again, DataCollected)
    assert held == {shared.hash, only.hash}
    assert (counted.objects, counted.dry_run) == (freed.objects, True)
    assert (freed.versions, freed.objects > 0, again.objects) == (2, True, 0)
    assert set(world.datasets.cache) == set(world.datasets.remote) == {shared.hash}


async def test_what_nobody_names_is_collected_when_asked_for_and_while_no_other_data_are_worked_on(
    world: World,
) -> None:
    await world.register()
    await world.add("1\n")
    world.datasets.cache["f" * 32] = b"left by an addition that was killed"
    world.datasets.born["f" * 32] = world.datasets.passed
    collect = CollectData(project="rain", unnamed=True)
    world.datasets.age(timedelta(hours=2))
    young = await world.tell(collect.model_copy(update={"id": "young"}))
    world.datasets.age(timedelta(days=1))

    plain = await world.tell(CollectData(project="rain"))
    async with world.people.turns["snow"]:
        refused = await world.tell(collect.model_copy(update={"id": "refused"}))
    freed = await world.tell(collect)

    assert isinstance(young, DataCollected)
    assert isinstance(plain, DataCollected)
    assert isinstance(freed, DataCollected)
    assert (young.objects, plain.objects, freed.objects) == (0, 0, 1)
    assert isinstance(refused, CommandRefused)
    assert "'snow' are being worked on" in refused.reason


async def test_a_content_beyond_the_quota_is_refused_with_the_fix(world: World) -> None:
    await world.register(quota_gb=0.000_000_003)
    first = await world.add("1\n")
    refused = await world.add("22\n")
    await world.update(2, quota_gb=0.000_000_005)
    taken = await world.add("22\n")

    assert isinstance(first, DataVersioned)
    assert isinstance(refused, CommandRefused)
    assert "quota_gb" in refused.reason
    assert isinstance(taken, DataVersioned)
    assert taken.version == 2


async def test_a_remote_of_its_own_is_used_from_the_start(world: World) -> None:
    told = await world.register(remote="s3://bucket/rain")
    version = await world.add("1\n")

    assert isinstance(told, WorkspaceProvisioned)
    assert told.names["dvc_remote"] == "s3://bucket/rain"
    assert isinstance(version, DataVersioned)
    assert version.remote == "s3://bucket/rain"


async def test_a_project_that_changes_its_remote_takes_its_versions_along(world: World) -> None:
    await world.register()
    await world.add("1\n")
    await world.add("22\n")
    world.datasets.brought_to.clear()

    told = await world.update(2, remote="s3://bucket/rain")

    assert isinstance(told, WorkspaceProvisioned)
    assert told.names["dvc_remote"] == "s3://bucket/rain"
    assert set(world.datasets.read_from) == {"/remote/rain"}
    assert world.datasets.brought_to == ["s3://bucket/rain"]
    answer = await world.bus.ask("versioning", "versions", {"project": "rain"})
    assert {one["remote"] for one in answer["versions"]} == {"s3://bucket/rain"}
    assert await world.told_by_push() == "s3://bucket/rain"


async def test_until_everything_is_on_the_new_remote_the_old_one_stands(world: World) -> None:
    await world.register()
    await world.add("1\n")
    world.datasets.away = "s3://away/rain"

    await world.update(2, remote="s3://away/rain")
    meanwhile = await world.told_by_push()
    world.datasets.away = ""
    await world.update(3, remote="s3://away/rain")

    assert meanwhile == "/remote/rain"
    assert await world.told_by_push() == "s3://away/rain"


async def test_an_older_registration_that_comes_late_moves_nothing_back(world: World) -> None:
    await world.register()
    await world.add("1\n")
    await world.update(3, remote="s3://bucket/rain")

    await world.update(2, remote="s3://older/rain")

    assert await world.told_by_push() == "s3://bucket/rain"
    assert "s3://older/rain" not in world.datasets.brought_to


async def test_read_only_is_passed_on_to_the_restore(world: World) -> None:
    await world.register(read_only=True)
    await world.add("1\n")
    await world.add("22\n")

    await world.tell(RestoreData(project="rain", name="days", version=1))

    assert not (world.folder / "days.csv").stat().st_mode & 0o222


async def test_a_limit_of_the_project_goes_before_that_of_the_installation(world: World) -> None:
    await world.register(bandwidth="20MB/s")
    await world.update(2)

    assert [place.bytes_per_s for place in world.datasets.provisioned] == [20_000_000, 5_000_000]


async def test_progress_is_told_while_the_work_goes_on_and_not_after() -> None:
    command = AddData(project="rain", path="days.csv")
    question = {"project": "rain", "command": command.id}
    watching = Watching(Turns(asyncio.Lock))

    async with watching.turn(command) as told:
        begins = await watching.progress(question)
        told(Progress("read", 5, 9, "bytes"))
        reads = await watching.progress(question)
        others = await watching.progress({**question, "project": "sun"})

    assert begins["step"] == "begins"
    assert reads == {"step": "read", "done": 5, "whole": 9, "unit": "bytes"}
    assert (others, await watching.progress(question)) == ({}, {})


async def test_a_command_that_waits_for_its_project_says_so() -> None:
    first, second = AddData(project="rain", path="1.csv"), AddData(project="rain", path="2.csv")
    watching = Watching(Turns(asyncio.Lock))

    async def work() -> None:
        async with watching.turn(second):
            pass

    async with watching.turn(first):
        waiting = asyncio.create_task(work())
        await asyncio.sleep(0)
        found = await watching.progress({"project": "rain", "command": second.id})
    await waiting

    assert found["step"] == "waits"
