# SPDX-License-Identifier: Apache-2.0
"""sweep: what only given-up contents name is deleted from cache and remote.

Nothing else is looked at, unless asked for: people keep other things in the same places with a plain `dvc`. What these
share with a given-up content stays while a `.dvc` file in a registered folder names it; what only another branch names
does not.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.tree import Tree
from dvc_objects.errors import ObjectFormatError

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.versioning.adapters.by_hand import named_by_hand
from mlops.versioning.adapters.dvc_copy import Tell, folder_of, silent
from mlops.versioning.adapters.dvc_parts import forget_parts
from mlops.versioning.adapters.dvc_transfer import REMOTE
from mlops.versioning.adapters.dvc_unnamed import Found, changed_at, give_up_uploads, held

# Of a remote each answer is waited for.
_WORKERS = 8


@dataclass(frozen=True)
class Asked:
    """What may go: what *dead* contents name and no *live* one does, or with *unnamed* whatever no live one names.

    It is from *before*. *folders* are those of all projects: one with a cache and a remote of its own has its listings
    only there.
    """

    dead: list[str]
    live: list[str]
    folders: list[str]
    before: float
    unnamed: bool = False


def sweep(repo: Repo, asked: Asked, *, dry: bool, tell: Tell) -> dict[str, int]:
    """Delete what may go; return what `Swept` says."""
    odbs = [repo.cache.local, repo.cloud.get_remote_odb(REMOTE)]
    find = _unnamed if asked.unnamed else _dead
    gone = find(odbs, asked, repo.root_dir, tell if dry else silent)
    if not dry:
        _delete(gone, asked.before, tell)
        for store in filter(None, map(folder_of, odbs)):
            store.forget_dead_drafts()
            forget_parts(store, asked.before)
        if asked.unnamed:
            give_up_uploads(odbs[1], asked.before)
    return {"objects": len(gone), "size_bytes": sum(size for _, _, size in gone)}


def _dead(odbs: list[Any], asked: Asked, own: str, tell: Tell) -> list[Found]:
    named = _named(odbs, asked.dead, needed=False)
    if named:
        with contextlib.ExitStack() as opened:
            sides = itertools.chain(odbs, _others(opened, asked.folders))
            named -= _named(_Kept(sides), asked.live, needed=True)
        named -= _named(odbs, _by_hand(own, asked), needed=False)
    return _gone(odbs, named, asked.before, tell)


def _unnamed(odbs: list[Any], asked: Asked, own: str, tell: Tell) -> list[Found]:
    for folder in asked.folders:
        if not os.path.isdir(folder):
            raise RejectedError(
                f"the folder {folder!r} of a registered project is not there, so nobody can tell what its `.dvc` files "
                "name; bring it back, or make an empty one there when it is gone for good; nothing was deleted"
            )
    with contextlib.ExitStack() as opened:
        sides = _Kept(itertools.chain(odbs, _others(opened, asked.folders)))
        kept = _named(sides, asked.live, needed=True) | _named(
            sides, _by_hand(own, asked), needed=False
        )
    found = [one for odb in odbs for one in held(odb, asked.before) if one[1] not in kept]
    tell(len(found), len(found))
    return found


def _gone(odbs: list[Any], named: set[str], before: float, tell: Tell) -> list[Found]:
    found: list[Found] = []
    asked = list(itertools.product(odbs, sorted(named)))
    with ThreadPoolExecutor(_WORKERS) as threads:
        looked = threads.map(lambda one: list(_old(one[0], {one[1]}, before)), asked)
        for done, one in enumerate(looked, 1):
            found.extend(one)
            tell(done, len(asked))
    return found


def _delete(gone: list[Found], before: float, tell: Tell) -> None:
    # The listings first: as long as one is there, its files are.
    listings = [one for one in gone if one[1].endswith(".dir")]
    files = [one for one in gone if not one[1].endswith(".dir")]
    done = 0
    with ThreadPoolExecutor(_WORKERS) as threads:
        for some in (listings, files):
            for _ in threads.map(lambda one: _delete_one(one[0], one[1], before), some):
                done += 1
                tell(done, len(gone))


def _delete_one(odb: Any, oid: str, before: float) -> None:
    # Looked at once more: an addition may have met it in the meantime.
    if any(_old(odb, {oid}, before)):
        with contextlib.suppress(FileNotFoundError):
            odb.fs.remove(odb.oid_to_path(oid))


class _Kept:
    """What an iterator yields, as often as one asks, and no further than one asks."""

    def __init__(self, source: Iterator[Any]) -> None:
        self._source, self._held = source, list[Any]()

    def __iter__(self) -> Iterator[Any]:
        yield from self._held
        for one in self._source:
            self._held.append(one)
            yield one


def _others(opened: contextlib.ExitStack, folders: list[str]) -> Iterator[Any]:
    for folder in folders:
        try:
            repo = opened.enter_context(Repo(folder))
            yield repo.cache.local
            yield repo.cloud.get_remote_odb(REMOTE)
        except (DvcException, OSError):
            continue  # a folder that is gone helps nobody


def _by_hand(own: str, asked: Asked) -> list[str]:
    # What a project gave up may still stand in its own folder: that keeps the data there, and no more.
    given_up = {(os.path.realpath(own), oid) for oid in asked.dead}
    return sorted(
        oid
        for folder in asked.folders
        for oid in named_by_hand(folder)
        if (os.path.realpath(folder), oid) not in given_up
    )


def _named(odbs: Iterable[Any], oids: list[str], *, needed: bool) -> set[str]:
    found = set(oids)
    for oid in oids:
        if not oid.endswith(".dir"):
            continue
        tree = _listing(odbs, oid)
        if tree is not None:
            found |= {str(info.value) for _, _, info in tree}
        elif needed:
            raise UnavailableError(
                f"the listing {oid} of a version is in no project's cache and on no project's remote, so "
                "nobody can tell which files it needs; nothing was deleted (`mlops data verify` tells more)"
            )
    return found


def _listing(odbs: Iterable[Any], oid: str) -> Any:
    for odb in odbs:
        try:
            return Tree.load(odb, HashInfo("md5", oid))
        except (FileNotFoundError, ObjectFormatError):
            continue
    return None


def _old(odb: Any, oids: set[str], before: float) -> Iterator[Found]:
    for oid in sorted(oids):
        try:
            about = odb.fs.info(odb.oid_to_path(oid))
        except FileNotFoundError:
            continue
        if changed_at(about) < before:
            yield odb, oid, int(about.get("size") or 0)
