# SPDX-License-Identifier: Apache-2.0
"""What people see of versioning, told over the memory bus; files are real, DVC is played by a fake."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.contracts.commands import CommandRefused
from mlops.contracts.datasets import DataSettings
from mlops.contracts.message import Message
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.tracking import RunCompleted
from mlops.contracts.units import DatasetVersion
from mlops.contracts.versioning import (
    AddData,
    DataPushed,
    DataRestored,
    DataVersioned,
    PullData,
    PushData,
    RestoreData,
)
from mlops.contracts.workspaces import (
    ProjectArchived,
    ProjectRegistered,
    WorkspaceProvisioned,
    WorkspaceRefused,
)
from mlops.versioning.adapters.differences import FileDifferences
from mlops.versioning.adapters.dvc_files import DvcFiles
from mlops.versioning.adapters.memory import MemoryDatasets, MemoryVersions
from mlops.versioning.app import wire
from mlops.versioning.handlers.errands import Errands
from mlops.versioning.model import Content, Use, Version
from mlops.versioning.ports import Place, Room, Told

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


@dataclass
class World:
    folder: Path
    bus: MemoryBus = field(default_factory=MemoryBus)
    datasets: MemoryDatasets = field(default_factory=MemoryDatasets)
    versions: MemoryVersions = field(default_factory=MemoryVersions)

    def __post_init__(self) -> None:
        self.wire(self.datasets, self.versions)

    def wire(self, datasets: MemoryDatasets, versions: MemoryVersions) -> None:
        wire(
            self.bus,
            datasets,
            versions,
            FileDifferences(),
            Errands(),
            DvcFiles({}),
            remote_root="/remote",
            cache="/cache",
            clock=lambda: LATER,
        )

    async def tell(self, *messages: Message) -> Message:
        for message in messages:
            await self.bus.publish(message.model_copy(update={"time": NOON}))
            await self.bus.settle()
        return self.bus.published[-1]

    def write(self, text: str, name: str = "days.csv") -> None:
        (self.folder / name).write_text(text)

    def read(self, name: str = "days.csv") -> str:
        return (self.folder / name).read_text()


@pytest.fixture
def unregistered(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
async def world(unregistered: World) -> World:
    await unregistered.tell(registered(unregistered.folder))
    return unregistered


def registered(folder: Path | None, revision: int = 1) -> ProjectRegistered:
    return ProjectRegistered(
        project="rain",
        settings=ProjectSettings(name="rain"),
        path=str(folder) if folder else None,
        revision=revision,
    )


async def test_a_registered_project_gets_its_remote_and_cache(unregistered: World) -> None:
    told = await unregistered.tell(registered(unregistered.folder, revision=3))

    assert isinstance(told, WorkspaceProvisioned)
    assert told.names == {"dvc_remote": "/remote/rain", "dvc_cache": "/cache"}
    assert (told.component, told.revision) == ("versioning", 3)
    assert [place.project for place in unregistered.datasets.provisioned] == ["rain"]


async def test_two_projects_have_two_remotes(world: World, tmp_path: Path) -> None:
    for remote in ("/remote/rain/", "/remote", "/remote/rain/inside"):
        snow = registered(tmp_path).model_copy(
            update={
                "id": f"snow {remote}",
                "project": "snow",
                "settings": ProjectSettings(name="snow", data=DataSettings(remote=remote)),
            }
        )

        refused = await world.tell(snow)

        assert isinstance(refused, WorkspaceRefused)
        assert "is that of project 'rain'" in refused.reason


async def test_a_project_without_a_folder_is_refused(unregistered: World) -> None:
    told = await unregistered.tell(registered(None))

    assert isinstance(told, WorkspaceRefused)
    assert "names no folder" in told.reason


async def test_a_project_whose_folder_is_gone_is_refused(unregistered: World) -> None:
    told = await unregistered.tell(registered(unregistered.folder / "gone"))

    assert isinstance(told, WorkspaceRefused)
    assert "does not exist" in told.reason


async def test_data_become_versions(world: World) -> None:
    world.write("1\n")
    first = await world.tell(AddData(project="rain", name="days", path="days.csv", run_id="run-9"))
    world.write("1\n2\n")
    second = await world.tell(AddData(project="rain", name="days", path="./days.csv"))

    assert isinstance(first, DataVersioned)
    assert isinstance(second, DataVersioned)
    assert (first.version, first.parent_version, first.run_id) == (1, None, "run-9")
    assert (second.version, second.parent_version, second.path) == (2, 1, "days.csv")
    assert (second.size_bytes, second.files, second.remote) == (4, 1, "/remote/rain")


async def test_the_same_content_again_tells_the_same_version(world: World) -> None:
    world.write("1\n")
    first = await world.tell(AddData(project="rain", path="days.csv"))
    again = await world.tell(AddData(project="rain", path="days.csv"))

    assert isinstance(first, DataVersioned)
    assert isinstance(again, DataVersioned)
    assert (first.name, first.version) == (again.name, again.version) == ("days.csv", 1)
    assert again.id != first.id


async def test_an_earlier_version_comes_back_and_the_newest_too(world: World) -> None:
    world.write("1\n")
    await world.tell(AddData(project="rain", name="days", path="days.csv"))
    world.write("2\n")
    await world.tell(AddData(project="rain", name="days", path="days.csv"))

    restored = await world.tell(RestoreData(project="rain", name="days", version=1))
    old = world.read()
    pulled = await world.tell(PullData(project="rain", name="days"))

    assert isinstance(restored, DataRestored)
    assert isinstance(pulled, DataRestored)
    assert (restored.version, old) == (1, "1\n")
    assert (pulled.version, world.read()) == (2, "2\n")


async def test_pushing_brings_the_remote_what_it_lacks(world: World) -> None:
    world.write("1\n")
    await world.tell(AddData(project="rain", name="days", path="days.csv"))
    world.write("2\n")
    await world.tell(AddData(project="rain", name="days", path="days.csv"))
    world.datasets.remote.clear()

    told = await world.tell(PushData(project="rain", name="days"))

    assert isinstance(told, DataPushed)
    assert (told.objects, told.version) == (2, 2)


async def test_a_run_leaves_its_lineage(world: World) -> None:
    world.write("1\n")
    held = await world.tell(AddData(project="rain", name="days", path="days.csv"))
    assert isinstance(held, DataVersioned)
    by_number = DatasetVersion(name="days", version=1)
    by_content = DatasetVersion(name="days", hash=held.hash)
    likely = DatasetVersion(name="days", hash="1234abcd", likely_version=1)

    await world.tell(
        RunCompleted(project="rain", run_id="r1", experiment_id="1", datasets=(by_number,)),
        RunCompleted(project="rain", run_id="r2", experiment_id="1", datasets=(by_content,)),
        RunCompleted(project="rain", run_id="r3", experiment_id="1"),
        RunCompleted(project="rain", run_id="r4", experiment_id="1", datasets=(likely,)),
    )

    answer = await world.bus.ask("versioning", "versions", {"project": "rain", "name": "days"})
    [version] = answer["versions"]
    assert (version["version"], version["used_by"]) == (1, ["r1", "r2", "r4"])


async def test_after_years_the_newest_versions_are_answered(world: World) -> None:
    for number in range(1, 251):
        world.write(f"{number}\n")
        await world.tell(AddData(project="rain", name="days", path="days.csv"))
    for number in range(30):
        run = RunCompleted(
            project="rain",
            run_id=f"r{number:02}",
            experiment_id="1",
            datasets=(DatasetVersion(name="days", version=250),),
        )
        await world.tell(run)

    usual = await world.bus.ask("versioning", "versions", {"project": "rain"})
    few = await world.bus.ask("versioning", "versions", {"project": "rain", "limit": "2"})

    assert [v["version"] for v in usual["versions"]] == list(range(151, 251))
    assert usual["older"] == 150
    assert [v["version"] for v in few["versions"]] == [249, 250]
    assert (few["versions"][1]["uses"], len(few["versions"][1]["used_by"])) == (30, 20)


@pytest.mark.parametrize("limit", [0, 201, -1, "many", None, 1.5, 10**30])
async def test_a_limit_that_cannot_be_is_refused(world: World, limit: object) -> None:
    with pytest.raises(RejectedError, match="limit must be a whole number from 1 to 200"):
        await world.bus.ask("versioning", "versions", {"project": "rain", "limit": limit})


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (AddData(project="rain", path="nowhere.csv"), "nothing stands at path 'nowhere.csv'"),
        (AddData(project="rain", path="../x.csv"), "does not lie inside the project's folder"),
        (AddData(project="rain", name="a b", path="days.csv"), "must be 1 to 128"),
        (RestoreData(project="rain", name="days", version=7), "no version 7; it has 1"),
        (RestoreData(project="rain", name="nights", version=1), "it has: days"),
        (PullData(project="rain", name="nights"), "no dataset 'nights'"),
        (PushData(project="rain", name="nights"), "no dataset 'nights'"),
        (AddData(project="sun", path="days.csv"), "project 'sun' is not registered"),
    ],
)
async def test_what_cannot_work_is_refused_with_the_reason(
    world: World, command: Message, said: str
) -> None:
    world.write("1\n")
    await world.tell(AddData(project="rain", name="days", path="days.csv"))

    refused = await world.tell(command)

    assert isinstance(refused, CommandRefused)
    assert said in refused.reason


async def test_unsaved_changes_survive_a_restore(world: World) -> None:
    world.write("1\n")
    await world.tell(AddData(project="rain", name="days", path="days.csv"))
    world.write("precious\n")

    refused = await world.tell(RestoreData(project="rain", name="days", version=1))

    assert isinstance(refused, CommandRefused)
    assert "no version holds" in refused.reason
    assert world.read() == "precious\n"


async def test_an_archived_project_takes_no_data_but_gives_them_back(world: World) -> None:
    world.write("1\n")
    await world.tell(AddData(project="rain", name="days", path="days.csv"))
    await world.tell(ProjectArchived(project="rain"))

    refused = await world.tell(AddData(project="rain", name="days", path="days.csv"))
    restored = await world.tell(RestoreData(project="rain", name="days", version=1))

    assert isinstance(refused, CommandRefused)
    assert "is archived" in refused.reason
    assert isinstance(restored, DataRestored)


async def test_a_command_that_overtakes_its_registration_is_tried_again(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write("1\n")
    await world.bus.publish(AddData(project="rain", path="days.csv", time=LATER))
    await world.bus.publish(registered(tmp_path))

    await world.bus.settle()

    assert [m.type for m in world.bus.published[2:]] == ["workspace.provisioned", "data.versioned"]


async def test_a_command_from_the_future_is_refused_too(world: World) -> None:
    command = AddData(project="sun", path="days.csv", time=LATER + timedelta(days=3650))
    await world.bus.publish(command)
    await world.bus.settle()

    refused = world.bus.published[-1]
    assert isinstance(refused, CommandRefused)
    assert "'sun' is not registered" in refused.reason


@pytest.mark.parametrize(
    "command",
    [
        RestoreData(project="rain", name="days", version=1),
        PullData(project="rain", name="days"),
    ],
)
async def test_a_restore_that_was_done_is_not_done_again_over_later_work(
    world: World, command: Message
) -> None:
    world.write("1\n")
    await world.tell(AddData(project="rain", name="days", path="days.csv"))
    first = await world.tell(command)
    world.write("later work\n")

    # The process died before the ack: the command comes again, on a bus that does not remember it.
    kept = MemoryBus(_buckets=world.bus._buckets)
    again = World(world.folder, kept, world.datasets, world.versions)
    told = await again.tell(command)

    assert isinstance(told, DataRestored)
    assert (told.id, told.version) == (first.id, 1)
    assert world.read() == "later work\n"


class CrashingVersions(MemoryVersions):
    """Dies once before, once after the write."""

    crashes: int = 0

    async def remember(self, wished: Version, command_id: str) -> Version:
        self.crashes += 1
        if self.crashes == 1:
            raise UnavailableError("killed before the row was written")
        version = await super().remember(wished, command_id)
        if self.crashes == 2:
            raise UnavailableError("killed after the row was written, before the event")
        return version


async def test_a_crash_around_the_row_leaves_one_version_and_one_event(tmp_path: Path) -> None:
    versions = CrashingVersions()
    world = World(tmp_path, versions=versions)
    world.write("1\n")
    await world.tell(registered(tmp_path), AddData(project="rain", name="days", path="days.csv"))

    assert [v.version for v in versions.versions] == [1]
    assert [m.type for m in world.bus.published].count("data.versioned") == 1


class GrowingDatasets(MemoryDatasets):
    """Between two deliveries of a command the project's file grows."""

    async def snapshot(
        self, place: Place, path: str, room: Room | None = None, told: Told | None = None
    ) -> Content:
        content = await super().snapshot(place, path, room, told)
        with (Path(place.folder) / path).open("a") as file:
            file.write("more\n")
        return content


async def test_a_redelivered_command_tells_the_version_it_made_though_the_file_has_grown(
    tmp_path: Path,
) -> None:
    datasets, versions = GrowingDatasets(), CrashingVersions()
    versions.crashes = 1
    world = World(tmp_path, datasets=datasets, versions=versions)
    world.write("1\n")
    told = await world.tell(
        registered(tmp_path), AddData(project="rain", name="days", path="days.csv")
    )

    assert isinstance(told, DataVersioned)
    assert (told.version, told.size_bytes) == (1, 2)
    assert len(versions.versions) == 1


async def test_uses_are_kept_once_however_often_they_are_told() -> None:
    versions = MemoryVersions()
    uses: Sequence[Use] = [Use("r1", "days", 1, None)]

    await versions.record_uses("rain", uses, NOON)
    await versions.record_uses("rain", uses, NOON)

    assert await versions.uses("rain") == list(uses)
