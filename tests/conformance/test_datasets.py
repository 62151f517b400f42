# SPDX-License-Identifier: Apache-2.0
"""The promises of versioning's ports of contents, kept by DVC as by what stands in for it in tests."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.versioning.adapters.dvc import DvcDatasets
from mlops.versioning.adapters.memory import MemoryDatasets
from mlops.versioning.model import Content
from mlops.versioning.ports import Contents, Place, Progress, Room, Swept
from servers.places import place_of

HOUR = timedelta(hours=1)


@pytest.fixture(params=["memory", "dvc"])
async def datasets(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Contents]:
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
    datasets: Contents, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1,2\n")

    first = await datasets.snapshot(place, "days.csv")
    again = await datasets.snapshot(place, "days.csv")

    assert first == again
    assert (first.size_bytes, first.files) == (4, 1)


async def test_other_content_has_another_address(
    datasets: Contents, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1,2\n")
    first = await datasets.snapshot(place, "days.csv")
    (folder / "days.csv").write_text("1,3\n")

    assert (await datasets.snapshot(place, "days.csv")).oid != first.oid


async def test_a_restored_file_is_the_same_byte_for_byte(
    datasets: Contents, place: Place, folder: Path
) -> None:
    before = os.urandom(200_000)
    (folder / "days.bin").write_bytes(before)
    first = await datasets.snapshot(place, "days.bin")
    (folder / "days.bin").write_bytes(b"other")
    second = await datasets.snapshot(place, "days.bin")

    await datasets.restore(place, "days.bin", first, held=[second.oid])
    old = (folder / "days.bin").read_bytes()
    await datasets.restore(place, "days.bin", second, held=[first.oid])

    assert old == before
    assert (folder / "days.bin").read_bytes() == b"other"


async def test_a_restored_folder_has_what_it_had_and_nothing_else(
    datasets: Contents, place: Place, folder: Path
) -> None:
    (folder / "days" / "june").mkdir(parents=True)
    (folder / "days" / "june" / "1.csv").write_text("wet")
    (folder / "days" / "2.csv").write_text("dry")
    first = await datasets.snapshot(place, "days")
    (folder / "days" / "3.csv").write_text("late")
    (folder / "days" / "2.csv").unlink()
    second = await datasets.snapshot(place, "days")

    await datasets.restore(place, "days", first, held=[first.oid, second.oid])

    found = {p.relative_to(folder).as_posix() for p in (folder / "days").rglob("*") if p.is_file()}
    assert found == {"days/june/1.csv", "days/2.csv"}
    assert (folder / "days" / "june" / "1.csv").read_text() == "wet"
    assert first.files == 2


async def test_a_removed_file_comes_back(datasets: Contents, place: Place, folder: Path) -> None:
    (folder / "days.csv").write_text("1,2\n")
    held = await datasets.snapshot(place, "days.csv")
    (folder / "days.csv").unlink()

    await datasets.restore(place, "days.csv", held)

    assert (folder / "days.csv").read_text() == "1,2\n"


async def test_files_stay_writable_and_appending_changes_no_version(
    datasets: Contents, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1,2\n")
    first = await datasets.snapshot(place, "days.csv")
    with (folder / "days.csv").open("a") as grown:
        grown.write("3,4\n")
    second = await datasets.snapshot(place, "days.csv")

    await datasets.restore(place, "days.csv", first, held=[first.oid, second.oid])
    writable = (folder / "days.csv").stat().st_mode & stat.S_IWUSR
    old = (folder / "days.csv").read_text()
    await datasets.restore(place, "days.csv", second, held=[first.oid, second.oid])

    assert writable
    assert old == "1,2\n"
    assert (folder / "days.csv").read_text() == "1,2\n3,4\n"


async def test_changes_that_no_version_holds_are_not_overwritten(
    datasets: Contents, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1,2\n")
    first = await datasets.snapshot(place, "days.csv")
    (folder / "days.csv").write_text("1,2\nprecious\n")

    with pytest.raises(RejectedError, match="no version holds"):
        await datasets.restore(place, "days.csv", first)

    assert (folder / "days.csv").read_text() == "1,2\nprecious\n"
    assert (await datasets.snapshot(place, "days.csv")).size_bytes == 13


@pytest.mark.parametrize("name", ["days", "days.csv"])
async def test_content_that_is_kept_but_in_no_version_is_not_overwritten(
    datasets: Contents, place: Place, folder: Path, name: str
) -> None:
    file = folder / "days" / "june.csv" if name == "days" else folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("wet")
    first = await datasets.snapshot(place, name)
    file.write_text("precious")
    given_up = await datasets.snapshot(place, name)

    with pytest.raises(RejectedError, match="no version holds"):
        await datasets.restore(place, name, first, held=[first.oid])
    refused = file.read_text()
    await datasets.restore(place, name, first, held=[first.oid, given_up.oid])

    assert refused == "precious"
    assert file.read_text() == "wet"


async def test_after_a_snapshot_nothing_is_left_to_push(
    datasets: Contents, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1,2\n")
    held = await datasets.snapshot(place, "days.csv")

    assert await datasets.push(place, [held.oid]) == 0


@pytest.mark.parametrize(
    "path", ["../days.csv", "/etc/hosts", ".", "", "sub/../../days.csv", "link.csv", "linked/x.csv"]
)
async def test_a_path_that_leaves_the_folder_is_refused(
    datasets: Contents, place: Place, folder: Path, path: str
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
    datasets: Contents, place: Place, folder: Path
) -> None:
    (folder.parent / "secret.csv").write_text("secret")
    (folder / "days").mkdir()
    (folder / "days" / "x.csv").symlink_to(folder.parent / "secret.csv")

    with pytest.raises(RejectedError, match=r"days/x\.csv.*link that leaves"):
        await datasets.snapshot(place, "days")


async def test_a_missing_path_is_refused_by_name(datasets: Contents, place: Place) -> None:
    with pytest.raises(RejectedError, match=r"nothing stands at path 'nowhere\.csv'"):
        await datasets.snapshot(place, "nowhere.csv")


async def test_a_content_that_is_nowhere_cannot_be_restored(
    datasets: Contents, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1,2\n")
    await datasets.snapshot(place, "days.csv")
    lost = Content("d" * 32, 1, 1, f"outs:\n- md5: {'d' * 32}\n  size: 1\n  path: days.csv\n")

    with pytest.raises(UnavailableError, match=r"d{32}"):
        await datasets.restore(place, "days.csv", lost)

    assert (folder / "days.csv").read_text() == "1,2\n"


async def test_read_only_files_hold_the_content_and_become_writable_again(
    datasets: Contents, place: Place, folder: Path
) -> None:
    (folder / "days").mkdir()
    (folder / "days" / "june.csv").write_text("wet")
    held = await datasets.snapshot(place, "days")
    (folder / "days" / "june.csv").unlink()

    await datasets.restore(place, "days", held, read_only=True)
    mode = (folder / "days" / "june.csv").stat().st_mode
    text = (folder / "days" / "june.csv").read_text()
    await datasets.restore(place, "days", held)

    assert (text, mode & 0o222) == ("wet", 0)
    assert (folder / "days" / "june.csv").stat().st_mode & stat.S_IWUSR


@pytest.mark.parametrize("name", ["days", "days.csv"])
async def test_the_files_of_a_content_can_be_read_where_they_are_said_to_lie(
    datasets: Contents, place: Place, folder: Path, name: str
) -> None:
    file = folder / "days" / "june.csv" if name == "days" else folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text("wet")
    held = await datasets.snapshot(place, name)
    file.write_text("dry, and of no version")

    shown = await datasets.files(place, held)

    assert list(shown) == (["june.csv"] if name == "days" else [""])
    assert [read(one) for one in shown.values()] == ["wet"]


def read(file: str) -> str:
    return Path(file).read_text()


async def test_a_content_with_a_link_to_a_folder_is_refused(
    datasets: Contents, place: Place, folder: Path
) -> None:
    (folder / "days").mkdir()
    (folder / "days" / "loop").symlink_to(".")

    with pytest.raises(RejectedError, match=r"days/loop.*link to a folder"):
        await datasets.snapshot(place, "days")


async def test_a_content_above_the_quota_is_refused_and_what_is_held_counts_once(
    datasets: Contents, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("x" * 600)
    held = await datasets.snapshot(place, "days.csv", Room((), 1000))
    same = await datasets.snapshot(place, "days.csv", Room((held.oid,), 600))
    (folder / "days.csv").write_text("y" * 600)

    with pytest.raises(RejectedError, match="quota_gb"):
        await datasets.snapshot(place, "days.csv", Room((held.oid,), 1000))

    assert same == held
    assert (await datasets.snapshot(place, "days.csv", Room((held.oid,), 1200))).size_bytes == 600


async def test_progress_is_told_to_those_who_want_it(
    datasets: Contents, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1,2\n")
    told: list[Progress] = []

    held = await datasets.snapshot(place, "days.csv", told=told.append)
    (folder / "days.csv").unlink()
    await datasets.restore(place, "days.csv", held, told=told.append)

    assert told == [
        Progress("read", 4, 4, "bytes"),
        Progress("push", 1, 1, "files"),
        Progress("restore", 1, 1, "files"),
    ]


async def test_whole_contents_are_found_whole(
    datasets: Contents, place: Place, folder: Path
) -> None:
    (folder / "days").mkdir()
    (folder / "days" / "june.csv").write_text("wet")
    (folder / "days" / "july.csv").write_text("wet")
    (folder / "days" / "may.csv").write_text("dry!")
    held = await datasets.snapshot(place, "days")

    looked = await datasets.verify(place, [held.oid])

    assert (looked.checked, looked.repaired, looked.lost) == (3, 0, ())
    assert await datasets.verify(place, [held.oid], repair=False) == looked


async def test_a_content_that_is_nowhere_is_lost(
    datasets: Contents, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1,2\n")
    held = await datasets.snapshot(place, "days.csv")
    nowhere = ("d" * 32, "e" * 32 + ".dir")

    looked = await datasets.verify(place, [held.oid, *nowhere])

    assert (looked.checked, looked.repaired, looked.lost) == (3, 0, nowhere)


async def test_a_sweep_leaves_what_is_young_or_needed_by_the_living(
    datasets: Contents, place: Place, folder: Path
) -> None:
    (folder / "days").mkdir()
    (folder / "days" / "june.csv").write_text("wet")
    (folder / "days" / "july.csv").write_text("gone")
    dead = await datasets.snapshot(place, "days")
    (folder / "days" / "july.csv").unlink()
    live = await datasets.snapshot(place, "days")

    young = await datasets.sweep(place, [dead.oid], [live.oid], grace=HOUR, dry=False)
    counted = await datasets.sweep(place, [dead.oid], [live.oid], grace=-HOUR, dry=True)
    swept = await datasets.sweep(place, [dead.oid], [live.oid], grace=-HOUR, dry=False)
    again = await datasets.sweep(place, [dead.oid], [live.oid], grace=-HOUR, dry=False)

    assert (young.objects, again.objects) == (0, 0)
    assert counted == swept
    assert swept.objects == 4
    assert (await datasets.verify(place, [dead.oid, live.oid])).lost == (dead.oid,)


async def test_a_sweep_leaves_what_a_dvc_file_of_any_project_names(
    datasets: Contents, place: Place, folder: Path, tmp_path: Path
) -> None:
    (folder / "days.csv").write_text("1,2\n")
    dead = await datasets.snapshot(place, "days.csv")
    (folder / "days.csv").write_text("other")
    live = await datasets.snapshot(place, "days.csv")
    other = replace(place, project="snow", folder=str(tmp_path / "snow"))
    (tmp_path / "snow" / "sub").mkdir(parents=True)
    (tmp_path / "snow" / "sub" / "mine.csv.dvc").write_text(
        f"outs:\n- md5: {dead.oid}\n  size: 4\n  hash: md5\n  path: mine.csv\n"
    )

    swept = await datasets.sweep(
        place, [dead.oid], [live.oid], projects=[place, other], grace=-HOUR, dry=False
    )

    assert swept.objects == 0
    assert (await datasets.verify(place, [dead.oid])).lost == ()


async def test_a_sweep_of_what_nobody_names_leaves_what_lives_or_a_dvc_file_names(
    datasets: Contents, place: Place, folder: Path
) -> None:
    for name in ("live", "left", "mine"):
        (folder / name).write_text(name)
    live, left, mine = [await datasets.snapshot(place, one) for one in ("live", "left", "mine")]
    (folder / "left.dvc").unlink(missing_ok=True)
    (folder / "mine.dvc").write_text(f"outs:\n- md5: {mine.oid}\n  path: mine\n")
    own = str(Path(place.remote).parent)
    sweep = partial(
        datasets.sweep, place, [], [live.oid], projects=[place], own_remotes=own, dry=False
    )

    young = await sweep(unnamed=True, grace=HOUR)
    plain = await sweep(grace=-HOUR)
    swept = await sweep(unnamed=True, grace=-HOUR)

    assert (young.objects, plain.objects, swept) == (0, 0, Swept(2, 8))
    assert (await datasets.verify(place, [live.oid, left.oid, mine.oid])).lost == (left.oid,)


async def test_nothing_is_swept_while_a_living_listing_is_nowhere(
    datasets: Contents, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1,2\n")
    held = await datasets.snapshot(place, "days.csv")

    with pytest.raises(UnavailableError, match="listing e"):
        await datasets.sweep(place, [held.oid], ["e" * 32 + ".dir"], grace=-HOUR, dry=False)

    assert (await datasets.verify(place, [held.oid])).lost == ()
