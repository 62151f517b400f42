# SPDX-License-Identifier: Apache-2.0
"""A file's bytes as a view of the mapped file: the kernel's pages themselves, shared by all who read them."""

from __future__ import annotations

import errno
import mmap
from collections.abc import Iterator
from pathlib import Path

from mlops.client.errors import MLOpsClientError, NotFoundError

_TOO_MANY = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


def view(path: Path) -> memoryview:
    """Return the bytes of a file, read-only; they stay when the file is removed."""
    try:
        with path.open("rb") as file:
            if not path.stat().st_size:
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise unreadable(path, error) from error


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


def line_end(held: memoryview, start: int) -> int:
    """Return where the line that *start* is in ends, its end included."""
    pages = held.obj
    find = pages.find if isinstance(pages, bytes | mmap.mmap) else bytes(held).find
    return (find(b"\n", start) + 1) or len(held)


def unreadable(path: Path, error: OSError) -> MLOpsClientError:
    """Return what to say of a file that the system does not give."""
    if isinstance(error, FileNotFoundError):
        return gone(path)
    if error.errno in _TOO_MANY:
        told = f"too many files are open: {error.strerror}; each one that is mapped stays open"
        hint = "let go of views that are no longer needed, or allow more with `ulimit -n`"
        return MLOpsClientError("dataset", "read", told, hint)
    return MLOpsClientError("dataset", "read", f"{path} cannot be read: {error}")


def gone(path: Path) -> NotFoundError:
    """Return the error of a file that is no longer in the cache."""
    told = f"{path} is no longer in the cache: its version was removed after it was opened here"
    return NotFoundError("dataset", "read", told, "open the dataset again, another version of it")
