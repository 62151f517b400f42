# SPDX-License-Identifier: Apache-2.0
"""Cache and remote on different file systems: two real copies, and a limit holds between them, too."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from dvc.repo import Repo

from mlops.versioning.adapters.dvc import DvcDatasets
from mlops.versioning.adapters.dvc_pace import Pace
from mlops.versioning.adapters.dvc_setup import prepare
from mlops.versioning.adapters.dvc_store import Store
from mlops.versioning.adapters.dvc_transfer import fetch, push
from mlops.versioning.ports import Place

pytestmark = pytest.mark.timeout(120)

_MEMORY = Path("/dev/shm")  # noqa: S108 - the one other file system that needs no rights


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Path]:
    if not _MEMORY.is_dir() or _MEMORY.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    with tempfile.TemporaryDirectory(prefix="mlops-test-", dir=_MEMORY) as at:
        yield Path(at)


def damage(file: Path) -> None:
    file.chmod(0o644)
    file.write_text("0,0\n")
    file.chmod(0o444)


async def test_what_lies_on_two_disks_comes_back_from_either(
    datasets: DvcDatasets, place: Place, elsewhere: Path
) -> None:
    apart = replace(place, remote=str(elsewhere / "remote"))
    (Path(place.folder) / "days").mkdir()
    (Path(place.folder) / "days" / "may.csv").write_text("1,2\n")
    (Path(place.folder) / "days" / "large.bin").write_bytes(os.urandom(3_000_000))

    held = await datasets.snapshot(apart, "days")
    shown = await datasets.files(apart, held)
    damage(Path(shown["may.csv"]))
    repaired = await datasets.verify(apart, [held.oid])
    before = Path(place.folder) / "before"
    (Path(place.folder) / "days").rename(before)
    await datasets.close()
    shutil.rmtree(place.cache)
    await datasets.restore(apart, "days", held)

    assert (repaired.repaired, repaired.lost) == (1, ())
    for name in ("may.csv", "large.bin"):
        assert (Path(place.folder) / "days" / name).read_bytes() == (before / name).read_bytes()


def test_a_limit_holds_between_disks_and_costs_nothing_on_one(
    place: Place, elsewhere: Path, tmp_path: Path
) -> None:
    rested: list[float] = []
    pace = Pace(1_000_000, lambda: sum(rested), rested.append)
    content, moved = os.urandom(400_000), []
    oid = hashlib.md5(content, usedforsecurity=False).hexdigest()
    for remote in (tmp_path / "same disk", elsewhere / "remote"):
        prepare(place.folder, str(remote), place.cache)
        with Repo(place.folder) as repo:
            Store(repo.cache.local.path).add_bytes(content)
            push(repo, [oid], pace=pace)
            moved.append(sum(rested))
    prepare(place.folder, str(elsewhere / "remote"), str(tmp_path / "other cache"))
    with Repo(place.folder) as repo:
        brought = fetch(repo, oid, pace=pace)

    assert moved == [0, pytest.approx(0.4, abs=0.01)]
    assert brought
    assert sum(rested) == pytest.approx(0.8, abs=0.01)
