# SPDX-License-Identifier: Apache-2.0
"""An S3 remote: what was pushed comes back in a fresh workspace, and what S3 refuses is said with the fix."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops.chassis.errors import UnavailableError
from mlops.versioning.adapters.dvc import DvcDatasets
from mlops.versioning.model import Content
from mlops.versioning.ports import Place

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]


@pytest.fixture
def place(s3: Any, tmp_path: Path) -> Place:
    (tmp_path / "rain").mkdir()
    remote = s3.bucket("datasets") + "/rain"
    return Place("rain", str(tmp_path / "rain"), remote, str(tmp_path / "cache"))


@pytest.fixture
def elsewhere(place: Place, tmp_path: Path) -> Place:
    """The same project on another machine: its own folder, an empty cache, the same remote."""
    (tmp_path / "elsewhere").mkdir()
    folder, cache = tmp_path / "elsewhere", tmp_path / "elsewhere's cache"
    return replace(place, folder=str(folder), cache=str(cache))


@pytest.fixture
async def datasets(
    s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[DvcDatasets]:
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    datasets = DvcDatasets(tmp_path / "state")
    yield datasets
    await datasets.close()


async def test_versions_come_back_in_a_fresh_workspace(
    datasets: DvcDatasets, place: Place, elsewhere: Place
) -> None:
    here, there = Path(place.folder), Path(elsewhere.folder)
    big = os.urandom(9_000_000)  # more than one part of a multipart upload
    (here / "days.bin").write_bytes(big)
    (here / "months").mkdir()
    (here / "months" / "june.csv").write_text("1,2\n")
    first = await datasets.snapshot(place, "days.bin")
    months = await datasets.snapshot(place, "months")
    (here / "days.bin").write_bytes(b"later")
    second = await datasets.snapshot(place, "days.bin")

    await datasets.restore(elsewhere, "days.bin", second)
    later = (there / "days.bin").read_bytes()
    await datasets.restore(elsewhere, "days.bin", first, held=[second.oid])
    await datasets.restore(elsewhere, "months", months)

    assert later == b"later"
    assert (there / "days.bin").read_bytes() == big
    assert (there / "months" / "june.csv").read_text() == "1,2\n"
    assert await datasets.push(place, [first.oid, second.oid, months.oid]) == 0


async def test_wrong_credentials_are_said_with_the_fix_and_lose_nothing(
    datasets: DvcDatasets,
    place: Place,
    elsewhere: Place,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (Path(place.folder) / "days.csv").write_text("1,2\n")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    wrong = DvcDatasets(tmp_path / "state")

    with pytest.raises(UnavailableError) as refused:
        await wrong.snapshot(place, "days.csv")
    await wrong.close()
    held = await datasets.snapshot(place, "days.csv")
    await datasets.restore(elsewhere, "days.csv", held)

    assert place.remote in str(refused.value)
    assert "AWS_SECRET_ACCESS_KEY" in str(refused.value)
    assert (Path(elsewhere.folder) / "days.csv").read_text() == "1,2\n"


async def test_a_bucket_that_does_not_exist_is_said_with_the_fix(
    datasets: DvcDatasets, place: Place
) -> None:
    (Path(place.folder) / "days.csv").write_text("1,2\n")
    nowhere = replace(place, remote="s3://no-such-bucket/rain")

    with pytest.raises(UnavailableError, match=r"s3://no-such-bucket/rain.*create the bucket"):
        await datasets.snapshot(nowhere, "days.csv")


async def test_an_upload_that_broke_off_is_completed_by_the_next(
    datasets: DvcDatasets, place: Place, elsewhere: Place
) -> None:
    contents = {f"{number}.bin": os.urandom(200_000) for number in range(60)}
    (Path(place.folder) / "days").mkdir()
    for name, content in contents.items():
        (Path(place.folder) / "days" / name).write_bytes(content)
    adding = asyncio.create_task(datasets.snapshot(place, "days"))
    async with asyncio.timeout(30):
        while not files(place.cache, "*.dir"):
            await asyncio.sleep(0.01)
    await datasets.close()

    with pytest.raises(UnavailableError, match="died"):
        await adding
    held: Content = await datasets.snapshot(place, "days")
    await datasets.restore(elsewhere, "days", held)

    restored = {file.name: file.read_bytes() for file in files(elsewhere.folder + "/days", "*.bin")}
    assert restored == contents


def files(folder: str, named: str) -> list[Path]:
    return list(Path(folder).rglob(named))
