# SPDX-License-Identifier: Apache-2.0
"""Real DVC: damage on either side is found and put right from the other, and a sweep takes only what nobody needs."""

from __future__ import annotations

import asyncio
import os
import platform
import shutil
import time
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.versioning.adapters.dvc import DvcDatasets
from mlops.versioning.model import Content
from mlops.versioning.ports import Place, Progress
from servers.plain_dvc import dvc, running_worker

pytestmark = pytest.mark.timeout(180)

HOUR = timedelta(hours=1)


@pytest.fixture
async def held(datasets: DvcDatasets, place: Place, folder: Path) -> Content:
    """A folder of three files, whose remote is a second copy and not the same files under other names."""
    (folder / "days").mkdir()
    for name in ("a", "b", "c"):
        (folder / "days" / f"{name}.csv").write_text(name * 100)
    content = await datasets.snapshot(place, "days")
    unlink_from_cache(place)
    return content


def unlink_from_cache(place: Place) -> None:
    for file in [one for one in Path(place.remote).rglob("*") if one.is_file()]:
        shutil.copy2(file, file.with_name("copy"))
        file.with_name("copy").replace(file)


def damage(place: str, oid: str) -> Path:
    file = Path(place, "files", "md5", oid[:2], oid[2:])
    size = file.stat().st_size
    file.chmod(0o644)
    file.write_bytes(b"x" * size)
    file.chmod(0o444)
    return file


def keep_by_hand(place: Place) -> str:
    theirs = "f" * 32
    file = Path(place.cache, "files", "md5", theirs[:2], theirs[2:])
    file.parent.mkdir(exist_ok=True)
    file.write_text("of a plain dvc")
    return theirs


def oid_of(shown: dict[str, str], rel: str) -> str:
    return Path(shown[rel]).parent.name + Path(shown[rel]).name


def make_old(*places: str, at: float | None = None) -> None:
    before = at or time.time() - 2 * HOUR.total_seconds()
    for file in [file for place in places for file in Path(place).rglob("*") if file.is_file()]:
        os.utime(file, (before, before))


def objects(place: str) -> set[str]:
    found = [file for file in Path(place, "files", "md5").rglob("*") if file.is_file()]
    return {file.parent.name + file.name for file in found}


@pytest.mark.parametrize("side", ["cache", "remote"])
@pytest.mark.parametrize("part", ["a file", "the listing"])
async def test_damage_is_put_right_from_the_other_side(
    datasets: DvcDatasets, place: Place, folder: Path, held: Content, side: str, part: str
) -> None:
    shown = await datasets.files(place, held)
    oid = held.oid if part == "the listing" else oid_of(shown, "a.csv")
    damage(getattr(place, side), oid)

    looked = await datasets.verify(place, [held.oid], repair=False)
    repaired = await datasets.verify(place, [held.oid])
    after = await datasets.verify(place, [held.oid])
    shutil.rmtree(folder / "days")
    await datasets.restore(place, "days", held)

    assert (looked.repaired, looked.lost) == (0, (held.oid,))
    assert (repaired.checked, repaired.repaired, repaired.lost) == (4, 1, ())
    assert (after.repaired, after.lost) == (0, ())
    assert (folder / "days" / "a.csv").read_text() == "a" * 100
    assert "in sync" in await dvc(folder, "status", "--cloud")


