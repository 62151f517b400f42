# SPDX-License-Identifier: Apache-2.0
"""Real DVC: what can never work is refused with path and fix, and moved or emptied places do no harm."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from mlops.chassis.errors import RejectedError
from mlops.versioning.adapters.dvc import DvcDatasets
from mlops.versioning.ports import Place, Room
from servers.places import place_of

pytestmark = pytest.mark.timeout(180)


def names_in(cache: str) -> list[str]:
    return [file.name for file in Path(cache).rglob("*") if file.is_file()]


async def test_what_dvc_ignores_is_refused_with_the_pattern(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1\n")
    (folder / ".dvcignore").write_text("*.csv\n")

    with pytest.raises(RejectedError, match=r"is ignored by \.dvcignore:1:\*\.csv"):
        await datasets.snapshot(place, "days.csv")


async def test_a_part_of_a_dataset_is_refused_with_the_whole(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    (folder / "days").mkdir()
    (folder / "days" / "june.csv").write_text("wet")
    held = await datasets.snapshot(place, "days")
    (folder / "days" / "june.csv").write_text("dry")

    with pytest.raises(RejectedError, match=r"'days/june\.csv' lies inside .*'days'"):
        await datasets.snapshot(place, "days/june.csv")

    assert (folder / "days.dvc").read_text() == held.dvc_text


async def test_what_a_pipeline_makes_is_refused(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    (folder / "dvc.yaml").write_text("stages:\n  make:\n    cmd: make\n    outs: [days.csv]\n")
    (folder / "days.csv").write_text("1\n")

    with pytest.raises(RejectedError, match=r"'days\.csv' is made by .*make.*dvc\.yaml"):
        await datasets.snapshot(place, "days.csv")


async def test_a_broken_configuration_is_refused_with_its_place(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1\n")
    await datasets.provision(place)
    (folder / ".dvc" / "config").write_text("[[broken")

    with pytest.raises(RejectedError, match=r"config file error.*correct .*rain/\.dvc"):
        await datasets.snapshot(place, "days.csv")
    with pytest.raises(RejectedError, match=r"config file error.*correct .*rain/\.dvc"):
        await datasets.provision(replace(place, remote=place.remote + "-moved"))


async def test_changes_that_no_version_holds_are_not_overwritten(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1\n")
    first = await datasets.snapshot(place, "days.csv")
    (folder / "days.csv").write_text("2\n")
    second = await datasets.snapshot(place, "days.csv")
    text = (folder / "days.csv.dvc").read_text()
    (folder / "days.csv").write_text("precious\n")

    with pytest.raises(RejectedError, match="changes that no version holds"):
        await datasets.restore(place, "days.csv", first, held=[second.oid])

    assert (folder / "days.csv").read_text() == "precious\n"
    assert (folder / "days.csv.dvc").read_text() == text


async def test_an_addition_above_the_quota_leaves_the_dvc_file_as_it_was(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    (folder / "days.csv").write_text("1\n")
    held = await datasets.snapshot(place, "days.csv")
    (folder / "days.csv").write_text("2\n" * 1000)
    (folder / "more.csv").write_text("3\n" * 1000)

    for path in ("days.csv", "more.csv"):
        with pytest.raises(RejectedError, match="quota_gb"):
            await datasets.snapshot(place, path, Room((held.oid,), 100))

    assert (folder / "days.csv.dvc").read_text() == held.dvc_text
    assert not (folder / "more.csv.dvc").exists()


async def test_an_emptied_cache_hinders_no_push_of_what_the_remote_has(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    (folder / "days").mkdir()
    (folder / "days" / "june.csv").write_text("wet")
    held = await datasets.snapshot(place, "days")
    await datasets.close()
    shutil.rmtree(place.cache)

    assert await datasets.push(place, [held.oid]) == 0


async def test_a_project_follows_an_installation_that_moved(
    datasets: DvcDatasets, place: Place, folder: Path, tmp_path: Path
) -> None:
    (folder / "days.csv").write_text("1\n")
    held = await datasets.snapshot(place, "days.csv")
    await datasets.close()
    shutil.rmtree(tmp_path / "data")
    moved = place_of(tmp_path, "elsewhere")

    again = await datasets.snapshot(moved, "days.csv")

    assert again == held
    assert not (tmp_path / "data").exists()
    assert names_in(moved.cache) == [held.oid[2:]]


async def test_an_initialisation_that_died_is_done_again(
    datasets: DvcDatasets, place: Place, folder: Path
) -> None:
    (folder / ".dvc" / "tmp").mkdir(parents=True)
    (folder / "days.csv").write_text("1\n")

    held = await datasets.snapshot(place, "days.csv")

    assert held.size_bytes == 2
    assert names_in(place.cache) == [held.oid[2:]]


async def test_a_project_reached_through_a_link_keeps_its_data(
    datasets: DvcDatasets, place: Place, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(folder)
    linked = replace(place, folder=str(tmp_path / "link"))
    (folder / "days").mkdir()
    (folder / "days" / "june.csv").write_text("wet")

    held = await datasets.snapshot(linked, "days")
    (folder / "days" / "june.csv").unlink()
    await datasets.restore(linked, "days", held)

    assert (folder / "days" / "june.csv").read_text() == "wet"
    with pytest.raises(RejectedError, match="lies inside"):
        await datasets.snapshot(linked, "days/june.csv")
