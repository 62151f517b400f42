# SPDX-License-Identifier: Apache-2.0
"""A file that changes while it is read gives a whole version of what it was, or is read again; never a mixture."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops.chassis.errors import UnavailableError

# DVC's own: it runs in this process here, and nowhere else.
pytestmark = pytest.mark.filterwarnings("ignore:_NoneStep.value:DeprecationWarning")

PREPARED = ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR")
# More than is read between two reports of progress.
SIZE = 6_000_000


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in PREPARED:
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    (tmp_path / "rain").mkdir()
    return tmp_path / "rain"


@pytest.fixture
def repo(folder: Path) -> Iterator[Any]:
    # Imported late: DVC is a second's import that no other test of this process needs.
    from dvc.repo import Repo  # noqa: PLC0415

    from mlops.versioning.adapters.dvc_setup import prepare  # noqa: PLC0415

    prepare(str(folder), str(folder.parent / "remote"), str(folder.parent / "cache"))
    with Repo(str(folder)) as repo:
        yield repo


class Writer:
    """Does something to a file when a part of it has been read, so many times."""

    def __init__(self, file: Path, times: int = 1) -> None:
        self.file, self.times = file, times

    def __call__(self, done: int, _: int) -> None:
        if done and self.times:
            self.times -= 1
            self.write()

    def write(self) -> None:
        raise NotImplementedError


class Appends(Writer):
    def write(self) -> None:
        with self.file.open("ab") as file:
            file.write(b"late\n")


class Rewrites(Writer):
    def write(self) -> None:
        with self.file.open("r+b") as file:
            file.write(b"rewritten")
        later = self.file.stat().st_mtime_ns + 1_000_000
        os.utime(self.file, ns=(later, later))


class WritesLonger(Writer):
    def write(self) -> None:
        self.file.write_bytes(b"another, and longer" * (SIZE // 10))


class Replaces(Writer):
    def write(self) -> None:
        fresh = self.file.with_name("fresh")
        fresh.write_bytes(b"replaced")
        fresh.replace(self.file)


def add(repo: Any, place: Path, tell: Writer) -> Any:
    from mlops.versioning.adapters.dvc_add import add as real  # noqa: PLC0415

    return real(repo, place, place.name, tell, lambda _: None)


def kept(repo: Any, oid: str) -> bytes:
    return Path(repo.cache.local.oid_to_path(oid)).read_bytes()


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("inside", ["", "days"])
def test_a_file_that_grows_is_kept_whole_as_it_was(folder: Path, repo: Any, inside: str) -> None:
    file = folder / inside / "days.csv"
    file.parent.mkdir(exist_ok=True)
    early = os.urandom(SIZE)
    file.write_bytes(early)

    add(repo, folder / (inside or "days.csv"), Appends(file))

    [oid] = [oid for oid in repo.cache.local.all() if not oid.endswith(".dir")]
    assert md5(kept(repo, oid)) == oid
    # A clone ends where the file ended when it was made; a copy where it ended when the reader came to it.
    assert kept(repo, oid) in (early, early + b"late\n")
    assert file.read_bytes() == early + b"late\n"


def test_what_grew_is_read_again_the_next_time(folder: Path, repo: Any) -> None:
    (folder / "days.csv").write_bytes(os.urandom(SIZE))
    first = add(repo, folder / "days.csv", Appends(folder / "days.csv"))
    (folder / "days.csv").write_bytes(b"x" * first.size_bytes)

    again = add(repo, folder / "days.csv", Appends(folder / "days.csv", times=0))

    assert kept(repo, again.oid) == b"x" * first.size_bytes


def test_what_was_written_without_a_trace_is_read_when_that_is_asked_for(
    folder: Path, repo: Any
) -> None:
    from mlops.versioning.adapters.dvc_worker import forget  # noqa: PLC0415

    file, quiet = folder / "days.csv", Writer(folder / "days.csv", times=0)
    file.write_bytes(b"1" * SIZE)
    os.utime(file, ns=(1, 1))
    unseen(folder, repo, file, b"2" * SIZE)

    taken_for_unchanged = add(repo, file, quiet)
    where = str(folder), str(folder.parent / "remote"), str(folder.parent / "cache")
    forget(*where, "days.csv")
    read = add(repo, file, quiet)

    assert kept(repo, taken_for_unchanged.oid) == b"1" * SIZE
    assert kept(repo, read.oid) == b"2" * SIZE


def unseen(folder: Path, repo: Any, file: Path, content: bytes) -> None:
    """Add the file, then write to it so that what is known of it fits all the same, as a memory map may do."""
    from mlops.versioning.adapters.dvc_add import known_of  # noqa: PLC0415
    from mlops.versioning.adapters.dvc_known import signature  # noqa: PLC0415

    oid = add(repo, folder / "days.csv", Writer(file, times=0)).oid
    file.write_bytes(content)
    known_of(repo, file).replace(file, {"": (signature(file.stat()), oid)}, time.time_ns() * 2)


def test_a_version_tells_the_dvc_file_of_its_own_content(folder: Path, repo: Any) -> None:
    from mlops.versioning.adapters.dvc_worker import snapshot  # noqa: PLC0415

    (folder / "days.csv").write_text("1,2\n")

    def somebody_adds(said: dict[str, Any]) -> None:
        if said["step"] == "push":
            (folder / "days.csv.dvc").write_text("outs: of another content\n")

    where = (repo.root_dir, str(folder.parent / "remote"), str(folder.parent / "cache"))
    added = snapshot(*where, "days.csv", tell=somebody_adds)

    assert f"md5: {added['oid']}" in added["dvc_text"]


@pytest.mark.parametrize("writer", [Rewrites, WritesLonger, Replaces])
def test_a_file_that_is_rewritten_is_read_again(
    folder: Path, repo: Any, writer: type[Writer]
) -> None:
    file = folder / "days.csv"
    file.write_bytes(os.urandom(SIZE))

    added = add(repo, file, writer(file))

    assert kept(repo, added.oid) == file.read_bytes()
    assert f"md5: {added.oid}\n  size: {file.stat().st_size}" in Path(f"{file}.dvc").read_text()


def test_a_file_that_is_rewritten_all_the_time_is_refused_for_now(folder: Path, repo: Any) -> None:
    file = folder / "days.csv"
    file.write_bytes(os.urandom(SIZE))

    with pytest.raises(UnavailableError, match=r"days\.csv' is being written to"):
        add(repo, file, Rewrites(file, times=10_000))

    assert not Path(f"{file}.dvc").exists()
    assert list(repo.cache.local.all()) == []


def test_what_goes_while_a_folder_is_read_is_not_in_it(folder: Path, repo: Any) -> None:
    (folder / "days").mkdir()
    for name in ("a.csv", "b.csv"):
        (folder / "days" / name).write_text(name)

    class Removes(Writer):
        def write(self) -> None:
            for name in ("a.csv", "b.csv"):
                (folder / "days" / name).unlink(missing_ok=True)

    added = add(repo, folder / "days", Removes(folder))

    assert added.files == 0


def test_half_written_objects_of_a_killed_process_go(repo: Any) -> None:
    from mlops.versioning.adapters.dvc_store import Store  # noqa: PLC0415

    store = Store(repo.cache.local.path)
    mine, dead = Path(store.draft()), Path(store.draft())
    mine.write_text("half")
    dead.write_text("half")
    dead = dead.rename(str(dead).replace(f"+{os.getpid()}+", "+4194305+"))

    store.forget_dead_drafts()

    assert (mine.exists(), dead.exists()) == (True, False)
