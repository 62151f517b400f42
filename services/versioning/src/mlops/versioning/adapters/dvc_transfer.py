# SPDX-License-Identifier: Apache-2.0
"""push and fetch: whole contents between cache and remote, and the proof that they are there.

DVC's own `repo.cloud` is not used: given a folder's address it moves the listing without the files, trusts an index
of what the remote held the last time, and passes over what is nowhere without a word. Here every object is named.
"""

from __future__ import annotations

from typing import Any

from dvc.repo import Repo
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.transfer import transfer
from dvc_data.hashfile.tree import Tree

from mlops.chassis.errors import UnavailableError

REMOTE = "mlops"


def push(repo: Repo, oids: list[str]) -> int:
    """Copy what the remote lacks; return how many objects, after the remote was seen to hold all of them."""
    cache, remote = repo.cache.local, repo.cloud.get_remote_odb(REMOTE)
    listings = set(oids) - _files(set(oids))
    _copy(remote, cache, _lacking(cache, listings))
    if gone := _lacking(cache, listings):
        raise UnavailableError(f"neither cache nor remote {remote.path!r} holds {min(gone)}")
    wanted = {oid for content in oids for oid in objects(repo, content)}
    # The files first, the listings last: a listing on the remote means that its files are there.
    lacking = _lacking(remote, wanted)
    for part in (_files(lacking), lacking - _files(lacking)):
        _copy(cache, remote, part)
    if missing := _lacking(remote, wanted):
        raise UnavailableError(
            f"the remote lacks {len(missing)} objects after the push: {min(missing)} …"
        )
    return len(lacking)


def fetch(repo: Repo, oid: str) -> bool:
    """Copy what the cache lacks of a content, checking each object; return whether it then has everything."""
    cache, remote = repo.cache.local, repo.cloud.get_remote_odb(REMOTE)
    _copy(remote, cache, _lacking(cache, {oid}))
    if _lacking(cache, {oid}):
        return False
    wanted = set(objects(repo, oid))
    _copy(remote, cache, _lacking(cache, wanted))
    return not _lacking(cache, wanted)


def objects(repo: Repo, oid: str) -> list[str]:
    """Return the addresses of everything a content consists of; a folder's listing must be in the cache."""
    content = HashInfo("md5", oid)
    if not content.isdir:
        return [oid]
    tree: Any = Tree.load(repo.cache.local, content)
    return [*(str(info.value) for _, (_, info) in tree.iteritems()), oid]


def _lacking(odb: Any, oids: set[str]) -> set[str]:
    return oids - set(odb.oids_exist(list(oids)))


def _files(oids: set[str]) -> set[str]:
    return {oid for oid in oids if not HashInfo("md5", oid).isdir}


def _copy(source: Any, target: Any, oids: set[str]) -> None:
    contents = {HashInfo("md5", oid) for oid in oids & set(source.oids_exist(list(oids)))}
    if contents and (failed := transfer(source, target, contents, verify=True).failed):
        raise UnavailableError(f"{len(failed)} objects could not be copied to {target.path!r}")
