# SPDX-License-Identifier: Apache-2.0
"""restore: a content of the cache is put at its path, and nothing that no version holds is lost by it.

First everything is looked at, and refused where a file that would go or change is held by no object; then it is done,
each file whole or not at all. Files are clones where the file system has copy-on-write, else copies; on wish they are
hard links to the cache: at once and without a second copy, but read-only.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dvc.repo import Repo, lock_repo
from dvc.utils.serialize import loads_yaml
from dvc_objects.fs.utils import umask

from mlops.chassis.errors import RejectedError
from mlops.versioning.adapters.dvc_add import known_of, walk_of
from mlops.versioning.adapters.dvc_known import TICK_NS, Known, Signature, signature
from mlops.versioning.adapters.dvc_store import Store, cloned, digest
from mlops.versioning.adapters.paths import files_in

_WRITABLE = 0o200
# In larger pieces the same copy costs the kernel several times as much.
_PIECE_BYTES = 1 << 16
_numbers = itertools.count()

Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class _Present:
    """What stands at one place now."""

    oid: str
    signature: Signature
    writable: bool


@dataclass(frozen=True)
class Wish:
    """What is to stand at a path: the addresses of its files, and how they are put there."""

    place: Path
    path: str
    dvc_text: str
    files: dict[str, str]
    read_only: bool


def contents(store: Store, oid: str) -> dict[str, str]:
    """Return the addresses of a content's files by their path in it; the cache must hold its listing."""
    if not oid.endswith(".dir"):
        return {"": oid}
    lines = json.loads(Path(store.place(oid)).read_bytes())
    found = {str(line["relpath"]): str(line["md5"]) for line in lines}
    for rel in found:
        if rel.startswith("/") or ".." in rel.split("/"):
            raise RejectedError(f"the listing {oid} names {rel!r}, which leaves the dataset")
    return found


def restore(repo: Repo, wish: Wish, tell: Tell) -> None:
    """Put the wished content at its place and write its `.dvc` file, or change nothing."""
    with lock_repo(repo):
        store, known = Store(repo.cache.local.path), known_of(repo, wish.place)
        present = _present(repo, wish.place, known)
        keeps = {rel for rel, one in present.items() if _stays(rel, one, wish)}
        _refuse_loss(store, wish, present, keeps)
        with _text_kept(wish):
            _remove(wish.place, [rel for rel in present if rel not in wish.files])
            put = _put_all(repo, store, wish, keeps, tell)
        files = {rel: (present[rel].signature, present[rel].oid) for rel in keeps}
        _remember(known, wish.place, files | put)


def _present(repo: Repo, place: Path, known: Known) -> dict[str, _Present]:
    if not place.exists():
        return {}
    found: dict[str, _Present] = {}
    for rel, stats in files_in(repo.root_dir, place, walk_of(repo)).items():
        was = signature(stats)
        oid = known.oid(rel, was) or digest(_at(place, rel), _silent)[0]
        found[rel] = _Present(oid, was, bool(stats.st_mode & _WRITABLE))
    return found


def _stays(rel: str, one: _Present, wish: Wish) -> bool:
    # A writable copy serves who wishes for links too; a read-only link serves only them.
    return wish.files.get(rel) == one.oid and (one.writable or wish.read_only)


def _refuse_loss(store: Store, wish: Wish, present: dict[str, _Present], keeps: set[str]) -> None:
    for rel, one in present.items():
        if rel not in keeps and store.size(one.oid) is None:
            inside = f" (in {rel!r})" if rel else ""
            raise RejectedError(
                f"{wish.path!r} has changes that no version holds{inside}; add it first "
                "(`mlops data add`), or remove it"
            )


def _remove(place: Path, gone: list[str]) -> None:
    emptied: set[Path] = set()
    for rel in gone:
        file = Path(_at(place, rel))
        file.unlink(missing_ok=True)
        if rel:
            emptied.update(itertools.islice(file.parents, rel.count("/") + 1))
    for folder in sorted(emptied, key=lambda one: len(one.parts), reverse=True):
        with contextlib.suppress(OSError):  # something else is in it
            folder.rmdir()


def _put_all(
    repo: Repo, store: Store, wish: Wish, keeps: set[str], tell: Tell
) -> dict[str, tuple[Signature, str]]:
    wanted = {rel: oid for rel, oid in wish.files.items() if rel not in keeps}
    executable = _is_program(wish)
    link = wish.read_only and not executable
    mode = (0o777 if executable else 0o666) & ~umask
    drafts = _cleared_drafts(repo)
    _make_folders(wish, wanted)
    put = {}
    for done, (rel, oid) in enumerate(wanted.items(), 1):
        target = _at(wish.place, rel)
        if not (link and _linked(store.place(oid), target, drafts)):
            _copied(store.place(oid), target, drafts, mode)
        put[rel] = signature(os.stat(target)), oid
        tell(done, len(wanted))
    return put


