# SPDX-License-Identifier: Apache-2.0
"""settle: data that changed while DVC added them become a whole version all the same.

DVC measures, hashes and copies one after the other. A file that grows in between (the usual way data grow) is copied
longer than it was hashed, and lies in the cache under an address that is not its own. The copy is then the truth.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dvc.fs import localfs
from dvc.repo import Repo
from dvc_data.hashfile.hash import file_md5
from dvc_data.hashfile.hash_info import HashInfo

from mlops.versioning.adapters import dvc_transfer as transfer


def settle(repo: Repo, stage: Any) -> bool:
    """Make the stage say what the cache holds; return False when it has to be added again."""
    out = stage.outs[0]
    if out.hash_info.isdir:
        if _drop_torn(repo, out):
            return False
    else:
        _adopt_copy(repo, out)
    out.meta.size = _size(repo, out)
    stage.dump()
    return True


def _adopt_copy(repo: Repo, out: Any) -> None:
    held = _place(repo, out.hash_info.value)
    address = _address(held)
    if address == out.hash_info.value:
        return
    true_place = _place(repo, address)
    true_place.parent.mkdir(parents=True, exist_ok=True)
    held.replace(true_place)
    out.hash_info = HashInfo("md5", address)


def _drop_torn(repo: Repo, out: Any) -> bool:
    # A folder's listing names the addresses of its files, so it cannot adopt what was copied.
    files = _files(repo, out)
    torn = [oid for oid in files if _address(_place(repo, oid)) != oid]
    for oid in torn:
        repo.cache.local.delete(oid)
    return bool(torn)


def _size(repo: Repo, out: Any) -> int:
    return sum(_place(repo, oid).stat().st_size for oid in _files(repo, out))


def _files(repo: Repo, out: Any) -> list[str]:
    oids = transfer.objects(repo, out.hash_info.value)
    return [oid for oid in oids if not oid.endswith(".dir")]


def _place(repo: Repo, oid: str) -> Path:
    return Path(repo.cache.local.oid_to_path(oid))


def _address(file: Path) -> str:
    return str(file_md5(str(file), localfs))
