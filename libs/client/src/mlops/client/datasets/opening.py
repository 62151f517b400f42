# SPDX-License-Identifier: Apache-2.0
"""From what versioning answers to a Dataset: its files are mapped in the platform's cache, or in one of this machine's own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from mlops.client.datasets import fetching, trimming
from mlops.client.datasets.dataset import Dataset
from mlops.client.datasets.fetching import FOLDER, place_of
from mlops.client.errors import MLOpsClientError, NoAnswerError

Ask = Callable[[], Mapping[str, Any]]
# From what versioning answered, an address, and how much of it is here.
Get = Callable[[Mapping[str, Any], str, int], AbstractContextManager[tuple[int, Iterator[bytes]]]]
_PAUSE_S = 0.2
# What a dataset has given out (paths, batches, views) outlives it, so nothing is let go before the process ends.
_HELD: dict[tuple[Path, str], BinaryIO] = {}


def opened(ask: Ask, wait_s: float, get: Get) -> Dataset:
    """Ask until the content is in the platform's cache, then return it; *get* brings it from another machine."""
    until = time.monotonic() + wait_s
    while not (found := ask()).get("ready"):
        if time.monotonic() >= until:
            told = f"the content is not in the cache after {wait_s:g} s"
            hint = "it is still being fetched; ask again"
            raise NoAnswerError("versioning", "open dataset", told, hint)
        time.sleep(_PAUSE_S)
    return Dataset(
        project=str(found["project"]),
        name=str(found["name"]),
        version=int(found["version"]),
        hash=str(found["hash"]),
        size_bytes=int(found["size_bytes"]),
        paths=_here(found, get),
    )


def _here(found: Mapping[str, Any], get: Get) -> dict[str, Path]:
    """Return where the files lie: for as long as this process lives, as far as that is in our hands."""
    hash_, name = str(found["hash"]), PurePosixPath(str(found["path"])).name
    paths = _paths(Path(str(found["objects"])), hash_, name)
    # Not `exists`: that raises where a folder above belongs to somebody else, and says nothing of reading.
    if paths is not None and all(os.access(path, os.R_OK) for path in paths.values()):
        return paths
    own, limit = fetching.own_cache() / "files" / "md5", trimming.limit_bytes()
    brought = list[str]()

    def counted(address: str, offset: int) -> AbstractContextManager[tuple[int, Iterator[bytes]]]:
        brought.append(address)
        return get(found, address, offset)

    with trimming.nothing_goes(own):
        # Before it comes: only what a note names is ever trimmed.
        is_held = _hold(own, hash_)
        fetching.fetched(hash_, counted, own)
    if brought and is_held:
        trimming.trim(own, limit)
    paths = _paths(own, hash_, name)
    if paths is None:
        told = f"{place_of(own, hash_)} is gone again"
        raise MLOpsClientError("dataset", "open dataset", told, "open it again")
    return paths


def _hold(objects: Path, address: str) -> bool:
    held = trimming.hold(address, objects)
    if held is None:
        return False
    before = _HELD.get((objects, address))
    _HELD[objects, address] = held
    if before is not None:
        before.close()
    return True


def _paths(objects: Path, hash_: str, name: str) -> dict[str, Path] | None:
    """Return where each file lies; None without DVC's listing of a folder's files by their names and addresses."""
    if not hash_.endswith(FOLDER):
        return {name: place_of(objects, hash_)}
    try:
        entries = json.loads(place_of(objects, hash_).read_bytes())
    except OSError:
        return None
    return {str(one["relpath"]): place_of(objects, str(one["md5"])) for one in entries}
