# SPDX-License-Identifier: Apache-2.0
"""Outbox: messages that wait on local disk, in order, while the bus is away. Survives the process.

One writer per file; SQLite in WAL mode with full syncs, so that a stored message outlives a power cut.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from mlops.chassis import metrics
from mlops.chassis.errors import UnavailableError

_SCHEMA = """
CREATE TABLE IF NOT EXISTS waiting (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    subject TEXT NOT NULL,
    payload BLOB NOT NULL
)
"""


@dataclass(frozen=True)
class Waiting:
    """A message in the outbox."""

    seq: int
    id: str
    subject: str
    payload: bytes


class Outbox:
    """A durable queue of messages; safe to use from one thread at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")
        self._db.execute(_SCHEMA)
        self._count = int(self._db.execute("SELECT count(*) FROM waiting").fetchone()[0])
        metrics.outbox_messages.set(self._count)

    def __len__(self) -> int:
        """Return how many messages wait."""
        return self._count

    def put(self, message_id: str, subject: str, payload: bytes) -> None:
        """Keep a message; the same id again is kept once. UnavailableError when the disk refuses."""
        added = self._do(
            "INSERT OR IGNORE INTO waiting (id, subject, payload) VALUES (?, ?, ?)",
            (message_id, subject, payload),
        ).rowcount
        self._changed(added)

    def oldest(self, most: int = 100) -> list[Waiting]:
        """Return the messages that wait longest, in order."""
        rows = self._do(
            "SELECT seq, id, subject, payload FROM waiting ORDER BY seq LIMIT ?", (most,)
        )
        return [Waiting(*row) for row in rows]

    def remove(self, seq: int) -> None:
        """Forget a message that the bus has stored. UnavailableError when the disk refuses: it waits on then."""
        self._changed(-self._do("DELETE FROM waiting WHERE seq = ?", (seq,)).rowcount)

    def close(self) -> None:
        """Close the file; what waits stays."""
        self._db.close()

    def _do(self, statement: str, values: tuple[object, ...]) -> sqlite3.Cursor:
        try:
            return self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise UnavailableError(
                f"outbox {self._path}: {error}; free disk space or check the folder's permissions"
            ) from error

    def _changed(self, by: int) -> None:
        self._count += by
        metrics.outbox_messages.set(self._count)
