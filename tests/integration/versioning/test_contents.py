# SPDX-License-Identifier: Apache-2.0
"""Real DVC: what we write is, byte for byte, what a plain `dvc` writes, and unchanged files are not read again."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from pathlib import Path

import psutil
import pytest

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.versioning.adapters.dvc import DvcDatasets
from mlops.versioning.ports import Place, Progress
from servers.plain_dvc import dvc, running_worker

pytestmark = pytest.mark.timeout(180)

BIG = 40_000_000


def objects(cache: Path) -> dict[str, bytes]:
    held = cache / "files" / "md5"
    found = (file for file in held.rglob("*") if file.is_file())
    return {file.parent.name + file.name: file.read_bytes() for file in found}


def object_of(cache: str, oid: str) -> Path:
    return Path(cache) / "files" / "md5" / oid[:2] / oid[2:]


def text_of(file: str) -> str:
    return Path(file).read_text()


def linked_oid(file: str) -> str:
    return Path(file).parent.name + Path(file).name


def swap(one: str, other: str) -> None:
    Path(one).rename(other)


def bytes_read() -> int:
    return int(running_worker().io_counters().read_chars)


async def test_what_we_write_is_what_a_plain_dvc_writes(
    datasets: DvcDatasets, place: Place, folder: Path, tmp_path: Path
) -> None:
    (folder / "days" / "sub" / "deep").mkdir(parents=True)
    (folder / "days" / "empty").mkdir()
    for name in (
        "z.csv",
        "a b.csv",
        "sub/é日.csv",
        "sub/deep/" + "n" * 255,
        "new\nline",
        "empty.csv",
    ):
        (folder / "days" / name).write_bytes(name.encode() if name != "empty.csv" else b"")
    (folder / "days" / "big.bin").write_bytes(os.urandom(3_000_000))
    (folder / "days" / "same.csv").write_bytes(b"z.csv")
    (folder / "days" / "link.csv").symlink_to("z.csv")
    (folder / "days" / "skipped.tmp").write_text("by .dvcignore")
    (folder / ".dvcignore").write_text("*.tmp\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    theirs = tmp_path / "theirs"
    shutil.copytree(folder, theirs, symlinks=True)

    ours = [await datasets.snapshot(place, name) for name in ("days", "run.sh")]
    await dvc(theirs, "init", "--no-scm", "-q")
    await dvc(theirs, "add", "-q", "days", "run.sh")

    assert [one.dvc_text for one in ours] == [
        (theirs / name).read_text() for name in ("days.dvc", "run.sh.dvc")
    ]
    assert objects(Path(place.cache)) == objects(theirs / ".dvc" / "cache")
    assert ours[0].files == 9


async def test_a_plain_dvc_finds_everything_in_order_afterwards(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    (folder / "days").mkdir()
    for number in range(20):
        (folder / "days" / f"{number}.csv").write_text(f"{number}\n")
    held = await datasets.snapshot(place, "days")

    status = await dvc(folder, "status")
    cloud = await dvc(folder, "status", "--cloud")
    pushed = await dvc(folder, "push")
    shutil.rmtree(folder / "days")
    await dvc(folder, "checkout")
    (folder / "days" / "1.csv").write_text("changed\n")
    await dvc(folder, "add", "days")
    with pytest.raises(RejectedError, match="no version holds"):
        await datasets.restore(place, "days", held)
    theirs = await datasets.snapshot(place, "days")
    await datasets.restore(place, "days", held, held=[theirs.oid])

    assert "up to date" in status
    assert "in sync" in cloud
    assert "up to date" in pushed
    assert (folder / "days" / "1.csv").read_text() == "1\n"
    assert "up to date" in await dvc(folder, "status")


async def test_unchanged_files_are_not_read_again(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    if not hasattr(psutil.Process, "io_counters"):
        pytest.skip("this system does not count what a process reads")
    (folder / "days").mkdir()
    (folder / "days" / "big.bin").write_bytes(os.urandom(BIG))
    (folder / "days" / "june.csv").write_text("wet")
    # What was written this very moment may be written again within the same tick of the clock.
    await asyncio.sleep(0.1)
    first = await datasets.snapshot(place, "days")
    before = bytes_read()
    again = await datasets.snapshot(place, "days")
    unchanged = bytes_read() - before
    (folder / "days" / "june.csv").write_text("dry")
    later = await datasets.snapshot(place, "days")
    one_changed = bytes_read() - before
    shutil.rmtree(folder / "days")
    await datasets.restore(place, "days", first)
    before = bytes_read()
    restored = await datasets.snapshot(place, "days")

    assert first == again == restored != later
    assert unchanged < BIG / 10
    assert one_changed < BIG / 10
    assert bytes_read() - before < BIG / 10


async def test_the_same_length_and_time_hide_no_change(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1,2\n")
    times = (folder / "days.csv").stat()
    await asyncio.sleep(0.1)
    first = await datasets.snapshot(place, "days.csv")
    with (folder / "days.csv").open("r+") as file:
        file.write("1,3\n")
    os.utime(folder / "days.csv", ns=(times.st_atime_ns, times.st_mtime_ns))

    assert (await datasets.snapshot(place, "days.csv")).oid != first.oid


async def test_read_only_files_are_the_objects_of_the_cache_and_become_writable_again(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    (folder / "days").mkdir()
    (folder / "days" / "june.csv").write_text("wet")
    held = await datasets.snapshot(place, "days")
    shutil.rmtree(folder / "days")
    file = folder / "days" / "june.csv"

    await datasets.restore(place, "days", held, read_only=True)
    linked = file.stat()
    clean = await dvc(folder, "status")
    same = await datasets.snapshot(place, "days")
    await datasets.restore(place, "days", held)
    file.write_text("changed")
    changed = await datasets.snapshot(place, "days")

    shown = await datasets.files(place, held)
    lying = object_of(place.cache, linked_oid(shown["june.csv"]))
    assert (linked.st_ino, stat.S_IMODE(linked.st_mode)) == (lying.stat().st_ino, 0o444)
    assert "up to date" in clean
    assert same == held != changed
    assert lying.read_text() == "wet"


async def test_a_program_stays_one(datasets: DvcDatasets, place: Place, folder: Path) -> None:
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    held = await datasets.snapshot(place, "run.sh")
    (folder / "run.sh").unlink()

    await datasets.restore(place, "run.sh", held)

    assert (folder / "run.sh").stat().st_mode & stat.S_IXUSR


async def test_a_file_may_become_a_folder_and_back(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    (folder / "days" / "june").mkdir(parents=True)
    (folder / "days" / "june" / "1.csv").write_text("wet")
    nested = await datasets.snapshot(place, "days")
    shutil.rmtree(folder / "days" / "june")
    (folder / "days" / "june").write_text("a file now")
    flat = await datasets.snapshot(place, "days")

    await datasets.restore(place, "days", nested, held=[flat.oid])
    first = (folder / "days" / "june" / "1.csv").read_text()
    await datasets.restore(place, "days", flat, held=[nested.oid])

    assert first == "wet"
    assert (folder / "days" / "june").read_text() == "a file now"


async def test_a_refused_restore_changes_nothing(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    (folder / "days").mkdir()
    for name in ("a.csv", "b.csv"):
        (folder / "days" / name).write_text("early")
    early = await datasets.snapshot(place, "days")
    (folder / "days" / "a.csv").write_text("late")
    late = await datasets.snapshot(place, "days")
    (folder / "days" / "b.csv").write_text("precious")

    with pytest.raises(RejectedError, match=r"no version holds \(in 'b\.csv'\)"):
        await datasets.restore(place, "days", early, held=[late.oid])

    assert (folder / "days" / "a.csv").read_text() == "late"
    assert (folder / "days.dvc").read_text() == late.dvc_text


async def test_a_shortened_object_is_not_handed_out(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1,2\n" * 1000)
    held = await datasets.snapshot(place, "days.csv")
    lying = object_of(place.cache, held.oid)
    lying.unlink()
    lying.write_text("1,2\n")
    lying.chmod(0o444)
    (folder / "days.csv").unlink()

    await datasets.restore(place, "days.csv", held)

    assert (folder / "days.csv").read_text() == "1,2\n" * 1000


@pytest.mark.parametrize("damaged", ["listing", "file"])
async def test_what_is_shortened_in_the_cache_is_healed_for_who_reads_or_restores(
    datasets: DvcDatasets, place: Place, folder: Path, damaged: str
) -> None:
    (folder / "days").mkdir()
    (folder / "days" / "june.csv").write_text("wet")
    held = await datasets.snapshot(place, "days")
    [file] = (await datasets.files(place, held)).values()
    lying = object_of(place.cache, held.oid) if damaged == "listing" else Path(file)

    def shorten() -> None:
        lying.unlink()
        lying.touch(0o444)

    shorten()
    shown = await datasets.files(place, held)
    read = {rel: text_of(one) for rel, one in shown.items()}
    shorten()
    pushed = await datasets.push(place, [held.oid])
    shorten()
    shutil.rmtree(folder / "days")
    await datasets.restore(place, "days", held)

    assert read == {"june.csv": "wet"}
    assert pushed == 0
    assert (folder / "days" / "june.csv").read_text() == "wet"


async def test_an_addition_heals_a_shortened_object(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1,2\n" * 1000)
    held = await datasets.snapshot(place, "days.csv")
    lying = object_of(place.cache, held.oid)
    lying.unlink()
    lying.write_text("1,2\n")
    lying.chmod(0o444)

    again = await datasets.snapshot(place, "days.csv")

    assert again == held
    assert lying.read_text() == "1,2\n" * 1000


async def test_two_writers_of_one_project_both_end_well(
    place: Place, folder: Path, tmp_path: Path
) -> None:
    writers = [DvcDatasets(tmp_path / "one"), DvcDatasets(tmp_path / "two")]
    await writers[0].provision(place)
    names = [f"{number}.bin" for number in range(6)]
    for name in names:
        (folder / name).write_bytes(os.urandom(500_000))

    adding = [writers[n % 2].snapshot(place, name) for n, name in enumerate(names)]
    await asyncio.gather(*adding, dvc(folder, "status"))
    for writer in writers:
        await writer.close()

    assert "up to date" in await dvc(folder, "status")
    assert len(objects(Path(place.cache))) == len(objects(Path(place.remote))) == 6


async def test_an_unwritable_remote_is_said_and_a_later_push_sends_only_what_lacks(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    (folder / "days").mkdir()
    for number in range(5):
        (folder / "days" / f"{number}.csv").write_text(f"{number}\n")
    held = await datasets.snapshot(place, "days")
    gone = sorted(objects(Path(place.remote)))[:2]
    for oid in gone:
        object_of(place.remote, oid).unlink()
    swap(place.remote, place.remote + ".away")
    stand_in = folder / "a file stands where the remote was"
    stand_in.touch()
    swap(str(stand_in), place.remote)

    with pytest.raises(UnavailableError, match=r"remote .*rain"):
        await datasets.push(place, [held.oid])
    swap(place.remote, str(stand_in))
    swap(place.remote + ".away", place.remote)

    assert await datasets.push(place, [held.oid]) == 2
    assert await datasets.push(place, [held.oid]) == 0


async def test_a_long_addition_tells_how_far_it_is(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    (folder / "days").mkdir()
    (folder / "days" / "big.bin").write_bytes(os.urandom(BIG))
    (folder / "days" / "june.csv").write_text("wet")
    told: list[Progress] = []

    held = await datasets.snapshot(place, "days", told=told.append)
    shutil.rmtree(folder / "days")
    await datasets.restore(place, "days", held, told=told.append)

    ends = {(one.step, one.done, one.whole, one.unit) for one in told if one.done == one.whole}
    assert {("read", BIG + 3, BIG + 3, "bytes"), ("push", 2, 2, "files")} <= ends
    assert ("restore", 2, 2, "files") in ends
    assert [one.done for one in told if one.step == "read"] == sorted(
        one.done for one in told if one.step == "read"
    )
