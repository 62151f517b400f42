# SPDX-License-Identifier: Apache-2.0
"""push and fetch: whole contents between cache and remote, and the proof that they are there.

DVC's own `repo.cloud` is not used: given a folder's address it moves the listing without the files, trusts an index
of what the remote held the last time, and passes over what is nowhere without a word. Here every object is named.
How objects go is `dvc_copy.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from dvc.repo import Repo

from mlops.chassis.errors import UnavailableError
from mlops.versioning.adapters.dvc_copy import Tell, absent, copy, folder_of, silent
from mlops.versioning.adapters.dvc_pace import Pace
from mlops.versioning.adapters.dvc_restore import contents
from mlops.versioning.adapters.dvc_settle import settle
from mlops.versioning.adapters.dvc_store import Store

REMOTE = "mlops"


def push(repo: Repo, oids: list[str], tell: Tell = silent, pace: Pace | None = None) -> int:
    """Copy what the remote lacks; return how many objects, after the remote was seen to hold all of them.

    What cache and remote hold is on the disk then: what is pushed is about to be named.
    """
    cache, remote = repo.cache.local, repo.cloud.get_remote_odb(REMOTE)
    listings = set(oids) - _files(set(oids))
    if gone := _not_brought(remote, cache, listings, pace):
        raise UnavailableError(f"neither cache nor remote {remote.path!r} holds {min(gone)}")
    wanted = {oid for content in oids for oid in objects(repo, content)}
    lacking = absent(remote, wanted)
    # The files first, the listings last: a listing on the remote means that its files are there.
    files = _files(lacking)
    sure = copy(cache, remote, files, tell, pace, check=False)
    sure |= copy(cache, remote, lacking - files, silent, pace, check=False)
    if missing := absent(remote, lacking - sure):
        raise UnavailableError(
            f"the remote lacks {len(missing)} objects after the push: {min(missing)} …"
        )
    flush(repo)
    return len(lacking)


def flush(repo: Repo) -> None:
    """Return when what cache and remote hold is on the disk."""
    sides = folder_of(repo.cache.local), folder_of(repo.cloud.get_remote_odb(REMOTE))
    settle(*(store.path for store in sides if store))


def fetch(repo: Repo, oid: str, tell: Tell = silent, pace: Pace | None = None) -> bool:
    """Copy what the cache lacks of a content, checking each object; return whether it then has everything."""
    cache, remote = repo.cache.local, repo.cloud.get_remote_odb(REMOTE)
    if _not_brought(remote, cache, {oid}, pace):
        return False
    lacking = absent(cache, set(objects(repo, oid)))
    copy(remote, cache, lacking, tell, pace, check=True)
    return not absent(cache, lacking)


def objects(repo: Repo, oid: str) -> list[str]:
    """Return the addresses of everything a content consists of; a folder's listing must be in the cache."""
    files = contents(Store(repo.cache.local.path), oid)
    return [oid] if "" in files else [*files.values(), oid]


def held(repo: Repo, oids: set[str]) -> set[str]:
    """Return which objects cache or remote hold."""
    lacking = absent(repo.cache.local, oids)
    if not lacking:
        return oids
    return oids - absent(repo.cloud.get_remote_odb(REMOTE), lacking)


def named(repo: Repo, oid: str, pace: Pace | None = None) -> set[str]:
    """Return the addresses of a content as far as they can be had: only its own where its listing is nowhere."""
    if oid.endswith(".dir"):
        remote = repo.cloud.get_remote_odb(REMOTE)
        if _not_brought(remote, repo.cache.local, {oid}, pace):
            return {oid}
        return set(objects(repo, oid))
    return {oid}


def _not_brought(remote: Any, cache: Any, oids: set[str], pace: Pace | None = None) -> set[str]:
    """Bring what the cache lacks, or holds as a damaged listing; return what is nowhere."""
    store = Store(cache.path)
    for oid in oids - _files(oids):
        if store.size(oid) is not None and not store.sound(oid):
            store.put_aside(oid)
    copy(remote, cache, absent(cache, oids), silent, pace, check=True)
    return absent(cache, oids)


def _files(oids: Iterable[str]) -> set[str]:
    return {oid for oid in oids if not oid.endswith(".dir")}
