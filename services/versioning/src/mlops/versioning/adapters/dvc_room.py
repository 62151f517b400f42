# SPDX-License-Identifier: Apache-2.0
"""check: a project's contents together stay below its quota; what several of them share counts once."""

from __future__ import annotations

from collections.abc import Sequence

from mlops.chassis.errors import RejectedError
from mlops.versioning.adapters.dvc_restore import contents
from mlops.versioning.adapters.dvc_store import Store

_GB = 1e9


def check(store: Store, oid: str, held: Sequence[str], limit_bytes: int) -> None:
    """Raise RejectedError when *oid*, which the store holds, together with *held* is above *limit_bytes*.

    Contents that are no longer in the store, because it was cleaned by hand, are not counted: their sizes would have
    to be asked of the remote one by one.
    """
    before = {one for content in held for one in _objects(store, content)}
    new = _objects(store, oid) - before
    if not new:
        return
    used, more = _size(store, before), _size(store, new)
    if used + more <= limit_bytes:
        return
    raise RejectedError(
        f"the project's versions hold {used / _GB:.3f} GB and this content adds {more / _GB:.3f} GB: more than "
        f"[data] quota_gb = {limit_bytes / _GB:g}; give versions up (`mlops data remove`, then `mlops data gc`), "
        "or raise quota_gb in mlops.toml and register again"
    )


def _objects(store: Store, oid: str) -> set[str]:
    if store.size(oid) is None:
        return set()
    try:
        return {oid, *contents(store, oid).values()}
    except FileNotFoundError:
        return set()


def _size(store: Store, oids: set[str]) -> int:
    return sum(store.size(oid) or 0 for oid in oids)
