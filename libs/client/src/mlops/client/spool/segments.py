# SPDX-License-Identifier: Apache-2.0
"""Segments: a journal's records in numbered files, read from any position; half a line at the end waits for the rest."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

SEGMENT_BYTES = 8 * 1024 * 1024
WINDOW_BYTES = 256 * 1024


@dataclass(frozen=True)
class Window:
    """Whole lines, and the position behind them; `torn` bytes at a dead writer's end are nobody's."""

    lines: bytes
    segment: int
    offset: int
    torn: int = 0


def path(folder: Path, segment: int) -> Path:
    """Return the file of a segment."""
    return folder / f"{segment:06d}.log"


def numbers(folder: Path) -> list[int]:
    """Return the segments that are there, in order."""
    found = (file.stem for file in folder.glob("*.log"))
    return sorted(int(name) for name in found if name.isdigit())


def read(folder: Path, segment: int, offset: int, *, closed: bool = False) -> Window | None:
    """Return the next lines from a position, None at the end.

    A writer's last segment may end within a line; of a *closed* journal nothing more comes.
    """
    while True:
        later = [number for number in numbers(folder) if number > segment]
        data = _read_lines(path(folder, segment), offset)
        cut = data.rfind(b"\n") + 1
        if cut:
            return Window(data[:cut], segment, offset + cut)
        if not later and not closed:
            return None
        if data:
            return Window(b"", segment, offset + len(data), torn=len(data))
        if not later:
            return None
        segment, offset = later[0], 0


def _read_lines(file: Path, offset: int) -> bytes:
    """Return at most a window, more only when a single line is longer."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return b""
    try:
        data = os.pread(descriptor, WINDOW_BYTES, offset)
        while b"\n" not in data and len(data) % WINDOW_BYTES == 0 and data:
            more = os.pread(descriptor, WINDOW_BYTES, offset + len(data))
            if not more:
                break
            data += more
        return data
    finally:
        os.close(descriptor)


def remove_before(folder: Path, segment: int) -> int:
    """Remove delivered segments; return their bytes."""
    freed = 0
    for number in numbers(folder):
        if number < segment:
            file = path(folder, number)
            with contextlib.suppress(OSError):
                size = file.stat().st_size
                file.unlink()
                freed += size
    return freed


def remove(folder: Path) -> None:
    """Remove a delivered journal; whoever is killed meanwhile leaves nothing that looks like one."""
    hidden = folder.with_name(f".{folder.name}")
    try:
        folder.rename(hidden)
    except OSError:
        hidden = folder
    shutil.rmtree(hidden, ignore_errors=True)


def size_of(folder: Path) -> int:
    """Return the bytes below a folder."""
    total = 0
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    total += size_of(Path(entry.path))
                else:
                    total += entry.stat(follow_symlinks=False).st_size
    return total
