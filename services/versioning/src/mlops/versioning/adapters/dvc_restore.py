# SPDX-License-Identifier: Apache-2.0
"""restore: a content of the cache is put at its path, and nothing that no version holds is lost by it.

First everything is looked at (`dvc_look.py`), and refused where a file that would go or change is held by no version;
then it is done, each file whole or not at all, what goes after what comes. Files are clones where the file system has copy-on-write, else copies; on wish they are
hard links to the cache: at once and without a second copy, but read-only.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from dvc.repo import Repo, lock_repo
from dvc.utils.serialize import loads_yaml
from dvc_objects.fs.utils import umask

from mlops.versioning.adapters.dvc_add import known_of
from mlops.versioning.adapters.dvc_drafts import Drafts
from mlops.versioning.adapters.dvc_known import TICK_NS, Known, Signature, signature
from mlops.versioning.adapters.dvc_listing import listed
from mlops.versioning.adapters.dvc_look import Look, Safe, Wish, at, look_at, text_aside, text_of
from mlops.versioning.adapters.dvc_store import Store

Tell = Callable[[int, int], None]


def contents(store: Store, oid: str) -> dict[str, str]:
    """Return the addresses of a content's files by their path in it; the cache must hold its listing.

    Raises FileNotFoundError where it does not, and where what it holds is not the listing.
    """
    if not oid.endswith(".dir"):
        return {"": oid}
    place = store.place(oid)
    read = Path(place).read_bytes()
    if hashlib.md5(read, usedforsecurity=False).hexdigest() != oid.removesuffix(".dir"):
        # Whoever meets it does what is done about one that is not there.
        raise FileNotFoundError(errno.ENOENT, "the listing is damaged", place)
    return listed(oid, read)


def restore(repo: Repo, wish: Wish, safe: Safe, tell: Tell) -> None:
    """Put the wished content at its place and write its `.dvc` file, or refuse and change nothing.

    What fails in the middle (a full disk) leaves the `.dvc` file as it was and each file whole, some of the one and
    some of the other version; done again, it is completed.
    """
    with lock_repo(repo):
        store, known = Store(repo.cache.local.path), known_of(repo, wish.place)
        look = look_at(repo, wish, known, safe)
        first, later = look.gone()
        with _text_kept(look):
            _remove(look, first)
            _clear_folders(wish)
            put = _put_all(repo, store, look, tell)
            _remove(look, later)
        files = {rel: (look.present[rel].signature, look.present[rel].oid) for rel in look.keeps}
        _remember(known, wish.place, files | put)


def _remove(look: Look, gone: list[str]) -> None:
    emptied: set[Path] = set()
    for rel in gone:
        look.refuse_changed(rel)
        file = Path(at(look.wish.place, rel))
        file.unlink(missing_ok=True)
        if rel:
            emptied.update(itertools.islice(file.parents, rel.count("/") + 1))
    for folder in sorted(emptied, key=lambda one: len(one.parts), reverse=True):
        with contextlib.suppress(OSError):  # something else is in it
            folder.rmdir()


def _clear_folders(wish: Wish) -> None:
    # Empty ones where a file is to stand; in others nothing is left to stand in the way.
    for rel in wish.files if wish.place.is_dir() else ():
        target = at(wish.place, rel)
        for above, _, _ in os.walk(target, topdown=False) if os.path.isdir(target) else ():
            with contextlib.suppress(OSError):
                os.rmdir(above)


def _put_all(repo: Repo, store: Store, look: Look, tell: Tell) -> dict[str, tuple[Signature, str]]:
    wish = look.wish
    wanted = {rel: oid for rel, oid in wish.files.items() if rel not in look.keeps}
    executable = _is_program(wish)
    link = wish.read_only and not executable
    drafts = Drafts(_cleared_drafts(repo), (0o777 if executable else 0o666) & ~umask)
    _make_folders(wish, wanted)
    put = _linked_anew(store, look, wanted, tell) if link and "" not in wanted else {}
    left = [(rel, oid) for rel, oid in wanted.items() if rel not in put]
    for done, (rel, oid) in enumerate(left, len(put) + 1):
        target = at(wish.place, rel)
        look.refuse_changed(rel)
        if not (link and drafts.linked(store.place(oid), target)):
            drafts.copied(store.place(oid), target)
        put[rel] = signature(os.stat(target)), oid
        tell(done, len(wanted))
    return put


def _linked_anew(
    store: Store, look: Look, wanted: dict[str, str], tell: Tell
) -> dict[str, tuple[Signature, str]]:
    """Link where nothing stands; what is left out has something in its place, or no link can be."""
    put = {}
    # Named from an open folder: the kernel does not walk down to it for each of many files.
    with _folder(store.path) as objects, _folder(look.wish.place) as there:
        for rel, oid in wanted.items():
            if rel in look.present:
                continue
            try:
                os.link(f"{oid[:2]}/{oid[2:]}", rel, src_dir_fd=objects, dst_dir_fd=there)
            except FileNotFoundError:
                raise
            except OSError:  # also another file system, or more links than one file may have
                continue
            put[rel] = signature(os.stat(rel, dir_fd=there)), oid
            tell(len(put), len(wanted))
    return put


@contextlib.contextmanager
def _folder(path: str | Path) -> Iterator[int]:
    opened = os.open(path, os.O_RDONLY)
    try:
        yield opened
    finally:
        os.close(opened)


def _is_program(wish: Wish) -> bool:
    # DVC notes it of single files only.
    outs: Any = (loads_yaml(wish.dvc_text) or {}).get("outs") or [{}]
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
    for above in sorted({rel.rpartition("/")[0] for rel in wanted}):
        (wish.place / above).mkdir(parents=True, exist_ok=True)


def _remember(known: Known, place: Path, files: dict[str, tuple[Signature, str]]) -> None:
    # What was put there this very moment would not count as settled; the clock of files ticks in milliseconds.
    newest = max((max(found[1], found[2]) for found, _ in files.values()), default=0)
    wait_s = (newest + TICK_NS - time.time_ns()) / 1e9
    if 0 < wait_s < 1:
        time.sleep(wait_s)
    known.replace(place, files, time.time_ns())


@contextlib.contextmanager
def _text_kept(look: Look) -> Iterator[None]:
    """Write the `.dvc` file, and take it back when what follows fails; what a pipeline makes has none."""
    if not look.wish.dvc_text:
        yield
        return
    file, aside = text_of(look.wish), text_aside(look.wish)
    before = file.read_text() if file.exists() else None
    file.parent.mkdir(parents=True, exist_ok=True)
    if look.puts_text_aside:
        _write(aside, before or "")
    try:
        _write(file, look.wish.dvc_text)
        yield
    except BaseException:
        if before is None:
            file.unlink(missing_ok=True)
        else:
            _write(file, before)
        if look.puts_text_aside:
            aside.unlink(missing_ok=True)
        raise


def _write(file: Path, text: str) -> None:
    fresh = file.with_name(f".mlops-{os.getpid()}")
    try:
        fresh.write_text(text)
        fresh.replace(file)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
