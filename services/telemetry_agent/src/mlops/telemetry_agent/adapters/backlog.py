# SPDX-License-Identifier: Apache-2.0
"""SqliteBacklog: samples that wait for the bus, one a minute, of six hours at most; and the line that they wait for."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import structlog

_SCHEMA = "CREATE TABLE IF NOT EXISTS samples (minute INTEGER PRIMARY KEY, payload BLOB NOT NULL)"
_KEPT = timedelta(hours=6)
_MOST_BYTES = 50 * 2**20
_MINUTE_S = 60


class SqliteBacklog:
    """A ring on disk; used from one thread at a time. Samples may be lost, so it does not wait for the disk."""

    def __init__(self, file: Path, kept: timedelta = _KEPT, most_bytes: int = _MOST_BYTES) -> None:
        self.dropped = 0
        self._kept_minutes = int(kept.total_seconds() // _MINUTE_S)
        self._most_bytes = most_bytes
        self._log = structlog.get_logger("telemetry")
        self._db = _opened(file)
        self._count = self._number("SELECT count(*) FROM samples")

    def put(self, at: datetime, payload: bytes) -> None:
        """Keep a sample in place of the one of the same minute."""
        minute = int(at.timestamp() // _MINUTE_S)
        try:
            self._db.execute("INSERT OR REPLACE INTO samples VALUES (?, ?)", (minute, payload))
            self._shorten(minute)
            self._count = self._number("SELECT count(*) FROM samples")
        except sqlite3.Error as error:
            self.dropped += 1
            self._log.warning("backlog.refused", error=repr(error))

    def take(self, most: int) -> Sequence[tuple[int, bytes]]:
        """Return the oldest samples with their numbers."""
        try:
            rows = self._db.execute("SELECT * FROM samples ORDER BY minute LIMIT ?", (most,))
            return [(int(minute), bytes(payload)) for minute, payload in rows]
        except sqlite3.Error as error:
            self._log.warning("backlog.unreadable", error=repr(error))
            return []

    def forget(self, numbers: Sequence[int]) -> None:
        """Remove samples that were told; what cannot be removed is told again, under the same id."""
        try:
            self._db.executemany("DELETE FROM samples WHERE minute = ?", [(n,) for n in numbers])
            self._count = self._number("SELECT count(*) FROM samples")
        except sqlite3.Error as error:
            self._log.warning("backlog.unwritable", error=repr(error))

    def close(self) -> None:
        """Close the file; what waits stays."""
        self._db.close()

    def __len__(self) -> int:
        """Return how many wait."""
        return self._count

    def _shorten(self, minute: int) -> None:
        oldest = minute - self._kept_minutes
        self.dropped += self._db.execute(
            "DELETE FROM samples WHERE minute <= ?", (oldest,)
        ).rowcount
        while (
            self._number("SELECT coalesce(sum(length(payload)), 0) FROM samples") > self._most_bytes
        ):
            first = "DELETE FROM samples WHERE minute = (SELECT min(minute) FROM samples)"
            self.dropped += self._db.execute(first).rowcount

    def _number(self, question: str) -> int:
        return int(self._db.execute(question).fetchone()[0])


class BusLine:
    """Open when the bus is connected and nothing waits in its outbox: edges that waited go before all samples."""

    def __init__(
        self, check: Callable[[], Awaitable[str | None]], waiting: Callable[[], float | None]
    ) -> None:
        self._check = check
        self._waiting = waiting

    async def is_open(self) -> bool:
        """Return whether a message would reach the bus now."""
        return await self._check() is None and not self._waiting()


def _opened(file: Path) -> sqlite3.Connection:
    try:
        return _made(file)
    except sqlite3.DatabaseError:
        # Samples may be lost; an agent that does not start for them would lose heat.
        file.replace(file.with_suffix(".unreadable"))
        return _made(file)


def _made(file: Path) -> sqlite3.Connection:
    db = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute(_SCHEMA)
        db.execute("SELECT count(*) FROM samples").fetchone()
    except sqlite3.DatabaseError:
        db.close()
        raise
    return db
