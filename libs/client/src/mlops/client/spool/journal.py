# SPDX-License-Identifier: Apache-2.0
"""Journal: one process's records for one target, appended with one write each; a disk that fails is replaced by memory."""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from mlops.client.spool import segments
from mlops.client.spool.lock import Lock
from mlops.client.spool.quick_write import quick_write
from mlops.client.spool.quota import Quota
from mlops.client.spool.record import decode
from mlops.client.spool.sent import Sent
from mlops.client.spool.target import Target

MEMORY_BYTES = 64_000_000
_RETRY_DISK_S = 5.0


class ClosedError(Exception):
    """The journal was closed meanwhile; what comes now belongs into another."""


@dataclass(frozen=True)
class Chunk:
    """Lines to deliver, and what `done` needs to know of them."""

    lines: bytes
    segment: int = 0
    offset: int = 0
    torn: int = 0
    remembered: int = 0
    generation: int = 0


class Journal:
    """Takes records from any thread; one thread reads and marks them as delivered."""

    def __init__(self, spool: Path, target: Target, quota: Quota) -> None:
        self.id = uuid.uuid4().hex
        self.target = target
        self.folder = spool / self.id
        self.sent = Sent()
        self.written = 0
        self.dropped = 0
        self.disk_problem = ""
        self._quota = quota
        self._mutex = threading.Lock()
        self._memory: deque[bytes] = deque()
        self._memory_bytes = 0
        self._generation = 0
        self._retry_at = 0.0
        self._descriptor = -1
        self._segment = 0
        self._size = 0
        self._dirty = False
        self._lock: Lock | None = None
        self._closed = False
        self._open()

    @property
    def closed(self) -> bool:
        """Say whether it takes nothing any more."""
        return self._closed

    @property
    def on_disk(self) -> bool:
        """Say whether records survive the process."""
        return self._descriptor >= 0 and not self._memory

    def append(self, line: bytes, entries: int, *, droppable: bool = False) -> bool:
        """Keep one line; False means that it was dropped because everything is full. ClosedError after `close`."""
        with self._mutex:
            if self._closed:
                raise ClosedError
            if self._descriptor < 0 or self._memory:
                return self._fall_back(line, entries)
            if not self._quota.takes(len(line), droppable=droppable):
                self.dropped += entries
                return False
            if not self._write(line):
                return self._remember(line, entries)
            self.written += entries
            return True

    def read(self) -> Chunk | None:
        """Return the next lines that are not marked as delivered."""
        if self._descriptor >= 0 or self._segment:
            found = segments.read(self.folder, *self.sent.position)
            if found is not None:
                return Chunk(found.lines, found.segment, found.offset, found.torn)
        with self._mutex:
            lines: list[bytes] = []
            size = 0
            for line in self._memory:
                if size > segments.WINDOW_BYTES:
                    break
                lines.append(line)
                size += len(line)
            if not lines:
                return None
            return Chunk(b"".join(lines), remembered=len(lines), generation=self._generation)

    def done(self, chunk: Chunk) -> bool:
        """Mark lines as delivered; False when they have moved to the disk meanwhile and come again."""
        if not chunk.remembered:
            moved = chunk.segment > self.sent.segment
            self.sent.segment, self.sent.offset = chunk.segment, chunk.offset
            self.save(durable=moved)
            if moved:
                self._quota.room += segments.remove_before(self.folder, chunk.segment)
            return True
        with self._mutex:
            if chunk.generation != self._generation:
                return False
            for _ in range(chunk.remembered):
                self._memory_bytes -= len(self._memory.popleft())
        return True

    def save(self, *, durable: bool = False) -> None:
        """Write down how far it is delivered."""
        if self._segment:
            self.sent.dropped = self.dropped
            self.sent.save(self.folder, durable=durable)

    def sync(self) -> None:
        """Bring what is written to the disk itself, so that it survives a power failure too."""
        with self._mutex:
            if not self._dirty or self._descriptor < 0:
                return
            try:
                copy = os.dup(self._descriptor)
            except OSError:  # too many files are open; the next time then
                return
            self._dirty = False
        try:
            os.fsync(copy)
        except OSError as error:
            self.disk_problem = str(error)
        finally:
            os.close(copy)

    def recover(self) -> None:
        """Move what is kept in memory to the disk, if that works again."""
        with self._mutex:
            self._recover()

    def waits_in_memory(self) -> int:
        """Return how many lines only this process has."""
        return len(self._memory)

    def close(self, *, remove: bool) -> int:
        """Give the journal up; return how many entries are lost because no disk took them.

        Others deliver what is left. With *remove* it goes if really nothing is left: a thread may have been late.
        """
        with self._mutex:
            if self._memory and not self._closed:
                self._recover()
            self._closed = True
            self._close_file()
            if remove and self._segment and not self._memory and self._is_delivered():
                segments.remove(self.folder)
            self._let_go()
            found = (decode(line.rstrip(b"\n")) for line in self._memory)
            return sum(one.entries for one in found if one is not None)

    def forget(self) -> None:
        """Let go of everything in a forked child: the journal stays its parent's."""
        self._mutex = threading.Lock()
        self._closed = True
        self._let_go()
        self._close_file()
        self._memory.clear()

    def _is_delivered(self) -> bool:
        return segments.read(self.folder, *self.sent.position, closed=True) is None

    def _let_go(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _open(self) -> None:
        # The folder gets its name once it is locked; until then nobody takes it for a dead writer's.
        new = self.folder.with_name(f".{self.id}")
        try:
            if not new.parent.is_dir():
                new.parent.mkdir(parents=True, exist_ok=True)
                new.parent.chmod(0o700)
            new.mkdir(mode=0o700)
            self.target.save(new)
            self._lock = Lock.take(new)
            new.rename(self.folder)
            self._next_segment()
        except OSError as error:
            self.disk_problem = str(error)
            self._let_go()
            for folder in (new, self.folder):  # nothing was written to either
                shutil.rmtree(folder, ignore_errors=True)

    def _next_segment(self) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(segments.path(self.folder, self._segment + 1), flags, 0o600)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = descriptor
        self._segment += 1
        self._size = 0

    def _write(self, line: bytes) -> bool:
        try:
            if self._size + len(line) > segments.SEGMENT_BYTES and self._size:
                self._next_segment()
            written = quick_write(self._descriptor, line)
        except OSError as error:
            return self._failed(str(error))
        if written != len(line):
            # Half a line must not stand before the next; what cannot be taken back stays alone in its segment.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - written)
            return self._failed("no space left on the disk")
        self._size += written
        self._dirty = True
        return True

    def _failed(self, problem: str) -> bool:
        self.disk_problem = problem
        self._retry_at = time.monotonic() + _RETRY_DISK_S
        with contextlib.suppress(OSError):
            self._size = os.fstat(self._descriptor).st_size
        return False

    def _fall_back(self, line: bytes, entries: int) -> bool:
        if time.monotonic() >= self._retry_at:
            self._recover()
            if self.on_disk and self._quota.takes(len(line), droppable=False) and self._write(line):
                self.written += entries
                return True
        return self._remember(line, entries)

    def _remember(self, line: bytes, entries: int) -> bool:
        if self._memory_bytes + len(line) > MEMORY_BYTES:
            self.dropped += entries
            return False
        self._memory.append(line)
        self._memory_bytes += len(line)
        self.written += entries
        return True

    def _recover(self) -> None:
        if self._descriptor < 0:
            self._retry_at = time.monotonic() + _RETRY_DISK_S
            self._open()
        if self._descriptor < 0 or not self._memory:
            return
        self._generation += 1
        with contextlib.suppress(OSError):
            # A segment of its own: whatever half line the failure left behind stays alone.
            self._next_segment()
            while self._memory:
                if not self._write(self._memory[0]):
                    return
                self._memory_bytes -= len(self._memory.popleft())
            self.disk_problem = ""

    def _close_file(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
