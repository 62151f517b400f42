# SPDX-License-Identifier: Apache-2.0
"""SqliteLedger: the ledger in one SQLite file; one transaction per message, its id and follow-ups included."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pydantic_core import from_json, to_json

from mlops.chassis.errors import UnavailableError
from mlops.contracts.catalogue import read
from mlops.contracts.message import Message
from mlops.monitoring.adapters.sqlite_page import SCHEMA, SqlitePage
from mlops.monitoring.ports import Page, T

_REMEMBERED = 200_000
_TIDY_EVERY = 1000


class SqliteLedger:
    """A ledger that survives the process: WAL, one writer, calls in a thread."""

    def __init__(self, path: Path) -> None:
        # One thread: writes come one after another, also when a caller stops waiting for its own.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=5
            )
            # NORMAL: a killed process loses nothing; a power cut may lose the last rows of a window.
            # Each message changes the same few pages; copied back every 16 MB, most of that work falls away.
            self._db.executescript(
                "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=4000;"
                + SCHEMA
            )
            _grow(self._db)
        except (OSError, sqlite3.Error) as error:
            raise _away(path, error) from error
        self._page = SqlitePage(self._db)

    async def apply(
        self, message_id: str, change: Callable[[Page], Sequence[Message]]
    ) -> tuple[Message, ...]:
        """Run *change* once for this message and return its follow-ups."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._apply, message_id, change)

    async def look(self, view: Callable[[Page], T]) -> T:
        """Return what *view* makes of the ledger as it is now."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._look, view)

    async def close(self) -> None:
        """Let go of the file."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._db.close)
        self._thread.shutdown(wait=False)

    def _apply(
        self, message_id: str, change: Callable[[Page], Sequence[Message]]
    ) -> tuple[Message, ...]:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise _away(self._path, error) from error
        self._page.begun()
        try:
            told = self._told(message_id)
            if told is None:
                told = tuple(change(self._page))
                self._page.rows.sweep()
                self._remember(message_id, told)
            self._db.execute("COMMIT")
        except BaseException as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise _away(self._path, error) from error
            raise
        return told

    def _look(self, view: Callable[[Page], T]) -> T:
        self._page.begun()
        try:
            return view(self._page)
        except sqlite3.Error as error:
            raise _away(self._path, error) from error

    def _told(self, message_id: str) -> tuple[Message, ...] | None:
        found = self._db.execute(
            "SELECT follow_ups FROM applied WHERE message_id = ?", (message_id,)
        ).fetchone()
        if found is None:
            return None
        return tuple(read(payload.encode()) for payload in from_json(found[0]))

    def _remember(self, message_id: str, told: tuple[Message, ...]) -> None:
        payloads = to_json([message.encode().decode() for message in told]).decode()
        cursor = self._db.execute(
            "INSERT INTO applied (message_id, follow_ups) VALUES (?, ?)", (message_id, payloads)
        )
        if cursor.lastrowid and cursor.lastrowid % _TIDY_EVERY == 0:
            self._db.execute(
                "DELETE FROM applied WHERE seq <= ?", (cursor.lastrowid - _REMEMBERED,)
            )
            self._page.rows.forget_strays()


def _grow(db: sqlite3.Connection) -> None:
    """Add the column that ledgers from before vectors do not have."""
    if "vectors" not in {row[1] for row in db.execute("PRAGMA table_info(predictions)")}:
        db.execute("ALTER TABLE predictions ADD COLUMN vectors TEXT")


def _away(path: Path, error: Exception) -> UnavailableError:
    return UnavailableError(
        f"the ledger {path} cannot be written: {error}; check the disk's space and the folder's rights"
    )
