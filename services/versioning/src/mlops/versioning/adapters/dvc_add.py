# SPDX-License-Identifier: Apache-2.0
"""add: what stands at a path goes into DVC's cache, and a `.dvc` file says so, as `dvc add` would write it.

DVC's own `add` walks a dataset several times, hashes and then copies, and costs more (benchmarks/versioning.py).
Here a file is read once, and what is hashed is what is copied: a file that grows meanwhile (the usual way data grow)
gives a whole version of what it was, once its beginning was read again and is what was copied; one that is
rewritten is read again. The stage, the checks against other
datasets and pipelines, the ignored files and the `.dvc` file stay DVC's.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dvc.exceptions import OutputNotFoundError
from dvc.repo import Repo, lock_repo
from dvc.repo.add import get_or_create_stage, translate_graph_error
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.meta import Meta

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.versioning.adapters.dvc_bytes import Count, begins_with, forget
from mlops.versioning.adapters.dvc_known import Known, Signature, signature
from mlops.versioning.adapters.dvc_store import SMALL_BYTES, Store
from mlops.versioning.adapters.paths import files_in

Tell = Callable[[int, int], None]
Read = tuple[Signature | None, str, int]

TRIES = 5
_EXECUTABLE = 0o111
_WORKERS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True)
class Added:
    """What was put into the cache."""

    oid: str
    size_bytes: int
    files: int
    dvc_text: str = ""


def add(repo: Repo, place: Path, path: str, tell: Tell, allow: Callable[[str], None]) -> Added:
    """Put the content of *place* into the cache and write its `.dvc` file; *tell* hears of bytes done and to do.

    What *allow* raises, given the address, leaves the `.dvc` file as it was.
    """
    with lock_repo(repo), repo.scm_context(quiet=True):
        # Under the lock: what DVC finds of the project, all its folders walked, serves the stage as well.
        _refuse_foreign(repo, place, path)
        stage, _ = get_or_create_stage(repo, str(place))
        with translate_graph_error([stage]):
            repo.check_graph(stages=[stage])
        out = stage.outs[0]
        added = _taken(repo, place, path, tell)
        allow(added.oid)
        out.ignore()
        _describe(out, place, added)
        stage.dump()
        # Still under the lock: a moment later the file may name what somebody else has added.
        text = place.with_name(place.name + ".dvc").read_text()
    return replace(added, dvc_text=text)


def walk_of(repo: Repo) -> Callable[[str], Iterator[tuple[str, list[str], list[str]]]]:
    """Return how DVC sees a folder: without what `.dvcignore` names, and without other repositories in it."""

    def walk(top: str) -> Iterator[tuple[str, list[str], list[str]]]:
        for above, folders, names in repo.dvcignore.walk(repo.fs, top):
            if ".dvcignore" in names:
                inside = os.path.relpath(os.path.join(above, ".dvcignore"), repo.root_dir)
                raise RejectedError(
                    f"{inside!r} lies inside the dataset, where DVC takes none; move it above the dataset"
                )
            yield above, folders, names

    return walk


def known_of(repo: Repo, place: Path) -> Known:
    """Return what is known of the files at *place*."""
    return Known.load(os.path.join(repo.tmp_dir, "mlops"), place)


def _refuse_foreign(repo: Repo, place: Path, path: str) -> None:
    # DVC would quietly change the dataset around it, or the lock file of the pipeline.
    try:
        [out, *_] = repo.find_outs_by_path(str(place), strict=False)
    except OutputNotFoundError:
        return
    if not out.stage.is_data_source:
        raise RejectedError(
            f"path {path!r} is made by {out.stage}; run that pipeline, or name other data"
        )
    if not Path(out.fs_path).parent.samefile(place.parent):
        raise RejectedError(f"path {path!r} lies inside the dataset {str(out)!r}; add that whole")


def _taken(repo: Repo, place: Path, path: str, tell: Tell) -> Added:
    store, known = Store(repo.cache.local.path), known_of(repo, place)
    store.forget_dead_drafts()
    for _ in range(TRIES):
        began_ns = time.time_ns()
        try:
            found = files_in(repo.root_dir, place, walk_of(repo))
            read = _read_all(store, known, place, found, tell)
        except FileNotFoundError:
            continue  # it went since it was listed
        settled = {rel: (one[0], one[1]) for rel, one in read.items() if one[0] is not None}
        known.replace(place, settled, began_ns)
        return _summed(store, read)
    raise UnavailableError(
        f"files come and go at {path!r}; it was listed {TRIES} times and each time one had gone"
    )


def _read_all(
    store: Store,
    known: Known,
    place: Path,
    found: dict[str, os.stat_result],
    tell: Tell,
) -> dict[str, Read]:
    done, whole = 0, sum(stats.st_size for stats in found.values())

    def count(size: int) -> None:
        nonlocal done
        done += size
        tell(done, whole)

    read: dict[str, Read] = {}
    large: list[str] = []
    for rel, stats in found.items():
        was = signature(stats)
        oid = known.oid(rel, was)
        if oid is not None and store.keeps(oid, stats.st_size):
            read[rel] = was, oid, stats.st_size
            count(stats.st_size)
        elif stats.st_size > SMALL_BYTES:
            large.append(rel)
        else:
            read[rel] = _read_small(store, _at(place, rel), was, count)
    with ThreadPoolExecutor(_WORKERS) as threads:
        works = {rel: threads.submit(_read_large, store, _at(place, rel), count) for rel in large}
        read.update({rel: work.result() for rel, work in works.items()})
    return read


def _at(place: Path, rel: str) -> str:
    return f"{place}{os.sep}{rel}" if rel else str(place)


def _read_small(store: Store, file: str, was: Signature, count: Count) -> Read:
    opened = os.open(file, os.O_RDONLY)
    try:
        content = os.read(opened, was[0] + 1)
        now = signature(os.fstat(opened))
    finally:
        os.close(opened)
    if now != was or len(content) != was[0]:
        return _read_large(store, file, count)
    oid = store.add_bytes(content)
    count(len(content))
    return now, oid, len(content)


def _read_large(store: Store, file: str, count: Count) -> Read:
    for _ in range(TRIES):
        draft = store.draft()
        try:
            before = os.stat(file)
            oid, size = store.copied(file, draft, count)
            after = os.stat(file)
            unchanged = signature(before) == signature(after) and size == after.st_size
            # What was copied of a file that only grew is what it was a moment ago, whole.
            if unchanged or (_grew(before, after, size) and begins_with(file, oid, size)):
                store.keep(draft, oid, size)
                return signature(after) if unchanged else None, oid, size
        finally:
            forget(draft)
    raise UnavailableError(
        f"{file!r} is being written to; it was read {TRIES} times and changed each time"
    )


def _grew(before: os.stat_result, after: os.stat_result, copied: int) -> bool:
    longer = before.st_ino == after.st_ino and before.st_size < after.st_size
    return longer and before.st_size <= copied <= after.st_size


def _summed(store: Store, read: dict[str, Read]) -> Added:
    size = sum(one[2] for one in read.values())
    if list(read) == [""]:
        return Added(read[""][1], size, 1)
    return Added(store.add_bytes(listing(read), ".dir"), size, len(read))


def listing(read: Mapping[str, Read]) -> bytes:
    """Return a folder's listing, byte for byte as DVC writes it: its hash is the folder's address."""
    lines = [{"md5": read[rel][1], "relpath": rel} for rel in sorted(read)]
    return json.dumps(lines, sort_keys=True).encode()


def _describe(out: Any, place: Path, added: Added) -> None:
    if added.oid.endswith(".dir"):
        out.meta = Meta(isdir=True, size=added.size_bytes, nfiles=added.files)
    else:
        executable = bool(place.stat().st_mode & _EXECUTABLE)
        out.meta = Meta(size=added.size_bytes, isexec=executable)
    # A `.dvc` file of DVC 2 named hashes of text with changed line ends; like `dvc add` we write the new kind.
    out.hash_name, out.hash_info, out.files = "md5", HashInfo("md5", added.oid), None
