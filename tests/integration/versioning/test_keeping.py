# SPDX-License-Identifier: Apache-2.0
"""Real DVC and a real registry behind the commands: damage is found and repaired, space freed, a remote changed."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.commands import CommandRefused
from mlops.contracts.datasets import DataSettings
from mlops.contracts.message import Message
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.versioning import (
    AddData,
    AliasData,
    CollectData,
    DataCollected,
    DataRestored,
    DataVerified,
    DataVersioned,
    PullData,
    RemoveData,
    VerifyData,
)
from mlops.contracts.workspaces import (
    ProjectRegistered,
    ProjectUpdated,
    WorkspaceProvisioned,
    WorkspaceRefused,
)
from mlops.versioning.adapters.differences import FileDifferences
from mlops.versioning.adapters.dvc import DvcDatasets
from mlops.versioning.adapters.dvc_files import DvcFiles
from mlops.versioning.adapters.sqlite import SqliteVersions
from mlops.versioning.app import wire
from mlops.versioning.handlers.errands import Errands

pytestmark = pytest.mark.timeout(180)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


class World:
    """A project `rain` in a folder, with everything real but the bus."""

    def __init__(self, root: Path, datasets: DvcDatasets, versions: SqliteVersions) -> None:
        self.root, self.folder = root, root / "rain"
        self.folder.mkdir()
        self.cache, self.remote = root / "cache", root / "remote"
        self.bus = MemoryBus()
        wire(
            self.bus,
            datasets,
            versions,
            FileDifferences(),
            Errands(),
            DvcFiles({}),
            remote_root=str(self.remote),
            cache=str(self.cache),
            clock=lambda: NOON,
        )

    async def tell(self, message: Message) -> Message:
        await self.bus.publish(message)
        await self.bus.settle()
        return self.bus.published[-1]

    async def settings(self, revision: int, **data: object) -> Message:
        kind = ProjectRegistered if revision == 1 else ProjectUpdated
        return await self.tell(
            kind(
                project="rain",
                settings=ProjectSettings(name="rain", data=DataSettings.model_validate(data)),
                path=str(self.folder),
                revision=revision,
                time=NOON + timedelta(minutes=revision),
            )
        )

    async def add(self, path: str) -> DataVersioned:
        told = await self.tell(AddData(project="rain", path=path))
        assert isinstance(told, DataVersioned), told
        return told


def objects(place: Path) -> set[str]:
    found = (path for path in place.rglob("*") if path.is_file() and path.parent.name != "drafts")
    return {path.parent.name + path.name for path in found if len(path.parent.name) == 2}


def object_of(place: Path, hash_: str) -> Path:
    [found] = place.rglob(f"{hash_[:2]}/{hash_[2:]}")
    return found


def damage(file: Path) -> None:
    # Not in place: on one file system an object and its copy may be one file.
    file.unlink()
    file.write_bytes(b"not what it was")
    file.chmod(0o444)


def make_old(*places: Path) -> None:
    before = time.time() - 7200
    for file in (file for place in places for file in place.rglob("*") if file.is_file()):
        os.utime(file, (before, before))


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    datasets = DvcDatasets(tmp_path / "state", idle=timedelta(minutes=2))
    versions = SqliteVersions(tmp_path / "versions.db")
    yield World(tmp_path, datasets, versions)
    await datasets.close()
    await versions.close()


async def test_a_damaged_object_is_found_and_then_put_right_from_the_remote(world: World) -> None:
    await world.settings(1)
    (world.folder / "days.csv").write_text("1,2\n" * 1000)
    held = await world.add("days.csv")
    damage(object_of(world.cache, held.hash))

    found = await world.tell(VerifyData(project="rain"))
    repaired = await world.tell(VerifyData(project="rain", repair=True))
    after = await world.tell(VerifyData(project="rain"))

    assert isinstance(found, DataVerified)
    assert [(one.name, one.version) for one in found.damaged] == [("days.csv", 1)]
    assert isinstance(repaired, DataVerified)
    assert (repaired.repaired, repaired.damaged_versions) == (1, 0)
    assert isinstance(after, DataVerified)
    assert (after.repaired, after.damaged_versions) == (0, 0)
    assert object_of(world.cache, held.hash).read_text() == "1,2\n" * 1000


async def test_what_is_damaged_everywhere_is_named_by_its_version(world: World) -> None:
    await world.settings(1)
    (world.folder / "days.csv").write_text("1,2\n" * 1000)
    held = await world.add("days.csv")
    (world.folder / "days.csv").write_text("whole\n")
    await world.add("days.csv")
    damage(object_of(world.cache, held.hash))
    damage(object_of(world.remote, held.hash))

    told = await world.tell(VerifyData(project="rain", repair=True))

    assert isinstance(told, DataVerified)
    assert [(one.name, one.version) for one in told.damaged] == [("days.csv", 1)]


async def test_a_removed_version_leaves_its_space_and_not_what_another_one_needs(
    world: World,
) -> None:
    await world.settings(1)
    (world.folder / "days").mkdir()
    (world.folder / "days" / "kept.csv").write_text("kept\n")
    (world.folder / "days" / "gone.csv").write_text("gone\n" * 100)
    await world.add("days")
    (world.folder / "days" / "gone.csv").unlink()
    second = await world.add("days")
    make_old(world.cache, world.remote)
    await world.tell(RemoveData(project="rain", name="days", version=1))

    counted = await world.tell(CollectData(project="rain", dry_run=True))
    before = objects(world.cache)
    freed = await world.tell(CollectData(project="rain"))
    (world.folder / "days" / "kept.csv").unlink()
    pulled = await world.tell(PullData(project="rain", name="days"))

    assert isinstance(counted, DataCollected)
    assert isinstance(freed, DataCollected)
    assert (counted.objects, counted.size_bytes) == (freed.objects, freed.size_bytes)
    assert (freed.objects, len(before)) == (4, 4)  # a listing and a file, twice: cache and remote
    assert objects(world.cache) == objects(world.remote)
    assert second.hash in objects(world.cache)
    assert isinstance(pulled, DataRestored)
    assert (world.folder / "days" / "kept.csv").read_text() == "kept\n"


async def test_data_that_people_keep_with_a_plain_dvc_are_never_collected(world: World) -> None:
    await world.settings(1)
    (world.folder / "days.csv").write_text("1\n")
    await world.add("days.csv")
    theirs = world.cache / "files" / "md5" / "ab" / ("c" * 30)
    theirs.parent.mkdir(parents=True, exist_ok=True)
    theirs.write_text("added by hand, in no row")
    make_old(world.cache, world.remote)
    await world.tell(RemoveData(project="rain", name="days.csv", version=1))

    await world.tell(CollectData(project="rain"))

    assert objects(world.cache) == {"ab" + "c" * 30}


async def test_a_content_beyond_the_quota_reaches_no_remote(world: World) -> None:
    await world.settings(1, quota_gb=0.000_01)
    (world.folder / "days").mkdir()
    (world.folder / "days" / "1.bin").write_bytes(os.urandom(6000))
    await world.add("days")
    (world.folder / "days" / "2.bin").write_bytes(os.urandom(3000))
    second = await world.add("days")
    before = objects(world.remote)
    (world.folder / "days" / "3.bin").write_bytes(os.urandom(3000))

    refused = await world.tell(AddData(project="rain", path="days"))

    assert second.version == 2
    assert isinstance(refused, CommandRefused)
    assert "more than [data] quota_gb = 1e-05" in refused.reason
    assert objects(world.remote) == before


async def test_a_project_that_changes_its_remote_can_have_everything_from_there(
    world: World, tmp_path: Path
) -> None:
    await world.settings(1)
    (world.folder / "days.csv").write_text("1\n")
    first = await world.add("days.csv")
    (world.folder / "days.csv").write_text("2\n")
    await world.add("days.csv")
    await world.tell(AliasData(project="rain", name="days.csv", alias="golden", version=1))
    object_of(world.cache, first.hash).unlink()

    told = await world.settings(2, remote=str(tmp_path / "elsewhere"))
    for place in (world.cache, world.remote):
        for file in list(place.rglob("*")):
            if file.is_file():
                file.unlink()
    (world.folder / "days.csv").unlink()
    pulled = await world.tell(PullData(project="rain", name="days.csv", alias="golden"))

    assert isinstance(told, WorkspaceProvisioned)
    assert told.names["dvc_remote"] == str(tmp_path / "elsewhere")
    assert isinstance(pulled, DataRestored)
    assert (world.folder / "days.csv").read_text() == "1\n"
    assert str(tmp_path / "elsewhere") in (world.folder / ".dvc" / "config.local").read_text()


@pytest.mark.parametrize(("kind", "package"), [("gs", "dvc-gs"), ("azure", "dvc-azure")])
async def test_a_remote_without_its_driver_is_refused_and_the_old_one_stands(
    world: World, kind: str, package: str
) -> None:
    await world.settings(1)
    (world.folder / "days.csv").write_text("1\n")

    refused = await world.settings(2, remote=f"{kind}://bucket/rain")
    held = await world.add("days.csv")

    assert isinstance(refused, WorkspaceRefused)
    assert f"needs {package}" in refused.reason
    assert held.remote == str(world.remote / "rain")
