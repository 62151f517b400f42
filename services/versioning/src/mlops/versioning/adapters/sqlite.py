# SPDX-License-Identifier: Apache-2.0
"""SqliteVersions: the registry of versions in one SQLite file."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from mlops.chassis.errors import UnavailableError
from mlops.versioning.model import Content, Use, Version, newest, same

T = TypeVar("T")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS dataset_version (
    project TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL, path TEXT NOT NULL,
    oid TEXT NOT NULL, size_bytes INTEGER NOT NULL, files INTEGER NOT NULL, dvc_text TEXT NOT NULL,
    remote TEXT NOT NULL, parent INTEGER, run_id TEXT, created_at TEXT NOT NULL,
    PRIMARY KEY (project, name, version)
) STRICT;
CREATE TABLE IF NOT EXISTS applied_command (
    command_id TEXT PRIMARY KEY, project TEXT NOT NULL, name TEXT NOT NULL, version INTEGER NOT NULL,
    FOREIGN KEY (project, name, version) REFERENCES dataset_version
) STRICT;
CREATE TABLE IF NOT EXISTS dataset_use (
    project TEXT NOT NULL, run_id TEXT NOT NULL, name TEXT NOT NULL, version INTEGER, oid TEXT,
    at TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS one_use
    ON dataset_use (project, run_id, name, ifnull(version, 0), ifnull(oid, ''));
"""
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


class SqliteVersions:
    """One connection, one writer; every change is one transaction that is on disk when it returns."""

    def __init__(self, file: Path, patience_s: float = 5.0) -> None:
        self._file = file
        self._lock = threading.Lock()
        with self._translated():
            self._connection = sqlite3.connect(
                file, patience_s, check_same_thread=False, isolation_level=None
            )
            self._connection.executescript(_PRAGMAS + _SCHEMA)

    async def remember(self, wished: Version, command_id: str) -> Version:
        """Number the version, or find the one it is, and note the command, in one transaction."""
        return await self._do(lambda: self._remember(wished, command_id))

    async def note(self, version: Version, command_id: str) -> None:
        """Keep what a command was about."""
        await self._do(lambda: self._note(version, command_id))

    async def of_command(self, command_id: str) -> Version | None:
        """Return what a command got."""
        return await self._do(lambda: self._of_command(command_id))

    async def known(self, project: str, name: str | None = None) -> list[Version]:
        """Return versions by name and number."""
        return await self._do(lambda: self._known(project, name))

    async def record_uses(self, project: str, uses: Sequence[Use], at: datetime) -> None:
        """Keep the uses once."""
        rows = [(project, u.run_id, u.name, u.version, u.oid, _text(at)) for u in uses]
        await self._do(lambda: self._record(rows))

    async def uses(self, project: str) -> list[Use]:
        """Return the uses of a project."""
        return await self._do(lambda: self._uses(project))

    async def close(self) -> None:
        """Close the file."""
        await self._do(self._connection.close)

    async def _do(self, work: Callable[[], T]) -> T:
        def locked() -> T:
            with self._lock, self._translated():
                return work()

        return await asyncio.to_thread(locked)

    def _remember(self, wished: Version, command_id: str) -> Version:
        with self._transaction():
            if earlier := self._of_command(command_id):
                return earlier
            known = self._known(wished.project, wished.name)
            version = same(known, wished.content, wished.path)
            if version is None:
                last = newest(known)
                parent = last.version if last else None
                version = replace(wished, version=(parent or 0) + 1, parent=parent)
                self._insert(version)
            self._note(version, command_id)
            return version

    def _note(self, version: Version, command_id: str) -> None:
        self._connection.execute(
            "INSERT OR IGNORE INTO applied_command VALUES (?, ?, ?, ?)",
            (command_id, version.project, version.name, version.version),
        )

    def _insert(self, version: Version) -> None:
        held = version.content
        self._connection.execute(
            "INSERT INTO dataset_version VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(version.project, version.name, version.version, version.path),
                *(held.oid, held.size_bytes, held.files, held.dvc_text),
                *(version.remote, version.parent, version.run_id, _text(version.created_at)),
            ),
        )

    def _of_command(self, command_id: str) -> Version | None:
        row = self._connection.execute(
            "SELECT dataset_version.* FROM dataset_version JOIN applied_command USING (project, name, version) "
            "WHERE command_id = ?",
            (command_id,),
        ).fetchone()
        return _version(row) if row else None

    def _known(self, project: str, name: str | None) -> list[Version]:
        rows = self._connection.execute(
            "SELECT * FROM dataset_version WHERE project = ? AND name = ifnull(?, name) "
            "ORDER BY name, version",
            (project, name),
        )
        return [_version(row) for row in rows]

    def _record(self, rows: Sequence[tuple[object, ...]]) -> None:
        with self._transaction():
            self._connection.executemany(
                "INSERT OR IGNORE INTO dataset_use VALUES (?, ?, ?, ?, ?, ?)", rows
            )

    def _uses(self, project: str) -> list[Use]:
        rows = self._connection.execute(
            "SELECT run_id, name, version, oid FROM dataset_use WHERE project = ? ORDER BY run_id, name",
            (project,),
        )
        return [Use(*row) for row in rows]

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

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")


def _version(row: Sequence[object]) -> Version:
    # In the order of the schema.
    project, name, number, path, oid, size, files, dvc_text, remote, parent, run_id, at = row
    return Version(
        project=str(project),
        name=str(name),
        version=int(str(number)),
        path=str(path),
        content=Content(str(oid), int(str(size)), int(str(files)), str(dvc_text)),
        remote=str(remote),
        parent=None if parent is None else int(str(parent)),
        run_id=None if run_id is None else str(run_id),
        created_at=datetime.fromisoformat(str(at)),
    )


def _text(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
