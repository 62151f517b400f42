# SPDX-License-Identifier: Apache-2.0
"""Logs: one file per component, turned over when it has grown, and its last lines as the cause of a failure."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

LARGE_AT_START = 5 * 1024 * 1024
LARGE_WHILE_RUNNING = 50 * 1024 * 1024
_KEPT = 3
_TAIL_BYTES = 16 * 1024


def turn_over(path: Path, larger_than: int = LARGE_AT_START) -> None:
    """Move a large log to `.1` (and that to `.2`, …) before its component starts."""
    if size(path) <= larger_than:
        return
    _make_room(path)
    path.replace(_numbered(path, 1))


def turn_over_open(path: Path, larger_than: int = LARGE_WHILE_RUNNING) -> None:
    """Copy a large log to `.1` and empty it; its writer appends, so it goes on at the beginning."""
    if size(path) <= larger_than:
        return
    _make_room(path)
    shutil.copyfile(path, _numbered(path, 1))
    os.truncate(path, 0)


def last_lines(path: Path, most: int = 8, begin: int = 0) -> list[str]:
    """Return the last lines that say something, of what was written after *begin* bytes."""
    try:
        with path.open("rb") as file:
            file.seek(max(begin, size(path) - _TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line.rstrip()[:500] for line in text.splitlines() if line.strip()][-most:]


def first_to_last(path: Path) -> Iterator[Path]:
    """Yield the files of a log, oldest first."""
    for number in range(_KEPT, 0, -1):
        if _numbered(path, number).exists():
            yield _numbered(path, number)
    if path.exists():
        yield path


def _make_room(path: Path) -> None:
    for number in range(_KEPT, 1, -1):
        older = _numbered(path, number - 1)
        if older.exists():
            older.replace(_numbered(path, number))


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")


def size(path: Path) -> int:
    """Return the bytes of a file, 0 when it is missing."""
    try:
        return path.stat().st_size
    except OSError:
        return 0
