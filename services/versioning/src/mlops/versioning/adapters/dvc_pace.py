# SPDX-License-Identifier: Apache-2.0
"""Pace: lets no more bytes pass than so many in a second, however many threads send and fetch; Part: what they send."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO

# What was not used while nothing moved is lost: a pause must not end in a burst.
_SAVED_S = 0.1
_PIECES_PER_S = 20
_LEAST_BYTES, _MOST_BYTES = 1 << 10, 1 << 16


class Pace:
    """A rate that all transfers of one call share; *now* and *rest* are the clock and the waiting."""

    def __init__(
        self,
        bytes_per_s: int,
        now: Callable[[], float] = time.monotonic,
        rest: Callable[[float], object] = time.sleep,
    ) -> None:
        self._rate = bytes_per_s
        self._now = now
        self._rest = rest
        self._lock = threading.Lock()
        self._free_at = now()

    def __str__(self) -> str:
        """Say it as people do."""
        return f"at most {self._rate / 1e6:g} MB/s"

    @property
    def piece_bytes(self) -> int:
        """Return how much is to be moved at once, so that it flows instead of coming in bursts."""
        return min(_MOST_BYTES, max(_LEAST_BYTES, self._rate // _PIECES_PER_S))

    def pass_on(self, size: int) -> None:
        """Return when *size* more bytes may have moved."""
        with self._lock:
            now = self._now()
            self._free_at = max(self._free_at, now - _SAVED_S) + size / self._rate
            wait_s = self._free_at - now
        if wait_s > 0:
            self._rest(wait_s)


def pace_of(bytes_per_s: int | None) -> Pace | None:
    """Return the pace of one call; None where nothing is limited."""
    return Pace(bytes_per_s) if bytes_per_s else None


class Moved:
    """Counts the bytes of all threads of a transfer: that there are more of them says that it lives."""

    def __init__(self) -> None:
        self.bytes = 0

    def add(self, size: int) -> None:
        """Count *size* more; where two threads do so at once, one may be lost, which matters to nobody."""
        self.bytes += size


@dataclass(frozen=True)
class Part:
    """*size* bytes of a file from *begin*."""

    file: str
    begin: int
    size: int

    @contextlib.contextmanager
    def opened(self, pace: Pace | None, moved: Moved | None = None) -> Iterator[Reader]:
        """Open it for reading, and so for sending, at a pace."""
        with open(self.file, "rb", buffering=0) as file:
            file.seek(self.begin)
            yield Reader(file, self.size, pace, moved or Moved())

    def digest(self) -> bytes:
        """Return the MD5."""
        found = hashlib.md5(usedforsecurity=False)
        with self.opened(None) as reader:
            while piece := reader.read(_MOST_BYTES):
                found.update(piece)
        return found.digest()


class Reader:
    """What an HTTP client reads a body from."""

    def __init__(self, file: IO[bytes], size: int, pace: Pace | None, moved: Moved) -> None:
        self._file, self._left, self._pace, self._moved = file, size, pace, moved

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, no more than *size*, when they may be sent; none at the end."""
        most = self._left if size < 0 else min(size, self._left)
        if self._pace:
            most = min(most, self._pace.piece_bytes)
        piece = self._file.read(most)
        self._left -= len(piece)
        self._moved.add(len(piece))
        if self._pace and piece:
            self._pace.pass_on(len(piece))
        return piece
