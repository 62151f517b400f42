# SPDX-License-Identifier: Apache-2.0
"""Whatever history a dataset has had, each of its versions comes back byte for byte, with real DVC."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlops.contracts.versioning import AddData, DataRestored, DataVersioned, RestoreData
from mlops.versioning.adapters.dvc import DvcDatasets
from servers.places import place_of
from servers.versioning import Versioning

pytestmark = pytest.mark.timeout(300)

NAMES = ("a.csv", "sub/b.bin", "sub/deep/c", "Schnee und Glätte.txt", "x" * 200)
FILES = st.dictionaries(st.sampled_from(NAMES), st.binary(max_size=64), min_size=1)
Files = dict[str, bytes]


def write(folder: Path, files: Files) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def read(folder: Path) -> Files:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files}


async def add(platform: Versioning, name: str, files: Files) -> int:
    write(Path(platform.place.folder, name), files)
    told = await platform.tell(AddData(project="rain", name=name, path=name))
    assert isinstance(told, DataVersioned)
    return told.version


async def returned(platform: Versioning, name: str, version: int) -> Files:
    told = await platform.tell(RestoreData(project="rain", name=name, version=version))
    assert isinstance(told, DataRestored)
    return read(Path(platform.place.folder, name))


async def begun(root: Path) -> Versioning:
    datasets = DvcDatasets(root / "state", idle=timedelta(minutes=5))
    platform = Versioning(root, place_of(root), datasets)
    await platform.register()
    return platform


async def ended(platform: Versioning) -> None:
    await platform.close()
    await platform.datasets.close()


def test_each_version_comes_back_byte_for_byte(tmp_path: Path) -> None:
    names = (f"data-{number}" for number in itertools.count())

    async def story(platform: Versioning, history: list[Files], order: list[int]) -> None:
        name = next(names)
        versions = {await add(platform, name, files): files for files in history}
        numbers = sorted(versions)

        for number in (numbers[at % len(numbers)] for at in order):
            assert await returned(platform, name, number) == versions[number]

    with asyncio.Runner() as runner:
        platform = runner.run(begun(tmp_path))

        @settings(max_examples=15, deadline=None)
        @given(
            st.lists(FILES, min_size=1, max_size=4),
            st.lists(st.integers(0, 3), min_size=1, max_size=4),
        )
        def every_history(history: list[Files], order: list[int]) -> None:
            runner.run(story(platform, history, order))

        every_history()
        runner.run(ended(platform))
