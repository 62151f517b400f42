# SPDX-License-Identifier: Apache-2.0
"""Bytes: a file is read once, and what is hashed is what is written.

A large copy goes past the kernel's page cache where the system can (`O_DIRECT`): filling fresh pages costs as much
processor time as the MD5 itself and pushes out what others have in memory. It is on the disk when it is done.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import mmap
import os
from collections.abc import Callable

Count = Callable[[int], None]

MODE = 0o444
# Larger pieces cost more: they fall out of the processor's cache between the reading, the hashing and the writing.
_PIECE_BYTES = 1 << 16
_TELL_BYTES = 1 << 22
# Each direct write waits for the disk: small ones would wait often, and a short file would wait for nothing.
_DIRECT_BYTES = 1 << 22
_DIRECT_FROM_BYTES = 1 << 24
_O_DIRECT = getattr(os, "O_DIRECT", 0)


def silent(_: int) -> None:
    """Count nothing."""


def md5_of(oid: str) -> str:
    """Return the hash in an address."""
    return oid.partition(".")[0]


def made(path: str, flags: int) -> int:
    """Make a file that only its maker can write; the mode is what DVC, and we, trust."""
    return os.open(path, flags | os.O_EXCL, MODE)


def digest(file: str, count: Count) -> tuple[str, int]:
    """Return the MD5 and the length of a file; other threads run meanwhile."""
    return _passed_through(file, memoryview(bytearray(_PIECE_BYTES)), _nowhere, count)


def begins_with(file: str, oid: str, size: int) -> bool:
    """Read the first *size* bytes of a file and tell whether they are those of *oid*."""
    found, left = hashlib.md5(usedforsecurity=False), size
    with open(file, "rb", buffering=0) as opened:
        while left and (piece := opened.read(min(left, _PIECE_BYTES))):
            found.update(piece)
            left -= len(piece)
    return not left and found.hexdigest() == md5_of(oid)


def copy(source: str, target: str, count: Count) -> tuple[str, int]:
    """Copy to a new file and return the copy's MD5 and length: no change of *source* in between can tear them apart."""
    large = os.stat(source).st_size >= _DIRECT_FROM_BYTES
    # Whole pages, as direct writing asks for; first, for there may be no room for them.
    pages = memoryview(mmap.mmap(-1, _DIRECT_BYTES if large else _PIECE_BYTES))
    file, is_direct = _opened(target, large=large)
    buffer = pages if is_direct else pages[:_PIECE_BYTES]
    try:
        found = _passed_through(source, buffer, lambda piece: _write(file, piece), count)
        if is_direct:
            os.fdatasync(file)
        return found
    finally:
        os.close(file)


def _opened(target: str, *, large: bool) -> tuple[int, bool]:
    if large and _O_DIRECT:
        try:
            return made(target, os.O_WRONLY | os.O_CREAT | _O_DIRECT), True
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            forget(target)  # a file system without it made the file, and then refused
    return made(target, os.O_WRONLY | os.O_CREAT), False


def _passed_through(
    file: str, buffer: memoryview, write: Callable[[memoryview], None], count: Count
) -> tuple[str, int]:
    found, size, told = hashlib.md5(usedforsecurity=False), 0, 0
    opened = os.open(file, os.O_RDONLY)
    try:
        while filled := _fill(opened, buffer, found):
            write(buffer[:filled])
            size += filled
            if size - told >= _TELL_BYTES:
                count(size - told)
                told = size
    finally:
        os.close(opened)
    count(size - told)
    return found.hexdigest(), size


def _fill(file: int, buffer: memoryview, found: hashlib._Hash) -> int:
    filled = 0
    while filled < len(buffer):
        got = os.readv(file, [buffer[filled : filled + _PIECE_BYTES]])
        if not got:
            break
        found.update(buffer[filled : filled + got])
        filled += got
    return filled


def _nowhere(_: memoryview) -> None:
    return


def _write(file: int, piece: memoryview) -> None:
    while piece:  # a nearly full disk takes a part
        try:
            piece = piece[os.write(file, piece) :]
        except OSError as error:
            # The last piece, or what a part left, is no whole number of blocks.
            if error.errno != errno.EINVAL or not _made_buffered(file):
                raise


def _made_buffered(file: int) -> bool:
    flags = fcntl.fcntl(file, fcntl.F_GETFL)
    fcntl.fcntl(file, fcntl.F_SETFL, flags & ~_O_DIRECT)
    return bool(flags & _O_DIRECT)


def forget(draft: str) -> None:
    """Remove a draft, if it is still there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(draft)
