# SPDX-License-Identifier: Apache-2.0
"""sweep: what only given-up contents name is deleted from cache and remote.

Nothing else is looked at, unless asked for: people keep other things in the same places with a plain `dvc`. What these
share with a given-up content stays while a `.dvc` file in a registered folder names it; what only another branch names
does not.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.versioning.adapters.by_hand import named_by_hand
from mlops.versioning.adapters.dvc_copy import Tell, folder_of, silent
from mlops.versioning.adapters.dvc_parts import forget_parts
from mlops.versioning.adapters.dvc_transfer import REMOTE
from mlops.versioning.adapters.dvc_unnamed import Found, changed_at, give_up_uploads, held

# Of a remote each answer is waited for.
_WORKERS = 8
_ADDRESS = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class Asked:
    """What may go: what *dead* contents name and no *live* one does, or with *unnamed* whatever no live one names.

    It is from *before*. *folders* are those of all projects: one with a cache and a remote of its own has its listings
    only there. What nobody names goes only from *own* places, the shared cache and the folder of this installation's
    remotes: another installation may have versions anywhere else.
    """

    dead: list[str]
    live: list[str]
    folders: list[str]
    before: float
    unnamed: bool = False
    own: tuple[str, ...] = ()


class _Lack(Enum):
    """What it means that a listing is nowhere, or nowhere whole."""

    REFUSED = "a version's: nobody can tell which files it needs"
    REFUSED_IF_DAMAGED = "by hand: it may be on another remote, with all of its files"
    PASSED_BY = "a given-up one's: what it names stays"


def sweep(repo: Repo, asked: Asked, *, dry: bool, tell: Tell) -> dict[str, int]:
    """Delete what may go; return what `Swept` says."""
    odbs = [repo.cache.local, repo.cloud.get_remote_odb(REMOTE)]
    if asked.unnamed:
        _refuse_away(asked.folders)
    with contextlib.ExitStack() as opened:
        sides = _Kept(itertools.chain(odbs, _others(opened, asked.folders)))
        gone = _found(odbs, sides, asked, repo.root_dir, tell if dry else silent)
        if gone and not dry:
            # DVC makes no object young that it meets: what people added while all this was listed is seen only now.
            meanwhile = _kept_by_hand(sides if asked.unnamed else odbs, repo.root_dir, asked)
            gone = [one for one in gone if one[1] not in meanwhile]
    if not dry:
        _delete(gone, asked.before, tell)
        for store in filter(None, map(folder_of, odbs)):
            store.forget_dead_drafts()
            forget_parts(store, asked.before)
        if asked.unnamed:
            give_up_uploads(odbs[1], asked.before)
    return {"objects": len(gone), "size_bytes": sum(size for _, _, size in gone)}


def _found(
    odbs: list[Any], sides: Iterable[Any], asked: Asked, root: str, tell: Tell
) -> list[Found]:
    dead = _named(odbs, asked.dead, _Lack.PASSED_BY)
    if not dead and not asked.unnamed:
        return []
    kept = _named(sides, asked.live, _Lack.REFUSED)
    # What a listing in another project's own cache names is there, too: only what nobody names needs it.
    kept |= _kept_by_hand(sides if asked.unnamed else odbs, root, asked)
    own = [odb for odb in odbs if asked.unnamed and _is_own(odb, asked.own)]
    found = _gone([odb for odb in odbs if odb not in own], dead - kept, asked.before, tell)
    found += [one for odb in own for one in held(odb, asked.before) if one[1] not in kept]
    if own:
        tell(len(found), len(found))
    return found


def _is_own(odb: Any, own: tuple[str, ...]) -> bool:
    folder = folder_of(odb)
    if folder is None:
        return False
    # By where it really is: a link may lead to what others share.
    place = os.path.realpath(folder.path)
    return any(place.startswith(f"{_known_as(one)}{os.sep}") for one in own)


def _known_as(own: str) -> str:
    above, name = os.path.split(own)
    return os.path.join(os.path.realpath(above), name)


def _refuse_away(folders: list[str]) -> None:
    for folder in folders:
        # An empty one may be where nothing is mounted just now.
        if not os.path.isdir(own := os.path.join(folder, ".dvc")):
            raise RejectedError(
                f"{own!r} of a registered project is not there, so nobody can tell what its `.dvc` files name; bring the "
                f"project's folder back (mount it), or make an empty {own!r} when it is gone for good; nothing was deleted"
            )


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


def _kept_by_hand(sides: Iterable[Any], own: str, asked: Asked) -> set[str]:
    # What a project gave up may still stand in its own folder: that keeps the data there, and no more.
    given_up = {(os.path.realpath(own), oid) for oid in asked.dead}
    named = {
        oid
        for folder in asked.folders
        for oid in named_by_hand(folder)
        if (os.path.realpath(folder), oid) not in given_up
    }
    return _named(sides, sorted(named), _Lack.REFUSED_IF_DAMAGED)


def _named(sides: Iterable[Any], oids: list[str], lack: _Lack) -> set[str]:
    found = set(oids)
    for oid in oids:
        if oid.endswith(".dir"):
            found |= _files(sides, oid, lack)
    return found


def _files(sides: Iterable[Any], oid: str, lack: _Lack) -> set[str]:
    """Return what a listing names, by the first side that has it as its address says."""
    is_damaged = False
    for odb in sides:
        try:
            with odb.fs.open(odb.oid_to_path(oid), "rb") as file:
                read = file.read()
        except FileNotFoundError:
            continue
        if hashlib.md5(read, usedforsecurity=False).hexdigest() + ".dir" == oid:
            return _listed(read)
        is_damaged = True
    if lack is _Lack.REFUSED or (is_damaged and lack is _Lack.REFUSED_IF_DAMAGED):
        raise UnavailableError(
            f"the listing {oid} of a version or a `.dvc` file is whole in no project's cache and on no project's remote, "
            "so nobody can tell which files it needs; nothing was deleted (`mlops data verify` tells more)"
        )
    return set()


def _listed(read: bytes) -> set[str]:
    try:
        found = {str(one["md5"]) for one in json.loads(read)}
    except (LookupError, TypeError, ValueError):
        return set()  # somebody's own content, no listing of DVC's
    # It may be of anybody who can write a remote, and is about to become a path.
    return {one for one in found if _ADDRESS.fullmatch(one)}


def _old(odb: Any, oids: set[str], before: float) -> Iterator[Found]:
    for oid in sorted(oids):
        try:
            about = odb.fs.info(odb.oid_to_path(oid))
        except FileNotFoundError:
            continue
        if changed_at(about) < before:
            yield odb, oid, int(about.get("size") or 0)