def _is_program(wish: Wish) -> bool:
    # DVC notes it of single files only.
    outs: Any = loads_yaml(wish.dvc_text).get("outs") or [{}]
    return "" in wish.files and bool(outs[0].get("isexec"))


def _cleared_drafts(repo: Repo) -> str:
    # Whoever died here held the project's lock, which is ours now.
    folder = Path(repo.tmp_dir) / "mlops" / "drafts"
    folder.mkdir(parents=True, exist_ok=True)
    for draft in folder.iterdir():
        draft.unlink()
    return str(folder)


def _make_folders(wish: Wish, wanted: dict[str, str]) -> None:
    if "" in wish.files:
        wish.place.parent.mkdir(parents=True, exist_ok=True)
        return
    wish.place.mkdir(parents=True, exist_ok=True)
    inside = wish.place.resolve()
    for above in sorted({rel.rpartition("/")[0] for rel in wanted}):
        folder = wish.place / above
        if not folder.resolve().is_relative_to(inside):
            raise RejectedError(f"a link in {wish.path!r} leads out of it at {above!r}; remove it")
        folder.mkdir(parents=True, exist_ok=True)


def _linked(source: str, target: str, drafts: str) -> bool:
    try:
        with contextlib.suppress(FileExistsError):
            os.link(source, target)
            return True
        draft = _draft(drafts)
        os.link(source, draft)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or more links than one file may have
        return False
    _move(draft, target)
    return True


def _copied(source: str, target: str, drafts: str, mode: int) -> None:
    draft = _draft(drafts)
    try:
        if not cloned(source, draft):
            _copy(source, draft)
        os.chmod(draft, mode)
        _move(draft, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        raise


def _copy(source: str, target: str) -> None:
    with open(source, "rb", buffering=0) as opened, open(target, "wb", buffering=0) as made:
        at, size = 0, os.fstat(opened.fileno()).st_size
        while at < size:
            at += _moved(made.fileno(), opened.fileno(), at, size - at)


def _moved(target: int, source: int, at: int, most: int) -> int:
    piece = min(most, _PIECE_BYTES)
    if hasattr(os, "copy_file_range"):
        with contextlib.suppress(OSError):
            if count := os.copy_file_range(source, target, piece, at, at):
                return count
    return os.pwrite(target, os.pread(source, piece, at), at)


def _move(draft: str, target: str) -> None:
    if os.path.isdir(target) and not os.path.islink(target):
        raise RejectedError(
            f"a folder stands at {target!r}, with files in it that DVC ignores; move them away"
        )
    try:
        os.replace(draft, target)
    except OSError:
        # The dataset lies on another file system than the project.
        beside = os.path.join(os.path.dirname(target), f".mlops-{os.getpid()}")
        _copy(draft, beside)
        os.chmod(beside, os.stat(draft).st_mode & 0o777)
        os.replace(beside, target)
        os.unlink(draft)


def _draft(drafts: str) -> str:
    return os.path.join(drafts, f"draft.{os.getpid()}.{next(_numbers)}")


def _remember(known: Known, place: Path, files: dict[str, tuple[Signature, str]]) -> None:
    # What was put there this very moment would not count as settled; the clock of files ticks in milliseconds.
    newest = max((max(found[1], found[2]) for found, _ in files.values()), default=0)
    wait_s = (newest + TICK_NS - time.time_ns()) / 1e9
    if 0 < wait_s < 1:
        time.sleep(wait_s)
    known.replace(place, files, time.time_ns())


@contextlib.contextmanager
def _text_kept(wish: Wish) -> Iterator[None]:
    """Write the `.dvc` file, and take it back when what follows fails."""
    file = wish.place.with_name(wish.place.name + ".dvc")
    before = file.read_text() if file.exists() else None
    file.parent.mkdir(parents=True, exist_ok=True)
    _write(file, wish.dvc_text)
    try:
        yield
    except BaseException:
        if before is None:
            file.unlink(missing_ok=True)
        else:
            _write(file, before)
        raise


def _write(file: Path, text: str) -> None:
    fresh = file.with_name(f".mlops-{os.getpid()}")
    fresh.write_text(text)
    fresh.replace(file)


def _at(place: Path, rel: str) -> str:
    return f"{place}{os.sep}{rel}" if rel else str(place)


def _silent(_: int) -> None:
    return
