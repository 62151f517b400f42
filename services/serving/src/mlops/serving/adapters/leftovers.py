# SPDX-License-Identifier: Apache-2.0
"""Prediction logs of dead replicas: outbox files that no process holds any more.

The system lets go of a lock when its holder ends, however it ends; a process id alone may soon be somebody else's.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

from mlops.chassis.errors import UnavailableError
from mlops.chassis.outbox import Outbox

_NAME = re.compile(r"replica-(\d{1,9})\.db")


def hold(path: Path) -> IO[str]:
    """Hold a log for as long as what is returned stays open, at most until this process ends."""
    lock = _lock_of(path).open("a")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


class ReplicaLeftovers:
    """The files `replica-<pid>.db` of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def abandoned(self) -> list[str]:
        """Return the files whose process is gone."""
        return await asyncio.to_thread(self._abandoned)

    async def waiting(self, name: str) -> list[tuple[int, bytes]]:
        """Return what waits in a file, oldest first."""
        return await asyncio.to_thread(self._waiting, name)

    async def forget(self, name: str, place: int) -> None:
        """Remove one message."""
        await asyncio.to_thread(self._forget, name, place)

    async def discard(self, name: str) -> None:
        """Remove the file and what SQLite keeps beside it."""
        for path in self._folder.glob(f"{name}*"):
            path.unlink(missing_ok=True)

    def _abandoned(self) -> list[str]:
        names = (path.name for path in self._folder.glob("replica-*.db"))
        return sorted(name for name in names if self._is_abandoned(name))

    def _is_abandoned(self, name: str) -> bool:
        found = _NAME.fullmatch(name)
        return found is not None and (not _lives(int(found[1])) or _is_let_go(self._folder / name))

    def _waiting(self, name: str) -> list[tuple[int, bytes]]:
        with self._opened(name) as outbox:
            return [(one.seq, one.payload) for one in outbox.oldest()]

    def _forget(self, name: str, place: int) -> None:
        with self._opened(name) as outbox:
            outbox.remove(place)

    @contextmanager
    def _opened(self, name: str) -> Iterator[Outbox]:
        path = self._folder / name
        try:
            with closing(Outbox(path)) as outbox:
                yield outbox
        except sqlite3.Error as error:
            raise UnavailableError(
                f"prediction log {path}: {error}; free disk space, or remove the file"
            ) from error


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _is_let_go(path: Path) -> bool:
    try:
        with _lock_of(path).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held, or never was
        return False
    return True


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
