# SPDX-License-Identifier: Apache-2.0
"""Real DVC: a restore takes nothing that no version holds, also what DVC does not see or what comes meanwhile."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops.chassis.errors import RejectedError
from mlops.versioning.adapters.dvc import DvcDatasets
from mlops.versioning.model import Content
from mlops.versioning.ports import Place

pytestmark = [
    pytest.mark.timeout(180),
    # DVC's own: it runs in this process here, and nowhere else.
    pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning"),
]

PREPARED = ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR")


def tree(folder: Path) -> dict[str, str]:
    files = (file for file in folder.rglob("*") if file.is_file())
    return {file.relative_to(folder).as_posix(): file.read_text() for file in files}


def write(folder: Path, **files: str) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)


@pytest.fixture
async def held(datasets: DvcDatasets, place: Place, folder: Path) -> list[Content]:
    """Two versions of a folder; the second one stands."""
    write(folder / "days", a="early", b="early")
    first = await datasets.snapshot(place, "days")
    (folder / "days" / "b.csv").unlink()
    write(folder / "days", a="late", c="late")
    return [first, await datasets.snapshot(place, "days")]


async def test_what_dvc_ignores_is_not_overwritten(
    datasets: DvcDatasets, place: Place, folder: Path, held: list[Content]
) -> None:
    (folder / ".dvcignore").write_text("b.csv\n")
    write(folder / "days", b="precious")
    before = tree(folder / "days")

    with pytest.raises(RejectedError, match=r"no version holds \(in 'b\.csv'\)"):
        await datasets.restore(place, "days", held[0], held=[one.oid for one in held])

    assert tree(folder / "days") == before


@pytest.mark.parametrize("way", ["b.csv", "c.csv"])
async def test_a_folder_in_the_way_is_refused_before_anything_changes(
    datasets: DvcDatasets, place: Place, folder: Path, held: list[Content], way: str
) -> None:
    (folder / ".dvcignore").write_text("*.log\n")
    (folder / "days" / way).unlink(missing_ok=True)
    (folder / "days" / way).mkdir()
    (folder / "days" / way / "run.log").write_text("precious")
    before = tree(folder / "days")

    wish = held[0 if way == "b.csv" else 1]
    with pytest.raises(RejectedError, match=rf"in the way at .*{way}"):
        await datasets.restore(place, "days", wish, held=[one.oid for one in held])

    assert tree(folder / "days") == before


async def test_empty_folders_are_in_nobodys_way(
    datasets: DvcDatasets, place: Place, folder: Path, held: list[Content]
) -> None:
    (folder / "days" / "b.csv" / "deep").mkdir(parents=True)

    await datasets.restore(place, "days", held[0], held=[one.oid for one in held])

    assert tree(folder / "days") == {"a.csv": "early", "b.csv": "early"}


async def test_a_dvc_file_that_names_what_no_version_holds_is_not_overwritten(
    datasets: DvcDatasets, place: Place, folder: Path, held: list[Content]
) -> None:
    text = (folder / "days.dvc").read_text().replace(held[1].oid, "d" * 32 + ".dir")
    (folder / "days.dvc").write_text(text)

    with pytest.raises(RejectedError, match=r"'days\.dvc' names something else"):
        await datasets.restore(place, "days", held[0], held=[one.oid for one in held])
    refused = (folder / "days.dvc").read_text()
    # As `--force` does: the data are put aside, and the file that names them stays beside them.
    (folder / "days").rename(folder / "days.local")
    await datasets.restore(place, "days", held[0], held=[one.oid for one in held])

    assert refused == text
    assert (folder / "days.dvc.local").read_text() == text
    assert (folder / "days.dvc").read_text() == held[0].dvc_text


@pytest.fixture
def repo(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in PREPARED:
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    # Imported late: DVC is a second's import that no other test of this process needs.
    from dvc.repo import Repo  # noqa: PLC0415

    from mlops.versioning.adapters.dvc_setup import prepare  # noqa: PLC0415

    prepare(place.folder, place.remote, place.cache)
    with Repo(place.folder) as repo:
        yield repo


def put(
    repo: Any,
    folder: Path,
    content: Content,
    tell: Callable[[int, int], None],
    *,
    read_only: bool = False,
) -> None:
    from mlops.versioning.adapters.dvc_look import Wish  # noqa: PLC0415
    from mlops.versioning.adapters.dvc_restore import contents, restore  # noqa: PLC0415
    from mlops.versioning.adapters.dvc_store import Store  # noqa: PLC0415

    files = contents(Store(repo.cache.local.path), content.oid)
    wish = Wish(folder / "days", "days", content.dvc_text, files, read_only)
    restore(repo, wish, lambda wanted: wanted, tell)


@pytest.mark.parametrize("name", ["b", "c"])
def test_what_is_written_meanwhile_is_not_lost(
    repo: Any, folder: Path, held: list[Content], name: str
) -> None:
    def somebody_writes(done: int, _: int) -> None:
        if done == 1:
            write(folder / "days", **{name: "precious"})

    with pytest.raises(RejectedError, match=rf"was written to .*{name}\.csv"):
        put(repo, folder, held[0], somebody_writes)

    assert (folder / "days" / f"{name}.csv").read_text() == "precious"
    assert (folder / "days.dvc").read_text() == held[1].dvc_text


def test_a_link_is_not_made_over_what_came_meanwhile(
    repo: Any, folder: Path, held: list[Content]
) -> None:
    (folder / "days").rename(folder / "before")

    def somebody_writes(done: int, _: int) -> None:
        if done == 1:
            write(folder / "days", b="precious")

    with pytest.raises(RejectedError, match=r"was written to .*b\.csv"):
        put(repo, folder, held[0], somebody_writes, read_only=True)

    assert tree(folder / "days") == {"a.csv": "early", "b.csv": "precious"}


def test_links_stand_where_nothing_did_and_where_something_else_did(
    repo: Any, folder: Path, held: list[Content]
) -> None:
    told: list[tuple[int, int]] = []

    put(repo, folder, held[0], lambda *how_far: told.append(how_far), read_only=True)

    a, b = (folder / "days" / name for name in ("a.csv", "b.csv"))
    assert tree(folder / "days") == {"a.csv": "early", "b.csv": "early"}
    assert (a.stat().st_ino, a.stat().st_mode & 0o777) == (b.stat().st_ino, 0o444)
    assert told == [(1, 2), (2, 2)]


def test_a_disk_that_fills_up_takes_no_file_and_the_next_time_completes_it(
    repo: Any, folder: Path, held: list[Content]
) -> None:
    def full(_: int, __: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match="space"):
        put(repo, folder, held[0], full)
    midway = tree(folder / "days")
    text = (folder / "days.dvc").read_text()
    put(repo, folder, held[0], lambda *_: None)

    assert midway == {"a.csv": "early", "c.csv": "late"}
    assert text == held[1].dvc_text
    assert tree(folder / "days") == {"a.csv": "early", "b.csv": "early"}
