# SPDX-License-Identifier: Apache-2.0
"""sweep: what only given-up contents name is deleted from cache and remote.

Nothing else is ever looked at: people keep other things in the same places with a plain `dvc`.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from dvc.repo import Repo
from dvc_data.hashfile.hash_info import HashInfo
from dvc_data.hashfile.tree import Tree
from dvc_objects.errors import ObjectFormatError

from mlops.chassis.errors import UnavailableError
from mlops.versioning.adapters.dvc_transfer import REMOTE

Found = tuple[Any, str, int]


def sweep(
    repo: Repo, dead: list[str], live: list[str], *, grace_s: float, dry: bool
) -> dict[str, int]:
    """Delete what *dead* names, *live* does not, and is older than *grace_s*; return what `Swept` says."""
    odbs = [repo.cache.local, repo.cloud.get_remote_odb(REMOTE)]
    named = _named(odbs, dead, needed=False)
    if named:
        named -= _named(odbs, live, needed=True)
    before = time.time() - grace_s
    gone = [one for odb in odbs for one in _old(odb, named, before)]
    # The listings first: as long as one is there, its files are.
    for odb, oid, _ in sorted(gone, key=lambda one: not one[1].endswith(".dir")):
        # Looked at once more: an addition may have met it in the meantime.
        if not dry and any(_old(odb, {oid}, before)):
            with contextlib.suppress(FileNotFoundError):
                odb.fs.remove(odb.oid_to_path(oid))
    return {"objects": len(gone), "size_bytes": sum(size for _, _, size in gone)}


def _named(odbs: list[Any], oids: list[str], *, needed: bool) -> set[str]:
    found = set(oids)
    for oid in oids:
        if not oid.endswith(".dir"):
            continue
        tree = _listing(odbs, oid)
        if tree is not None:
            found |= {str(info.value) for _, _, info in tree}
        elif needed:
            raise UnavailableError(
                f"the listing {oid} of a version is neither in the cache nor on the remote {odbs[1].path!r}, so "
                "nobody can tell which files it needs; nothing was deleted (`mlops data verify` tells more)"
            )
    return found


def _listing(odbs: list[Any], oid: str) -> Any:
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
        if _changed_at(about) < before:
            yield odb, oid, int(about.get("size") or 0)


def _changed_at(about: dict[str, Any]) -> float:
    for name in ("mtime", "LastModified", "last_modified", "updated"):
        told = about.get(name)
        if isinstance(told, datetime):
            return told.timestamp()
        if isinstance(told, int | float):
            return float(told)
    # A remote that does not say when is never swept.
    return math.inf
