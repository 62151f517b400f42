# SPDX-License-Identifier: Apache-2.0
"""A file's bytes as a view of the mapped file: the kernel's pages themselves, shared by all who read them."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

from mlops.client.errors import NotFoundError


def view(path: Path) -> memoryview:
    """Return the bytes of a file, read-only; they stay when the file is removed."""
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError as error:
        raise gone(path) from error


def lines(held: memoryview) -> Iterator[memoryview]:
    """Yield the lines without their ends."""
    pages = held.obj
    find = pages.find if isinstance(pages, bytes | mmap.mmap) else bytes(held).find
    start, end = 0, len(held)
    while start < end:
        stop = find(b"\n", start)
        stop = end if stop < 0 else stop
        cut = stop - 1 if stop > start and held[stop - 1] == ord("\r") else stop
        yield held[start:cut]
        start = stop + 1


def gone(path: Path) -> NotFoundError:
    """Return the error of a file that is no longer in the cache."""
    told = f"{path} is no longer in the cache: its version was removed after it was opened here"
    return NotFoundError("dataset", "read", told, "open the dataset again, another version of it")
