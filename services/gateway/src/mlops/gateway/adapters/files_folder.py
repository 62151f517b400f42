# SPDX-License-Identifier: Apache-2.0
"""FilesFolder: tables under their content's hash; a file is there as a whole or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import BinaryIO

from mlops.chassis.errors import UnavailableError
from mlops.gateway.model.tables import HEAD_BYTES, Kind, fault_at_end, fault_at_start
from mlops.gateway.ports import FullShelfError, NoTableError, Stored, TooLargeError

_WRITTEN_AT_ONCE = 1024 * 1024
_TAIL_BYTES = 4
_DRAFT = ".part"
_ABANDONED_S = 3600.0
_IN_USE_S = 3600.0
_TOTAL_BYTES = 8 * 1024**3
_FULL = (errno.ENOSPC, errno.EDQUOT)


class FilesFolder:
    """Files in *folder*, *total_bytes* at most; what nobody brought again for *keep* is let go, the oldest first."""

    def __init__(
        self, folder: Path, most_bytes: int, keep: timedelta, total_bytes: int = _TOTAL_BYTES
    ) -> None:
        self._folder = folder
        self._most_bytes = most_bytes
        self._keep_s = keep.total_seconds()
        self._total_bytes = total_bytes

    async def store(self, kind: Kind, pieces: AsyncIterator[bytes]) -> Stored:
        """Write a table while it comes."""
        try:
            await asyncio.to_thread(self._folder.mkdir, mode=0o700, parents=True, exist_ok=True)
            place = self._folder / f"{uuid.uuid4().hex}{_DRAFT}"
            with contextlib.closing(await asyncio.to_thread(_Draft, place, kind)) as draft:
                await self._fill(draft, pieces)
                await asyncio.to_thread(self._make_room, draft.size, time.time())
                return await asyncio.to_thread(draft.finish)
        except OSError as error:
            if error.errno in _FULL:
                raise FullShelfError(f"the disk of {self._folder} is full") from error
            raise UnavailableError(f"no table can be kept in {self._folder}: {error}") from error

    async def tidy(self) -> int:
        """Remove what is too old, and drafts of a gateway that was killed; return how many."""
        return await asyncio.to_thread(self._tidy, time.time())

    async def _fill(self, draft: _Draft, pieces: AsyncIterator[bytes]) -> None:
        waiting = bytearray()
        async for piece in pieces:
            waiting += piece
            if draft.size + len(waiting) > self._most_bytes:
                raise TooLargeError(self._most_bytes)
            if len(waiting) >= _WRITTEN_AT_ONCE:
                await asyncio.to_thread(draft.write, bytes(waiting))
                waiting.clear()
        await asyncio.to_thread(draft.write, bytes(waiting))

    def _make_room(self, size: int, now: float) -> None:
        """Let the oldest tables go until one of *size* bytes fits; those brought in the last hour may be in use."""
        known = sorted(_kept(self._folder))
        held = sum(one_size for _, one_size, _ in known)
        for brought_at, one_size, path in known:
            if held + size <= self._total_bytes or brought_at > now - _IN_USE_S:
                break
            path.unlink(missing_ok=True)
            held -= one_size
        if held + size > self._total_bytes:
            raise FullShelfError(
                f"tables of the last hour have {held} bytes, all may have {self._total_bytes}"
            )

    def _tidy(self, now: float) -> int:
        removed = 0
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            allowed_s = _ABANDONED_S if path.suffix == _DRAFT else self._keep_s
            with contextlib.suppress(OSError):  # another gateway may tidy at the same time
                if path.is_file() and path.stat().st_mtime < now - allowed_s:
                    path.unlink()
                    removed += 1
        return removed


def _kept(folder: Path) -> Iterator[tuple[float, int, Path]]:
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # another gateway may tidy at the same time
            if path.suffix != _DRAFT and path.is_file():
                found = path.stat()
                yield found.st_mtime, found.st_size, path


class _Draft:
    """A file that is being written; it is gone when it is closed before it is finished."""

    def __init__(self, path: Path, kind: Kind) -> None:
        self._file: BinaryIO = path.open("xb")
        self._path = path
        self._kind = kind
        self._hash = hashlib.sha256()
        self._tail = b""
        self.size = 0

    def write(self, content: bytes) -> None:
        if self.size == 0 and (fault := fault_at_start(self._kind, content[:HEAD_BYTES])):
            raise NoTableError(fault)
        self._file.write(content)
        self._hash.update(content)
        self._tail = (self._tail + content[-_TAIL_BYTES:])[-_TAIL_BYTES:]
        self.size += len(content)

    def finish(self) -> Stored:
        if fault := fault_at_end(self._kind, self._tail, self.size):
            raise NoTableError(fault)
        self._file.flush()
        os.fsync(self._file.fileno())
        digest = self._hash.hexdigest()
        target = self._path.with_name(f"{digest}{self._kind.value}")
        self._path.replace(target)
        return Stored(target.as_uri(), digest, self.size)

    def close(self) -> None:
        with contextlib.suppress(OSError):  # a full disk was told before
            self._file.close()
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
