# SPDX-License-Identifier: Apache-2.0
"""SqliteDatabase: a SQLite store copied while it is written to, and put in the place of another."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from mlops.tracking.adapters.backup_files import copy, sync
from mlops.tracking.adapters.sqlite import explain
from mlops.tracking.errors import StoreError

COUNTS = {
    "projects": "SELECT count(*) FROM workspaces",
    "experiments": "SELECT count(*) FROM experiments",
    "runs": "SELECT count(*) FROM runs",
    "models": "SELECT count(*) FROM registered_models",
    "versions": "SELECT count(*) FROM model_versions",
    "events_not_told": "SELECT count(*) FROM mlops_outbox WHERE told_ms IS NULL",
}
REVISION = "SELECT version_num FROM alembic_version"

_BESIDE = ("-wal", "-shm", "-journal")


class SqliteDatabase:
    """A file; the service may run while it is dumped, and must not while one is loaded."""

    kind = "sqlite"
    dump_name = "database.sqlite"

    def __init__(self, path: Path) -> None:
        self._path = path.resolve()

    def dump(self, target: Path) -> tuple[str, dict[str, int]]:
        """Write a consistent copy and return its schema's revision and what it holds; blocks no writer."""
        if not self._path.exists():
            raise StoreError(f"there is no store {self._path} yet; nothing to back up")
        try:
            with _open(self._path) as source, _open(target) as copied:
                source.backup(copied, pages=-1)
                copied.execute("PRAGMA journal_mode = DELETE")
                (found,) = copied.execute("PRAGMA quick_check(1)").fetchone()
                if found != "ok":
                    raise StoreError(f"store {self._path} is damaged: {found}")
                return _facts(copied)
        except sqlite3.Error as error:
            raise StoreError(explain(self._path, str(error))) from error

    def holds(self) -> dict[str, int]:
        """Return what it holds now; nothing counts as nothing."""
        if not self._path.exists():
            return {}
        try:
            with _open(self._path) as connection:
                return _facts(connection)[1]
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"store {self._path} is damaged: {error}; restore with --force, which moves it aside"
            ) from error

    def check_unused(self) -> None:
        """Return when nobody has it open; write-ahead logging can be switched off then only."""
        if not self._path.exists():
            return
        try:
            with contextlib.closing(sqlite3.connect(self._path, timeout=0)) as connection:
                connection.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.DatabaseError as error:
            if "locked" in str(error):
                raise StoreError(
                    f"another process has the store {self._path} open; stop it first (`mlops down`), then restore"
                ) from error
            # Damaged, which may be why it is restored.

    def load(self, dump: Path, stamp: str) -> str | None:
        """Take the place of what is there, which is moved aside; return where that is now."""
        new = self._path.with_name(self._path.name + ".restoring")
        copy(dump, new)
        sync(new)
        aside = (
            self._path.with_name(f"{self._path.name}.before-{stamp}")
            if self._path.exists()
            else None
        )
        if aside is not None:
            self._keep(aside)
        new.replace(self._path)
        sync(self._path.parent)
        return str(aside) if aside else None

    def undo(self, aside: str | None) -> None:
        """Put back what `load` moved aside."""
        self._path.unlink(missing_ok=True)
        if aside is not None:
            self._move(Path(aside), self._path)

    def _keep(self, aside: Path) -> None:
        """Give the old a second name, so that there is a whole store at every moment."""
        try:
            aside.hardlink_to(self._path)
        except FileExistsError:
            raise
        except OSError:  # a file system without hard links
            self._path.replace(aside)
        self._move_beside(self._path, aside)

    def _move(self, here: Path, there: Path) -> None:
        here.replace(there)
        self._move_beside(here, there)

    def _move_beside(self, here: Path, there: Path) -> None:
        for end in _BESIDE:
            beside = here.with_name(here.name + end)
            if beside.exists():
                beside.replace(there.with_name(there.name + end))


@contextlib.contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path, timeout=20)) as connection:
        yield connection


def _facts(connection: sqlite3.Connection) -> tuple[str, dict[str, int]]:
    counts = {}
    for name, question in COUNTS.items():
        with contextlib.suppress(
            sqlite3.OperationalError
        ):  # a table that this schema does not have
            counts[name] = int(connection.execute(question).fetchone()[0])
    try:
        revision = connection.execute(REVISION).fetchone()
    except sqlite3.OperationalError:
        revision = None
    return (str(revision[0]) if revision else ""), counts