async def test_what_is_damaged_on_both_sides_is_lost_and_handed_to_nobody(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1,2\n" * 100)
    held = await datasets.snapshot(place, "days.csv")
    damage(place.cache, held.oid)  # and the remote, which is the same file here

    found = await datasets.verify(place, [held.oid])
    with pytest.raises(UnavailableError, match="neither cache nor remote"):
        await datasets.files(place, held)
    again = await datasets.snapshot(place, "days.csv")
    healed = await datasets.verify(place, [held.oid])

    assert (found.checked, found.repaired, found.lost) == (1, 0, (held.oid,))
    assert again == held
    assert healed.lost == ()


async def test_a_damaged_object_of_the_remote_never_comes_into_the_cache(
    datasets: DvcDatasets, place: Place, folder: Path, held: Content
) -> None:
    shown = await datasets.files(place, held)
    damage(place.remote, oid_of(shown, "a.csv"))
    await datasets.close()
    shutil.rmtree(place.cache)
    shutil.rmtree(folder / "days")

    with pytest.raises(UnavailableError, match=r"damaged.*mlops data verify"):
        await datasets.restore(place, "days", held)

    assert not (folder / "days").exists()


async def test_a_long_look_tells_how_far_it_is(
    datasets: DvcDatasets, place: Place, held: Content
) -> None:
    told: list[Progress] = []

    await datasets.verify(place, [held.oid], told=told.append)

    assert told[-1] == Progress("verify", 3, 3, "files")


async def test_a_sweep_takes_what_only_dead_contents_name(
    datasets: DvcDatasets, place: Place, folder: Path, held: Content
) -> None:
    (folder / "days" / "a.csv").write_text("later")
    later = await datasets.snapshot(place, "days")
    theirs, sides = keep_by_hand(place), (place.cache, place.remote)
    make_old(place.cache, place.remote)
    before = objects(place.cache)

    told: list[Progress] = []
    sweep = partial(datasets.sweep, place, [held.oid], [later.oid], grace=HOUR, told=told.append)
    counted = await sweep(dry=True)
    untouched = objects(place.cache)
    swept = await sweep(dry=False)

    gone = before - objects(place.cache)
    assert untouched == before
    assert counted == swept
    assert swept.objects == 4
    assert told[-1] == Progress("delete", 4, 4, "objects")
    assert {"count", "delete"} == {one.step for one in told}
    assert held.oid in gone
    assert len(gone) == 2
    assert theirs in objects(place.cache)
    assert (await datasets.verify(place, [later.oid])).lost == ()
    # What a killed process has left half written, and what nobody names, go only when that is asked for.
    dead = [Path(side, "files", "drafts", f"{platform.node()}+{2**22 + 1}+0") for side in sides]
    for one in dead:
        one.parent.mkdir(exist_ok=True)
        one.touch()
    unnamed = await datasets.sweep(
        place, [], [later.oid], projects=[place], unnamed=True, grace=HOUR, dry=False
    )
    assert unnamed.objects == 1
    assert theirs not in objects(place.cache)
    assert not any(one.exists() for one in dead)
    shutil.rmtree(folder)
    with pytest.raises(RejectedError, match="does not exist"):
        await datasets.sweep(place, [], [], projects=[place], unnamed=True, grace=HOUR, dry=False)


async def test_an_addition_that_meets_an_old_object_keeps_it_from_the_sweep(
    datasets: DvcDatasets, place: Place, held: Content
) -> None:
    make_old(place.cache, place.remote)
    unlink_from_cache(place)

    await datasets.snapshot(place, "days")
    swept = await datasets.sweep(place, [held.oid], [], grace=HOUR, dry=False)

    assert held.oid in objects(place.cache)
    assert len(objects(place.cache)) == 4
    assert swept.objects == 4  # of the remote: the project's own turn keeps additions from it


async def test_a_project_with_a_cache_of_its_own_stops_no_sweep(
    datasets: DvcDatasets, place: Place, held: Content, tmp_path: Path
) -> None:
    (tmp_path / "snow").mkdir()
    await dvc(tmp_path / "snow", "init", "--no-scm")
    other = replace(
        place, project="snow", folder=str(tmp_path / "snow"), remote=f"{place.remote}-snow"
    )
    (tmp_path / "snow" / "months").mkdir()
    (tmp_path / "snow" / "months" / "may.csv").write_text("flakes")
    theirs = await datasets.snapshot(other, "months")
    (Path(place.folder) / "days.dvc").unlink()
    make_old(place.cache, place.remote)

    swept = await datasets.sweep(
        place, [held.oid], [theirs.oid], projects=[place, other], grace=HOUR, dry=False
    )

    assert swept.objects == 8
    assert (await datasets.verify(other, [theirs.oid])).lost == ()


async def test_what_is_young_when_a_sweep_is_asked_for_stays_however_long_it_waits(
    datasets: DvcDatasets, place: Place, held: Content
) -> None:
    make_old(place.cache, place.remote)
    worker = running_worker()
    worker.suspend()
    asked = time.time()
    try:
        sweeping = asyncio.create_task(
            datasets.sweep(place, [held.oid], [], grace=timedelta(), dry=True)
        )
        await asyncio.sleep(0)
        # As what is added while the sweep waits for its turn.
        make_old(place.cache, place.remote, at=asked + 2)
        async with asyncio.timeout(60):
            while time.time() < asked + 3:
                await asyncio.sleep(0.1)
    finally:
        worker.resume()

    assert (await sweeping).objects == 0


async def test_nothing_is_swept_while_a_living_listing_is_nowhere(
    datasets: DvcDatasets, place: Place, held: Content
) -> None:
    make_old(place.cache, place.remote)

    with pytest.raises(UnavailableError, match=r"listing e+\.dir .*nothing was deleted"):
        await datasets.sweep(place, [held.oid], ["e" * 32 + ".dir"], grace=HOUR, dry=False)

    assert len(objects(place.cache)) == 4
