# SPDX-License-Identifier: Apache-2.0
"""From what versioning answers to a Dataset: the listing of its files is read in the cache, which must be of this machine."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from mlops.client.datasets.dataset import Dataset
from mlops.client.datasets.mapped import gone
from mlops.client.errors import NoAnswerError, NotFoundError

Ask = Callable[[], Mapping[str, Any]]
_PAUSE_S = 0.2
_FOLDER = ".dir"


def opened(ask: Ask, wait_s: float) -> Dataset:
    """Ask until the content is in the cache, then return it."""
    until = time.monotonic() + wait_s
    while not (found := ask()).get("ready"):
        if time.monotonic() >= until:
            told = f"the content is not in the cache after {wait_s:g} s"
            hint = "it is still being fetched; ask again"
            raise NoAnswerError("versioning", "open dataset", told, hint)
        time.sleep(_PAUSE_S)
    objects = Path(str(found["objects"]))
    if not objects.is_dir():
        told = f"the platform's cache {objects} is not on this machine"
        hint = (
            "open it on the platform's machine or mount the cache there, or get a copy: "
            "`dvc pull` in a clone of the project, from a remote that both can reach"
        )
        raise NotFoundError("dataset", "open dataset", told, hint)
    return Dataset(
        project=str(found["project"]),
        name=str(found["name"]),
        version=int(found["version"]),
        hash=str(found["hash"]),
        size_bytes=int(found["size_bytes"]),
        paths=_paths(objects, str(found["hash"]), PurePosixPath(str(found["path"])).name),
    )


def _paths(objects: Path, hash_: str, name: str) -> dict[str, Path]:
    """Return where each file lies; DVC lists a folder's files by their names and addresses."""
    if not hash_.endswith(_FOLDER):
        return {name: _object(objects, hash_)}
    listing = _object(objects, hash_)
    try:
        entries = json.loads(listing.read_bytes())
    except FileNotFoundError as error:
        raise gone(listing) from error
    return {str(one["relpath"]): _object(objects, str(one["md5"])) for one in entries}


def _object(objects: Path, hash_: str) -> Path:
    return objects / hash_[:2] / hash_[2:]
