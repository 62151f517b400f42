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
from mlops.client.spool.sent import Sent
from mlops.client.spool.target import Target

MEMORY_BYTES = 64_000_000
_RETRY_DISK_S = 5.0


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
        self._open()

    @property
    def on_disk(self) -> bool:
        """Say whether records survive the process."""
        return self._descriptor >= 0 and not self._memory

    def append(self, line: bytes, entries: int, *, droppable: bool = False) -> bool:
        """Keep one line; False means that it was dropped because everything is full."""
        with self._mutex:
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
            self.save()
            if moved:
                self._quota.room += segments.remove_before(self.folder, chunk.segment)
            return True
        with self._mutex:
            if chunk.generation != self._generation:
                return False
            for _ in range(chunk.remembered):
                self._memory_bytes -= len(self._memory.popleft())
        return True

    def save(self) -> None:
        """Write down how far it is delivered."""
        if self._segment:
            self.sent.dropped = self.dropped
            self.sent.save(self.folder)

    def sync(self) -> None:
        """Bring what is written to the disk itself, so that it survives a power failure too."""
        with self._mutex:
            if not self._dirty or self._descriptor < 0:
                return
            self._dirty = False
            copy = os.dup(self._descriptor)
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

    def close(self, *, remove: bool) -> None:
        """Give the journal up; others deliver what is left, or there is nothing left."""
        with self._mutex:
            self._close_file()
            if remove and self._segment:
                shutil.rmtree(self.folder, ignore_errors=True)
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def forget(self) -> None:
        """Let go of everything in a forked child: the journal stays its parent's."""
        self._mutex = threading.Lock()
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        self._close_file()
        self._memory.clear()

    def _open(self) -> None:
        # The folder gets its name once it is locked; until then nobody takes it for a dead writer's.
        new = self.folder.with_name(f".{self.id}")
        try:
            new.mkdir(parents=True, mode=0o700)
            self.folder.parent.chmod(0o700)
            self.target.save(new)
            self._lock = Lock.take(new)
            new.rename(self.folder)
            self._next_segment()
        except OSError as error:
            self.disk_problem = str(error)
            shutil.rmtree(new, ignore_errors=True)

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
            # Half a line must not stand before the next; what cannot be taken back is closed with a line break.
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, self._size)
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
