# SPDX-License-Identifier: Apache-2.0
"""Real DVC: a plain `dvc` understands our projects, and no death in the middle leaves half a version."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.versioning.adapters.dvc import DvcDatasets
from mlops.versioning.ports import Place
from servers.plain_dvc import dvc, running_worker

pytestmark = pytest.mark.timeout(180)


async def test_a_plain_dvc_understands_what_we_wrote(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1,2\n" * 1000)
    await datasets.snapshot(place, "days.csv")
    clean = await dvc(folder, "status")
    shutil.rmtree(place.cache)
    (folder / "days.csv").unlink()

    await dvc(folder, "pull")

    assert "up to date" in clean
    assert (folder / "days.csv").read_text() == "1,2\n" * 1000
    assert "mlops" in await dvc(folder, "remote", "list")


async def test_a_version_that_a_plain_dvc_pushed_can_be_restored(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("ours\n")
    first = await datasets.snapshot(place, "days.csv")
    (folder / "days.csv").write_text("theirs\n")
    await dvc(folder, "add", "days.csv")
    await dvc(folder, "push")
    theirs = await datasets.snapshot(place, "days.csv")

    await datasets.restore(place, "days.csv", first, held=[theirs.oid])

    assert (folder / "days.csv").read_text() == "ours\n"
    assert "up to date" in await dvc(folder, "status")


@pytest.mark.parametrize("name", ["days.csv", "days"])
async def test_what_the_cache_lacks_comes_from_the_remote(
    datasets: DvcDatasets, place: Place, folder: Path, name: str
) -> None:
    target = folder / name / "june.csv" if name == "days" else folder / name
    target.parent.mkdir(exist_ok=True)
    target.write_text("wet")
    held = await datasets.snapshot(place, name)
    await datasets.close()
    shutil.rmtree(place.cache)
    target.unlink()

    await datasets.restore(place, name, held)

    assert target.read_text() == "wet"


async def test_what_the_remote_lacks_is_pushed_again(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    (folder / "days").mkdir()
    (folder / "days" / "june.csv").write_text("wet")
    held = await datasets.snapshot(place, "days")
    await datasets.close()
    shutil.rmtree(place.remote)

    assert await datasets.push(place, [held.oid]) == 2


async def test_two_projects_share_one_cache_but_not_one_remote(
    datasets: DvcDatasets, place: Place, folder: Path, tmp_path: Path
) -> None:
    sun = Place("sun", str(tmp_path / "sun"), str(tmp_path / "data/remote/sun"), place.cache)
    (tmp_path / "sun").mkdir()
    for at in (folder, tmp_path / "sun"):
        (at / "days.csv").write_text("1,2\n")
    await datasets.snapshot(place, "days.csv")
    before = _files(place.cache)

    await datasets.snapshot(sun, "days.csv")

    assert _files(place.cache) == before
    assert len(_files(sun.remote)) == len(_files(place.remote)) == 1


async def test_a_project_in_git_keeps_its_data_out_of_git(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    _git(folder.parent, "init", "--quiet")
    (folder / "days.csv").write_text("1,2\n")

    await datasets.snapshot(place, "days.csv")

    seen = _git(folder.parent, "status", "--porcelain", "--untracked-files=all", "rain")
    assert "rain/days.csv.dvc" in seen
    assert "rain/days.csv\n" not in seen
    assert "config.local" not in seen


async def test_a_folder_that_git_ignores_is_versioned_without_git(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    _git(folder.parent, "init", "--quiet")
    (folder.parent / ".gitignore").write_text("rain/\n")
    (folder / "days.csv").write_text("1,2\n")

    await datasets.snapshot(place, "days.csv")

    assert "no_scm = True" in (folder / ".dvc" / "config").read_text()


async def test_data_that_git_tracks_are_refused_with_the_fix(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    _git(folder, "init", "--quiet")
    (folder / "days.csv").write_text("1,2\n")
    _git(folder, "add", "days.csv")

    with pytest.raises(RejectedError, match="git rm -r --cached"):
        await datasets.snapshot(place, "days.csv")


async def test_a_project_that_used_dvc_before_keeps_its_cache_and_remote(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    await dvc(folder, "init", "--no-scm")
    await dvc(folder, "remote", "add", "--default", "theirs", str(folder.parent / "theirs"))
    (folder / "days.csv").write_text("1,2\n")

    await datasets.snapshot(place, "days.csv")

    assert len(_files(place.remote)) == 1
    assert len(_files(str(folder / ".dvc" / "cache"))) == 1
    assert "remote = theirs" in (folder / ".dvc" / "config").read_text()
    assert "remote = mlops" not in (folder / ".dvc" / "config.local").read_text()


async def test_a_worker_killed_in_the_middle_leaves_nothing_half(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    await datasets.provision(place)
    content = os.urandom(1 << 20) * 300
    (folder / "days.bin").write_bytes(content)
    adding = asyncio.create_task(datasets.snapshot(place, "days.bin"))
    async with asyncio.timeout(30):
        while not _files(place.cache):
            await asyncio.sleep(0.005)
    running_worker().send_signal(signal.SIGKILL)

    with pytest.raises(UnavailableError, match="died"):
        await adding
    held = await datasets.snapshot(place, "days.bin")
    (folder / "days.bin").unlink()
    await datasets.restore(place, "days.bin", held)

    assert (folder / "days.bin").read_bytes() == content
    assert "up to date" in await dvc(folder, "status")


async def test_a_file_that_grows_while_it_is_added_gives_a_whole_version(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    await datasets.provision(place)
    (folder / "days.csv").write_bytes(b"0123456789\n" * 2_000_000)
    adding = asyncio.create_task(datasets.snapshot(place, "days.csv"))
    with (folder / "days.csv").open("ab") as file:
        for _ in range(20):
            await asyncio.sleep(0.02)
            file.write(b"late\n")
            file.flush()
    held = await adding
    final = await datasets.snapshot(place, "days.csv")

    await datasets.restore(place, "days.csv", held, held=[final.oid])

    assert (folder / "days.csv").stat().st_size == held.size_bytes
    assert held.size_bytes <= final.size_bytes == 22_000_100
    assert "up to date" in await dvc(folder, "status")


async def test_a_folder_that_grows_while_it_is_added_gives_a_whole_version(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    await datasets.provision(place)
    (folder / "days").mkdir()
    for number in range(20):
        (folder / "days" / f"{number}.csv").write_bytes(b"0123456789\n" * 100_000)
    adding = asyncio.create_task(datasets.snapshot(place, "days"))
    for number in range(20):
        await asyncio.sleep(0.03)
        with (folder / "days" / f"{number}.csv").open("ab") as file:
            file.write(b"late\n")
    held = await adding
    final = await datasets.snapshot(place, "days")

    await datasets.restore(place, "days", held, held=[final.oid])

    files = list((folder / "days").iterdir())
    assert len(files) == held.files == 20
    assert sum(file.stat().st_size for file in files) == held.size_bytes


async def test_adding_three_megabytes_takes_well_under_a_second(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_bytes(os.urandom(3_000_000))
    await datasets.snapshot(place, "days.csv")
    with (folder / "days.csv").open("ab") as file:
        file.write(b"more")
    began = time.perf_counter()

    await datasets.snapshot(place, "days.csv")

    assert time.perf_counter() - began < 1.0


async def test_dvc_leaves_when_idle_and_comes_back(
    tmp_path: Path, place: Place, folder: Path
) -> None:
    datasets = DvcDatasets(tmp_path / "state", idle=timedelta(seconds=0.3))
    (folder / "days.csv").write_text("1,2\n")
    first = await datasets.snapshot(place, "days.csv")
    worker = running_worker()
    async with asyncio.timeout(10):
        while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.05)

    assert await datasets.snapshot(place, "days.csv") == first
    await datasets.close()


def _files(folder: str) -> list[Path]:
    return sorted(path for path in Path(folder).rglob("*") if path.is_file())


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout
