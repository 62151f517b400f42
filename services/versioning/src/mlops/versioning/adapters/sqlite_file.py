# SPDX-License-Identifier: Apache-2.0
"""SqliteFile: the registry's file, its schema, and what earlier releases left in it.

`PRAGMA user_version` counts the steps that a file has gone; each step and its count are one transaction, so a file
whose upgrade was cut off is upgraded by the next start. A file of a later release is not opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from mlops.chassis.errors import UnavailableError

T = TypeVar("T")

# Step 0 is also what the first release wrote without counting; hence IF NOT EXISTS.
_STEPS = (
    (
        """CREATE TABLE IF NOT EXISTS dataset_version (
            project TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, path TEXT NOT NULL,
            oid TEXT NOT NULL, size_bytes INTEGER NOT NULL, files INTEGER NOT NULL,
            dvc_text TEXT NOT NULL, remote TEXT NOT NULL, parent INTEGER, run_id TEXT,
            created_at TEXT NOT NULL, PRIMARY KEY (project, name, version)) STRICT""",
        """CREATE TABLE IF NOT EXISTS applied_command (
            command_id TEXT PRIMARY KEY, project TEXT NOT NULL, name TEXT NOT NULL,
            version INTEGER NOT NULL,
            FOREIGN KEY (project, name, version) REFERENCES dataset_version) STRICT""",
        """CREATE TABLE IF NOT EXISTS dataset_use (
            project TEXT NOT NULL, run_id TEXT NOT NULL, name TEXT NOT NULL, version INTEGER,
            oid TEXT, at TEXT NOT NULL) STRICT""",
        """CREATE UNIQUE INDEX IF NOT EXISTS one_use
            ON dataset_use (project, run_id, name, ifnull(version, 0), ifnull(oid, ''))""",
    ),
    (
        "ALTER TABLE dataset_version ADD COLUMN tags TEXT NOT NULL DEFAULT '[]'",
        "ALTER TABLE dataset_version ADD COLUMN description TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE dataset_version ADD COLUMN removed_at TEXT",
        """CREATE TABLE dataset_alias (
            project TEXT NOT NULL, name TEXT NOT NULL, alias TEXT NOT NULL,
            version INTEGER NOT NULL, PRIMARY KEY (project, name, alias),
            FOREIGN KEY (project, name, version) REFERENCES dataset_version) STRICT""",
    ),
    ("ALTER TABLE dataset_version ADD COLUMN stage TEXT NOT NULL DEFAULT ''",),
)
_PRAGMAS = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
_FIXES = {
    "locked": "another process holds it; stop that",
    "full": "free space on its disk",
    "disk i/o": "check its disk: full, a quota, or faulty",
    "readonly": "make it and its folder writable",
    "unable to open": "make its folder writable",
    "not a database": "move the file away, or restore it from a backup",
    "malformed": "move the file away, or restore it from a backup",
}


class SqliteFile:
    """One connection, one writer; every change is one transaction that is on disk when it returns."""

    def __init__(self, file: Path, patience_s: float) -> None:
        self._file = file
        self._lock = threading.Lock()
        with self._translated():
            self.connection = sqlite3.connect(
                file, patience_s, check_same_thread=False, isolation_level=None
            )
            self.connection.executescript(_PRAGMAS)
            self._upgrade()

    async def do(self, work: Callable[[], T]) -> T:
        """Return what *work* returns; it has the connection for itself.

        Raises UnavailableError with the file, the cause and the fix.
        """

        def locked() -> T:
            with self._lock, self._translated():
                return work()

        return await asyncio.to_thread(locked)

    async def close(self) -> None:
        """Close the file."""
        await self.do(self.connection.close)

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Write everything of the block, or nothing."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise
        self.connection.execute("COMMIT")

    def _upgrade(self) -> None:
        with self.transaction():
            [done] = self.connection.execute("PRAGMA user_version").fetchone()
            if done > len(_STEPS):
                raise UnavailableError(
                    f"the registry of versions {self._file} was written by a later release; "
                    "install that, or restore a backup of the file"
                )
            for statement in (one for step in _STEPS[done:] for one in step):
                self.connection.execute(statement)
            self.connection.execute(f"PRAGMA user_version = {len(_STEPS)}")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            text = str(error)
            fix = next(
                (fix for word, fix in _FIXES.items() if word in text.lower()), "see the error"
            )
            raise UnavailableError(
                f"the registry of versions {self._file}: {text}; {fix}"
            ) from error
