# SPDX-License-Identifier: Apache-2.0
"""Lock: a journal belongs to who holds its lock; the kernel takes it back from a process that dies."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path

_FILE = "lock"


class Lock:
    """Held until `release`, or until the process ends however it ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, folder: Path) -> Lock | None:
        """Return the lock of a journal, None when somebody else has it or the journal is gone."""
        try:
            descriptor = os.open(folder / _FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            return None
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who had it before may have removed the folder with the file.
            if os.fstat(descriptor).st_ino == (folder / _FILE).stat().st_ino:
                return cls(descriptor)
        os.close(descriptor)
        return None

    def release(self) -> None:
        """Let others have it; in a forked child this only closes the child's copy."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = -1
