# SPDX-License-Identifier: Apache-2.0
"""Prediction logs of dead replicas: outbox files named by a process that no longer lives."""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
from pathlib import Path

from mlops.chassis.errors import UnavailableError
from mlops.chassis.outbox import Outbox

_NAME = re.compile(r"^replica-(\d+)\.db$")


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
        return sorted(name for name in names if (pid := _pid(name)) and not _lives(pid))

    def _waiting(self, name: str) -> list[tuple[int, bytes]]:
        try:
            outbox = Outbox(self._folder / name)
        except sqlite3.Error as error:
            raise UnavailableError(f"prediction log {self._folder / name}: {error}") from error
        try:
            return [(one.seq, one.payload) for one in outbox.oldest()]
        finally:
            outbox.close()

    def _forget(self, name: str, place: int) -> None:
        outbox = Outbox(self._folder / name)
        try:
            outbox.remove(place)
        finally:
            outbox.close()


def _pid(name: str) -> int | None:
    found = _NAME.match(name)
    return int(found[1]) if found else None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
