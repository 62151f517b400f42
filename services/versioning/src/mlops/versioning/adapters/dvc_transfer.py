# SPDX-License-Identifier: Apache-2.0
"""push and fetch: whole contents between cache and remote, and the proof that they are there.

DVC's own `repo.cloud` is not used: given a folder's address it moves the listing without the files, trusts an index
of what the remote held the last time, and passes over what is nowhere without a word. Here every object is named.
To a remote that is a folder of the same file system objects go as clones or hard links: nothing is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dvc.repo import Repo
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.transfer import transfer
from fsspec.callbacks import Callback

from mlops.chassis.errors import UnavailableError
from mlops.versioning.adapters.dvc_restore import contents
from mlops.versioning.adapters.dvc_store import Store

REMOTE = "mlops"

Tell = Callable[[int, int], None]


def silent(_done: int, _whole: int) -> None:
    """Hear nothing of how far a transfer is."""


def push(repo: Repo, oids: list[str], tell: Tell = silent) -> int:
    """Copy what the remote lacks; return how many objects, after the remote was seen to hold all of them."""
    cache, remote = repo.cache.local, repo.cloud.get_remote_odb(REMOTE)
    listings = set(oids) - _files(set(oids))
    if gone := _not_brought(remote, cache, listings):
        raise UnavailableError(f"neither cache nor remote {remote.path!r} holds {min(gone)}")
    wanted = {oid for content in oids for oid in objects(repo, content)}
    lacking = _lacking(remote, wanted)
    # The files first, the listings last: a listing on the remote means that its files are there.
    files = _files(lacking)
    _copy(cache, remote, files, tell, check=False)
    _copy(cache, remote, lacking - files, silent, check=False)
    if missing := _lacking(remote, lacking):
        raise UnavailableError(
            f"the remote lacks {len(missing)} objects after the push: {min(missing)} …"
        )
    return len(lacking)


def fetch(repo: Repo, oid: str, tell: Tell = silent) -> bool:
    """Copy what the cache lacks of a content, checking each object; return whether it then has everything."""
    cache, remote = repo.cache.local, repo.cloud.get_remote_odb(REMOTE)
    if _not_brought(remote, cache, {oid}):
        return False
    lacking = _lacking(cache, set(objects(repo, oid)))
    _copy(remote, cache, lacking, tell, check=True)
    return not _lacking(cache, lacking)


def objects(repo: Repo, oid: str) -> list[str]:
    """Return the addresses of everything a content consists of; a folder's listing must be in the cache."""
    files = contents(Store(repo.cache.local.path), oid)
    return [oid] if "" in files else [*files.values(), oid]


def held(repo: Repo, oids: set[str]) -> set[str]:
    """Return which objects cache or remote hold."""
    lacking = _lacking(repo.cache.local, oids)
    if not lacking:
        return oids
    return oids - _lacking(repo.cloud.get_remote_odb(REMOTE), lacking)


def named(repo: Repo, oid: str) -> set[str]:
    """Return the addresses of a content as far as they can be had: only its own where its listing is nowhere."""
    if oid.endswith(".dir"):
        if _not_brought(repo.cloud.get_remote_odb(REMOTE), repo.cache.local, {oid}):
            return {oid}
        return set(objects(repo, oid))
    return {oid}


def folder_of(odb: Any) -> Store | None:
    """Return the store of a remote that is a folder of this machine, None of another one."""
    return Store(odb.path) if odb.fs.protocol == "local" else None


def _not_brought(remote: Any, cache: Any, oids: set[str]) -> set[str]:
    """Bring what the cache lacks, or holds as a damaged listing; return what is nowhere."""
    store = Store(cache.path)
    for oid in oids - _files(oids):
        if store.size(oid) is not None and not store.sound(oid):
            store.put_aside(oid)
    _copy(remote, cache, _lacking(cache, oids), silent, check=True)
    return _lacking(cache, oids)


def _lacking(odb: Any, oids: set[str]) -> set[str]:
    if store := folder_of(odb):
        return {oid for oid in oids if store.size(oid) is None}
    return oids - set(odb.oids_exist(list(oids)))


def _files(oids: Iterable[str]) -> set[str]:
    return {oid for oid in oids if not oid.endswith(".dir")}


def _copy(source: Any, target: Any, oids: set[str], tell: Tell, *, check: bool) -> None:
    here, there = folder_of(source), folder_of(target)
    if here and there:
        _take_over(here, there, oids, tell, check=check)
        return
    held = oids & set(source.oids_exist(list(oids)))
    if not held:
        return
    infos = {HashInfo("md5", oid) for oid in held}
    if failed := transfer(source, target, infos, verify=True, callback=_Told(tell)).failed:
        raise UnavailableError(f"{len(failed)} objects could not be copied to {target.path!r}")


def _take_over(source: Store, target: Store, oids: set[str], tell: Tell, *, check: bool) -> None:
    held = [oid for oid in oids if source.size(oid) is not None]
    for done, oid in enumerate(held, 1):
        target.bring(oid, source, check=check)
        tell(done, len(held))


class _Told(Callback):  # type: ignore[misc] # fsspec has no types
    """Tells how many objects of how many are through."""

    def __init__(self, tell: Tell) -> None:
        super().__init__()
        self._tell = tell

    def call(self, *_: Any, **__: Any) -> None:
        """Pass on where it stands; fsspec calls this after each step."""
        self._tell(self.value, self.size or 0)
