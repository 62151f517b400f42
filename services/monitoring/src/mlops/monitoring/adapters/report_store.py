# SPDX-License-Identifier: Apache-2.0
"""Files of reports, here or in object storage (fsspec): written whole, found again, removed when there are too many."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import fsspec


@dataclass(frozen=True)
class Kept:
    """How much is kept: the newest *most*, of them those of the last *days*."""

    most: int
    days: float = math.inf


def save(address: str, content: bytes) -> int:
    """Write a file that nobody sees in part; return its size."""
    files, path = fsspec.url_to_fs(address)
    if "file" not in files.protocol:
        files.pipe_file(path, content)
        return len(content)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f"{target.name}.part")
    draft.write_bytes(content)
    draft.replace(target)
    return len(content)


def prune(folder: str, ending: str, kept: Kept) -> list[str]:
    """Remove the files of a folder that are no longer kept; return the names of those, without their ending."""
    files, root = fsspec.url_to_fs(folder)
    files.invalidate_cache()  # others write there, too
    try:
        found = [path for path in files.ls(root, detail=False) if str(path).endswith(ending)]
    except FileNotFoundError:
        return []
    aged = sorted((aware(files.modified(path)), str(path)) for path in found)
    many, now = len(aged) - kept.most, datetime.now(UTC)
    old = [
        path
        for place, (written_at, path) in enumerate(aged)
        if place < many or (now - written_at) / timedelta(days=1) > kept.days
    ]
    for path in old:
        files.rm_file(path)
    return [path.rpartition("/")[2].removesuffix(ending) for path in old]


def remove(address: str) -> None:
    """Remove a file or a folder; what is not there is fine."""
    files, path = fsspec.url_to_fs(address)
    if files.exists(path):
        files.rm(path, recursive=True)


def aware(at: datetime) -> datetime:
    """Return a time with its zone; storage that names none means UTC."""
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
