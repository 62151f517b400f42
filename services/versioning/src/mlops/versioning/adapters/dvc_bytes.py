# SPDX-License-Identifier: Apache-2.0
"""Bytes: a file is read once, and what is hashed is what is written.

Large files go past the kernel's page cache where the system can (`O_DIRECT`): filling fresh pages costs more processor
time than the MD5 itself and pushes out what others have in memory. So a copy is written, and on the disk when it is
done; so objects are read, which were written so; and so is what somebody wants added and is not in memory.
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
_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)
_PROBES = 8


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
    large = os.stat(file).st_size >= _DIRECT_FROM_BYTES
    pages = _pages(large=large)
    opened, is_direct = _to_read(file, past_cache=large)
    try:
        piece_bytes = len(pages) if is_direct else _PIECE_BYTES
        return _passed_through(opened, pages[:piece_bytes], piece_bytes, _nowhere, count)
    finally:
        os.close(opened)


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
    size = os.stat(source).st_size
    large = size >= _DIRECT_FROM_BYTES
    pages = _pages(large=large)
    file, is_direct = _opened(target, large=large)
    try:
        opened, reads_direct = _to_read(source, past_cache=is_direct and _is_cold(source, size))
        try:
            piece_bytes = len(pages) if reads_direct else _PIECE_BYTES
            buffer = pages if is_direct else pages[:_PIECE_BYTES]
            found = _passed_through(
                opened, buffer, piece_bytes, lambda piece: _write(file, piece), count
            )
        finally:
            os.close(opened)
        if is_direct:
            os.fdatasync(file)
        return found
    finally:
        os.close(file)


def duplicate(source: str, target: str) -> None:
    """Copy what nobody changes to a new file, unread."""
    size = os.stat(source).st_size
    file, is_direct = _opened(target, large=size >= _DIRECT_FROM_BYTES)
    try:
        opened, _ = _to_read(source, past_cache=is_direct)
        try:
            move = _by_pages if is_direct else _by_pieces
            if move(opened, file, size) != size:
                raise OSError(errno.EIO, "it became shorter while it was copied", source)
        finally:
            os.close(opened)
    finally:
        os.close(file)


def put(target: str, content: bytes) -> None:
    """Write a new file."""
    file = made(target, os.O_WRONLY | os.O_CREAT)
    try:
        _write(file, memoryview(content))
    finally:
        os.close(file)


def _pages(*, large: bool) -> memoryview:
    # Whole pages, as going past the cache asks for; before a file is opened, for there may be no room for them.
    return memoryview(mmap.mmap(-1, _DIRECT_BYTES if large else _PIECE_BYTES))


def _to_read(source: str, *, past_cache: bool) -> tuple[int, bool]:
    if past_cache and _O_DIRECT:
        try:
            return os.open(source, os.O_RDONLY | _O_DIRECT), True
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
    return os.open(source, os.O_RDONLY), False


def _is_cold(source: str, size: int) -> bool:
    """Tell whether nothing of a file is in memory, by some places of it; its end, where it may grow, is one."""
    if _NOWAIT is None:
        return False
    opened, byte = os.open(source, os.O_RDONLY), bytearray(1)
    try:
        for number in range(1, _PROBES + 1):
            with contextlib.suppress(BlockingIOError):
                os.preadv(opened, [byte], size * number // _PROBES - 1, _NOWAIT)
                return False
    except OSError:  # a file system that cannot tell
        return False
    finally:
        os.close(opened)
    return True


def _by_pages(source: int, target: int, size: int) -> int:
    pages, moved = _pages(large=True), 0
    while moved < size and (count := _read(source, pages)):
        _write(target, pages[:count])
        moved += count
    return moved


def _by_pieces(source: int, target: int, size: int) -> int:
    moved = 0
    while moved < size and (count := _moved(source, target)):
        moved += count
    return moved


def _moved(source: int, target: int) -> int:
    if hasattr(os, "copy_file_range"):
        with contextlib.suppress(OSError):
            if count := os.copy_file_range(source, target, _PIECE_BYTES):
                return count
    piece = os.read(source, _PIECE_BYTES)
    _write(target, memoryview(piece))
    return len(piece)


def _read(file: int, pages: memoryview) -> int:
    try:
        return os.readv(file, [pages])
    except OSError as error:
        # What came before was no whole number of blocks.
        if error.errno != errno.EINVAL or not _made_buffered(file):
            raise
        return os.readv(file, [pages])


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
    opened: int,
    buffer: memoryview,
    piece_bytes: int,
    write: Callable[[memoryview], None],
    count: Count,
) -> tuple[str, int]:
    found, size, told = hashlib.md5(usedforsecurity=False), 0, 0
    while filled := _fill(opened, buffer, piece_bytes, found):
        write(buffer[:filled])
        size += filled
        if size - told >= _TELL_BYTES:
            count(size - told)
            told = size
    count(size - told)
    return found.hexdigest(), size


def _fill(file: int, buffer: memoryview, piece_bytes: int, found: hashlib._Hash) -> int:
    filled = 0
    while filled < len(buffer):
        got = _read(file, buffer[filled : filled + piece_bytes])
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
