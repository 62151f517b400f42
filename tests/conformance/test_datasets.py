# SPDX-License-Identifier: Apache-2.0
"""The promises of versioning's two ports, kept by DVC and SQLite as by what stands in for them in tests."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.versioning.adapters.dvc import DvcDatasets
from mlops.versioning.adapters.memory import MemoryDatasets, MemoryVersions
from mlops.versioning.adapters.sqlite import SqliteVersions
from mlops.versioning.model import Content, Use, Version
from mlops.versioning.ports import Datasets, Place, Registry
from servers.places import place_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
HELD = Content("a" * 32, 3, 1, "outs: []\n")
RAIN = Version("rain", "days", 1, "days.csv", HELD, "/remote/rain", None, "run-1", NOON)


@pytest.fixture(params=["memory", "dvc"])
async def datasets(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Datasets]:
    if request.param == "memory":
        yield MemoryDatasets()
        return
    real = DvcDatasets(tmp_path / "state")
    yield real
    await real.close()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return place_of(tmp_path)


@pytest.fixture
def folder(place: Place) -> Path:
    return Path(place.folder)


async def test_the_same_content_has_the_same_address(
    datasets: Datasets, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1,2\n")

    first = await datasets.snapshot(place, "days.csv")
    again = await datasets.snapshot(place, "days.csv")

    assert first == again
    assert (first.size_bytes, first.files) == (4, 1)


async def test_other_content_has_another_address(
    datasets: Datasets, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1,2\n")
    first = await datasets.snapshot(place, "days.csv")
    (folder / "days.csv").write_text("1,3\n")

    assert (await datasets.snapshot(place, "days.csv")).oid != first.oid


async def test_a_restored_file_is_the_same_byte_for_byte(
    datasets: Datasets, place: Place, folder: Path
) -> None:
    before = os.urandom(200_000)
    (folder / "days.bin").write_bytes(before)
    first = await datasets.snapshot(place, "days.bin")
    (folder / "days.bin").write_bytes(b"other")
    second = await datasets.snapshot(place, "days.bin")

    await datasets.restore(place, "days.bin", first)
    old = (folder / "days.bin").read_bytes()
    await datasets.restore(place, "days.bin", second)

    assert old == before
    assert (folder / "days.bin").read_bytes() == b"other"


async def test_a_restored_folder_has_what_it_had_and_nothing_else(
    datasets: Datasets, place: Place, folder: Path
) -> None:
    (folder / "days" / "june").mkdir(parents=True)
    (folder / "days" / "june" / "1.csv").write_text("wet")
    (folder / "days" / "2.csv").write_text("dry")
    first = await datasets.snapshot(place, "days")
    (folder / "days" / "3.csv").write_text("late")
    (folder / "days" / "2.csv").unlink()
    await datasets.snapshot(place, "days")

    await datasets.restore(place, "days", first)

    found = {p.relative_to(folder).as_posix() for p in (folder / "days").rglob("*") if p.is_file()}
    assert found == {"days/june/1.csv", "days/2.csv"}
    assert (folder / "days" / "june" / "1.csv").read_text() == "wet"
    assert first.files == 2


async def test_a_removed_file_comes_back(datasets: Datasets, place: Place, folder: Path) -> None:
    (folder / "days.csv").write_text("1,2\n")
    held = await datasets.snapshot(place, "days.csv")
    (folder / "days.csv").unlink()

    await datasets.restore(place, "days.csv", held)

    assert (folder / "days.csv").read_text() == "1,2\n"


async def test_files_stay_writable_and_appending_changes_no_version(
    datasets: Datasets, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1,2\n")
    first = await datasets.snapshot(place, "days.csv")
    with (folder / "days.csv").open("a") as grown:
        grown.write("3,4\n")
    second = await datasets.snapshot(place, "days.csv")

    await datasets.restore(place, "days.csv", first)
    writable = (folder / "days.csv").stat().st_mode & stat.S_IWUSR
    old = (folder / "days.csv").read_text()
    await datasets.restore(place, "days.csv", second)

    assert writable
    assert old == "1,2\n"
    assert (folder / "days.csv").read_text() == "1,2\n3,4\n"


async def test_changes_that_no_version_holds_are_not_overwritten(
    datasets: Datasets, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1,2\n")
    first = await datasets.snapshot(place, "days.csv")
    (folder / "days.csv").write_text("1,2\nprecious\n")

    with pytest.raises(RejectedError, match="no version holds"):
        await datasets.restore(place, "days.csv", first)

    assert (folder / "days.csv").read_text() == "1,2\nprecious\n"
    assert (await datasets.snapshot(place, "days.csv")).size_bytes == 13


async def test_after_a_snapshot_nothing_is_left_to_push(
    datasets: Datasets, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1,2\n")
    held = await datasets.snapshot(place, "days.csv")

    assert await datasets.push(place, [held.oid]) == 0


@pytest.mark.parametrize(
    "path", ["../days.csv", "/etc/hosts", ".", "", "sub/../../days.csv", "link.csv", "linked/x.csv"]
)
async def test_a_path_that_leaves_the_folder_is_refused(
    datasets: Datasets, place: Place, folder: Path, path: str
) -> None:
    outside = folder.parent / "outside"
    outside.mkdir()
    (outside / "x.csv").write_text("secret")
    (folder.parent / "days.csv").write_text("secret")
    (folder / "link.csv").symlink_to(outside / "x.csv")
    (folder / "linked").symlink_to(outside)

    with pytest.raises(RejectedError, match="folder"):
        await datasets.snapshot(place, path)


async def test_a_link_out_of_the_folder_inside_a_dataset_is_refused(
    datasets: Datasets, place: Place, folder: Path
) -> None:
    (folder.parent / "secret.csv").write_text("secret")
    (folder / "days").mkdir()
    (folder / "days" / "x.csv").symlink_to(folder.parent / "secret.csv")

    with pytest.raises(RejectedError, match=r"days/x\.csv.*link that leaves"):
        await datasets.snapshot(place, "days")


async def test_a_missing_path_is_refused_by_name(datasets: Datasets, place: Place) -> None:
    with pytest.raises(RejectedError, match=r"nothing stands at path 'nowhere\.csv'"):
        await datasets.snapshot(place, "nowhere.csv")


async def test_a_content_that_is_nowhere_cannot_be_restored(
    datasets: Datasets, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1,2\n")
    await datasets.snapshot(place, "days.csv")
    lost = Content("d" * 32, 1, 1, f"outs:\n- md5: {'d' * 32}\n  size: 1\n  path: days.csv\n")

    with pytest.raises(UnavailableError, match=r"d{32}"):
        await datasets.restore(place, "days.csv", lost)

    assert (folder / "days.csv").read_text() == "1,2\n"


@pytest.fixture(params=["memory", "sqlite"])
async def versions(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Registry]:
    if request.param == "memory":
        yield MemoryVersions()
        return
    real = SqliteVersions(tmp_path / "versions.db")
    yield real
    await real.close()


def other(oid: str) -> Version:
    return replace(RAIN, content=replace(HELD, oid=oid))


async def test_versions_count_up_and_know_the_one_before(versions: Registry) -> None:
    first = await versions.remember(other("a"), "command-1")
    second = await versions.remember(other("b"), "command-2")

    assert (first.version, first.parent) == (1, None)
    assert (second.version, second.parent) == (2, 1)
    assert await versions.known("rain", "days") == [first, second]


async def test_content_that_was_there_before_keeps_its_version(versions: Registry) -> None:
    first = await versions.remember(other("a"), "command-1")
    await versions.remember(other("b"), "command-2")

    assert await versions.remember(other("a"), "command-3") == first


async def test_the_same_content_elsewhere_is_another_version(versions: Registry) -> None:
    await versions.remember(other("a"), "command-1")

    moved = await versions.remember(replace(other("a"), path="old/days.csv"), "command-2")

    assert moved.version == 2


async def test_a_command_gets_one_version_only(versions: Registry) -> None:
    first = await versions.remember(other("a"), "command-1")

    assert await versions.remember(other("b"), "command-1") == first
    assert await versions.of_command("command-1") == first
    assert await versions.of_command("command-2") is None
    assert await versions.known("rain") == [first]


async def test_a_command_that_was_noted_once_stays_so(versions: Registry) -> None:
    first = await versions.remember(other("a"), "command-1")
    second = await versions.remember(other("b"), "command-2")

    await versions.note(first, "restore")
    await versions.note(second, "restore")

    assert await versions.of_command("restore") == first


async def test_projects_and_datasets_count_for_themselves(versions: Registry) -> None:
    await versions.remember(RAIN, "command-1")
    await versions.remember(replace(RAIN, name="nights"), "command-2")
    await versions.remember(replace(RAIN, project="sun"), "command-3")

    assert [(v.name, v.version) for v in await versions.known("rain")] == [
        ("days", 1),
        ("nights", 1),
    ]


async def test_a_use_is_kept_once(versions: Registry) -> None:
    use = Use("run-1", "days", 1, None)
    unversioned = Use("run-1", "nights", None, "b")

    await versions.record_uses("rain", [use, unversioned], NOON)
    await versions.record_uses("rain", [use, unversioned], NOON)

    assert await versions.uses("rain") == [use, unversioned]
    assert await versions.uses("sun") == []
