# SPDX-License-Identifier: Apache-2.0
"""SqlitePage: the tables of the ledger, as they are read and written within one transaction."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Collection, Sequence
from functools import lru_cache

from pydantic import TypeAdapter
from pydantic_core import from_json, to_json

from mlops.monitoring.adapters.sqlite_rows import SqliteRows
from mlops.monitoring.adapters.sqlite_tallies import SqliteTallies
from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.early import Watch
from mlops.monitoring.model.growth import Growth
from mlops.monitoring.model.windows import ModelKey, Phase, Watched, Window
from mlops.monitoring.ports import Baseline, Made, ReportJob

SCHEMA = """
CREATE TABLE IF NOT EXISTS applied (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, message_id TEXT UNIQUE NOT NULL, follow_ups TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS models (
    project TEXT NOT NULL, model TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (project, model)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS windows (
    project TEXT NOT NULL, model TEXT NOT NULL, number INTEGER NOT NULL, phase TEXT NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (project, model, number)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS windows_by_phase ON windows (project, model, phase);
CREATE TABLE IF NOT EXISTS predictions (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, model TEXT NOT NULL, request_id TEXT NOT NULL,
    number INTEGER NOT NULL, at TEXT NOT NULL, features TEXT NOT NULL, prediction TEXT NOT NULL, vectors TEXT,
    UNIQUE (project, model, request_id));
CREATE INDEX IF NOT EXISTS predictions_of_window ON predictions (project, model, number);
CREATE TABLE IF NOT EXISTS labels (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, model TEXT NOT NULL, request_id TEXT NOT NULL,
    label TEXT NOT NULL, at TEXT NOT NULL, UNIQUE (project, model, request_id));
CREATE TABLE IF NOT EXISTS watches (
    project TEXT NOT NULL, model TEXT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (project, model)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS baselines (
    project TEXT NOT NULL, model TEXT NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (project, model, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS made (
    project TEXT NOT NULL, model TEXT NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (project, model, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS truths (
    project TEXT NOT NULL, model TEXT NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (project, model, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS growths (
    project TEXT NOT NULL, model TEXT NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (project, model, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS grown (
    project TEXT NOT NULL, model TEXT NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (project, model, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tallies (
    project TEXT NOT NULL, model TEXT NOT NULL, number INTEGER NOT NULL, against TEXT NOT NULL, rows INTEGER NOT NULL,
    body BLOB NOT NULL, PRIMARY KEY (project, model, number, against));
CREATE TABLE IF NOT EXISTS cleared (
    project TEXT NOT NULL, model TEXT NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (project, model, number));
CREATE TABLE IF NOT EXISTS jobs (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL,
    tries INTEGER NOT NULL, body BLOB NOT NULL);
"""

_WATCHED = TypeAdapter(Watched)
_WINDOW = TypeAdapter(Window)
_WATCH = TypeAdapter(Watch)
_BASELINE = TypeAdapter(Baseline)
_MADE = TypeAdapter(Made)
_GROWTH = TypeAdapter(Growth)
_JOB = TypeAdapter(ReportJob)
_FAST = 1  # an eighth of the time of the default, for a twentieth more bytes
_BESIDE_A_BASELINE = ("truths", "growths", "grown")


@lru_cache(maxsize=4096)
def _window(body: bytes) -> Window:
    # Windows are frozen, and the same hundreds of them are read again with every message while labels are waited for.
    return _WINDOW.validate_json(body)


class SqlitePage:
    """The ledger within one transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.models = _Models(db)
        self.windows = _Windows(db)
        self.rows = SqliteRows(db)
        self.tallies = SqliteTallies(db)
        self.watches = _Watches(db)
        self.baselines = _Baselines(db)
        self.jobs = _Jobs(db)

    def begun(self) -> None:
        """Forget what was read before this transaction."""
        self.models.read.clear()


class _Models:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        # One message asks for its model again and again.
        self.read: dict[ModelKey, Watched | None] = {}

    def get(self, key: ModelKey) -> Watched | None:
        if key not in self.read:
            found = self._db.execute(
                "SELECT body FROM models WHERE project = ? AND model = ?", (key.project, key.model)
            ).fetchone()
            self.read[key] = None if found is None else _WATCHED.validate_json(found[0])
        return self.read[key]

    def put(self, model: Watched) -> None:
        values = (model.key.project, model.key.model, _WATCHED.dump_json(model))
        self._db.execute("INSERT OR REPLACE INTO models VALUES (?, ?, ?)", values)
        self.read[model.key] = model

    def all(self) -> list[Watched]:
        found = self._db.execute("SELECT body FROM models ORDER BY project, model")
        return [_WATCHED.validate_json(body) for (body,) in found]


class _Windows:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def open(self, key: ModelKey) -> list[Window]:
        return self._in_phase(key, Phase.OPEN)

    def unfinished(self, key: ModelKey) -> list[Window]:
        return self._in_phase(key, Phase.OPEN, Phase.FULL)

    def latest(self, key: ModelKey, most: int) -> list[Window]:
        found = self._db.execute(
            "SELECT body FROM windows WHERE project = ? AND model = ? ORDER BY number DESC LIMIT ?",
            (key.project, key.model, most),
        ).fetchall()
        return [_window(body) for (body,) in reversed(found)]

    def put(self, key: ModelKey, window: Window) -> None:
        self._db.execute(
            "INSERT INTO windows VALUES (?, ?, ?, ?, ?)"  # replacing it would write its indexes again
            " ON CONFLICT DO UPDATE SET phase = excluded.phase, body = excluded.body",
            (key.project, key.model, window.number, window.phase, _WINDOW.dump_json(window)),
        )

    def _in_phase(self, key: ModelKey, *phases: Phase) -> list[Window]:
        marks = ", ".join("?" * len(phases))
        found = self._db.execute(
            f"SELECT body FROM windows WHERE project = ? AND model = ? AND phase IN ({marks})"  # noqa: S608 - marks only
            " ORDER BY number",
            (key.project, key.model, *phases),
        )
        return [_window(body) for (body,) in found]

    def drop(self, key: ModelKey, numbers: Collection[int]) -> None:
        SqliteRows(self._db).clear(key, numbers)
        self._db.executemany(
            "DELETE FROM windows WHERE project = ? AND model = ? AND number = ?",
            [(key.project, key.model, number) for number in numbers],
        )


class _Watches:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def get(self, key: ModelKey) -> Watch | None:
        found = self._db.execute(
            "SELECT body FROM watches WHERE project = ? AND model = ?", (key.project, key.model)
        ).fetchone()
        return None if found is None else _WATCH.validate_json(found[0])

    def put(self, key: ModelKey, watch: Watch) -> None:
        values = (key.project, key.model, _WATCH.dump_json(watch))
        self._db.execute("INSERT OR REPLACE INTO watches VALUES (?, ?, ?)", values)


class _Baselines:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def get(self, key: ModelKey, version: int) -> Baseline | None:
        found = self._db.execute(
            "SELECT body FROM baselines WHERE project = ? AND model = ? AND version = ?",
            (key.project, key.model, version),
        ).fetchone()
        return None if found is None else _BASELINE.validate_json(zlib.decompress(found[0]))

    def made(self, key: ModelKey, version: int) -> Made | None:
        found = self._db.execute(
            "SELECT body FROM made WHERE project = ? AND model = ? AND version = ?",
            (key.project, key.model, version),
        ).fetchone()
        if found is not None:
            return _MADE.validate_json(found[0])
        baseline = self.get(key, version)  # may be from before this table was there
        return None if baseline is None else self._note(key, baseline)

    def put(self, key: ModelKey, baseline: Baseline) -> None:
        body = zlib.compress(_BASELINE.dump_json(baseline), _FAST)
        values = (key.project, key.model, baseline.version, body)
        self._forget_beside(key, baseline.version)
        self._db.execute("INSERT OR REPLACE INTO baselines VALUES (?, ?, ?, ?)", values)
        self._note(key, baseline)

    def drop(self, key: ModelKey, version: int) -> None:
        self._forget_beside(key, version)
        self._db.execute(
            "DELETE FROM made WHERE project = ? AND model = ? AND version = ?",
            (key.project, key.model, version),
        )
        self._db.execute(
            "DELETE FROM baselines WHERE project = ? AND model = ? AND version = ?",
            (key.project, key.model, version),
        )

    def growth(self, key: ModelKey, version: int) -> Growth | None:
        found = self._db.execute(
            "SELECT body FROM growths WHERE project = ? AND model = ? AND version = ?",
            (key.project, key.model, version),
        ).fetchone()
        return None if found is None else _GROWTH.validate_json(found[0])

    def grown(self, key: ModelKey, version: int) -> Baseline | None:
        found = self._db.execute(
            "SELECT body FROM grown WHERE project = ? AND model = ? AND version = ?",
            (key.project, key.model, version),
        ).fetchone()
        return None if found is None else _BASELINE.validate_json(zlib.decompress(found[0]))

    def grow(
        self, key: ModelKey, version: int, growth: Growth, rows: Baseline | None = None
    ) -> None:
        where = (key.project, key.model, version)
        self._db.execute(
            "INSERT OR REPLACE INTO growths VALUES (?, ?, ?, ?)",
            (*where, _GROWTH.dump_json(growth)),
        )
        if rows is not None:
            body = zlib.compress(_BASELINE.dump_json(rows), _FAST)
            self._db.execute("INSERT OR REPLACE INTO grown VALUES (?, ?, ?, ?)", (*where, body))

    def truths(self, key: ModelKey, version: int) -> list[Value]:
        found = self._db.execute(
            "SELECT body FROM truths WHERE project = ? AND model = ? AND version = ?",
            (key.project, key.model, version),
        ).fetchone()
        return [] if found is None else list(from_json(zlib.decompress(found[0])))

    def keep_truths(self, key: ModelKey, version: int, truths: Sequence[Value]) -> None:
        body = zlib.compress(to_json(list(truths)))
        values = (key.project, key.model, version, body)
        self._db.execute("INSERT OR REPLACE INTO truths VALUES (?, ?, ?, ?)", values)

    def _note(self, key: ModelKey, baseline: Baseline) -> Made:
        values = (key.project, key.model, baseline.version, _MADE.dump_json(baseline.made))
        self._db.execute("INSERT OR REPLACE INTO made VALUES (?, ?, ?, ?)", values)
        return baseline.made

    def _forget_beside(self, key: ModelKey, version: int) -> None:
        for table in _BESIDE_A_BASELINE:
            self._db.execute(
                f"DELETE FROM {table} WHERE project = ? AND model = ? AND version = ?",  # noqa: S608 - our own names
                (key.project, key.model, version),
            )


class _Jobs:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def put(self, job: ReportJob) -> None:
        self._db.execute(
            "INSERT INTO jobs (id, tries, body) VALUES (?, ?, ?)"
            " ON CONFLICT DO UPDATE SET tries = excluded.tries, body = excluded.body",
            (job.id, job.tries, _JOB.dump_json(job)),
        )

    def first(self) -> ReportJob | None:
        found = self._db.execute("SELECT body FROM jobs ORDER BY tries, seq LIMIT 1").fetchone()
        return None if found is None else _JOB.validate_json(found[0])

    def done(self, job_id: str) -> None:
        self._db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
