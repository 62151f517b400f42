# SPDX-License-Identifier: Apache-2.0
"""SqlitePage: the tables of the ledger, as they are read and written within one transaction."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Collection

from pydantic import TypeAdapter

from mlops.monitoring.adapters.sqlite_rows import SqliteRows
from mlops.monitoring.model.windows import ModelKey, Phase, Watched, Window
from mlops.monitoring.ports import Baseline, ReportJob

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
    number INTEGER NOT NULL, at TEXT NOT NULL, features TEXT NOT NULL, prediction TEXT NOT NULL,
    UNIQUE (project, model, request_id));
CREATE INDEX IF NOT EXISTS predictions_of_window ON predictions (project, model, number);
CREATE TABLE IF NOT EXISTS labels (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, model TEXT NOT NULL, request_id TEXT NOT NULL,
    label TEXT NOT NULL, at TEXT NOT NULL, UNIQUE (project, model, request_id));
CREATE TABLE IF NOT EXISTS baselines (
    project TEXT NOT NULL, model TEXT NOT NULL, version INTEGER NOT NULL, body BLOB NOT NULL,
    PRIMARY KEY (project, model, version)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS jobs (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL,
    tries INTEGER NOT NULL, body BLOB NOT NULL);
"""

_WATCHED = TypeAdapter(Watched)
_WINDOW = TypeAdapter(Window)
_BASELINE = TypeAdapter(Baseline)
_JOB = TypeAdapter(ReportJob)


class SqlitePage:
    """The ledger within one transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.models = _Models(db)
        self.windows = _Windows(db)
        self.rows = SqliteRows(db)
        self.baselines = _Baselines(db)
        self.jobs = _Jobs(db)


class _Models:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def get(self, key: ModelKey) -> Watched | None:
        found = self._db.execute(
            "SELECT body FROM models WHERE project = ? AND model = ?", (key.project, key.model)
        ).fetchone()
        return None if found is None else _WATCHED.validate_json(found[0])

    def put(self, model: Watched) -> None:
        values = (model.key.project, model.key.model, _WATCHED.dump_json(model))
        self._db.execute("INSERT OR REPLACE INTO models VALUES (?, ?, ?)", values)

    def all(self) -> list[Watched]:
        found = self._db.execute("SELECT body FROM models ORDER BY project, model")
        return [_WATCHED.validate_json(body) for (body,) in found]


class _Windows:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def unfinished(self, key: ModelKey) -> list[Window]:
        found = self._db.execute(
            "SELECT body FROM windows WHERE project = ? AND model = ? AND phase IN (?, ?) ORDER BY number",
            (key.project, key.model, Phase.OPEN, Phase.FULL),
        )
        return [_WINDOW.validate_json(body) for (body,) in found]

    def latest(self, key: ModelKey, most: int) -> list[Window]:
        found = self._db.execute(
            "SELECT body FROM windows WHERE project = ? AND model = ? ORDER BY number DESC LIMIT ?",
            (key.project, key.model, most),
        ).fetchall()
        return [_WINDOW.validate_json(body) for (body,) in reversed(found)]

    def put(self, key: ModelKey, window: Window) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO windows VALUES (?, ?, ?, ?, ?)",
            (key.project, key.model, window.number, window.phase, _WINDOW.dump_json(window)),
        )

    def drop(self, key: ModelKey, numbers: Collection[int]) -> None:
        SqliteRows(self._db).clear(key, numbers)
        self._db.executemany(
            "DELETE FROM windows WHERE project = ? AND model = ? AND number = ?",
            [(key.project, key.model, number) for number in numbers],
        )


class _Baselines:
    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def get(self, key: ModelKey, version: int) -> Baseline | None:
        found = self._db.execute(
            "SELECT body FROM baselines WHERE project = ? AND model = ? AND version = ?",
            (key.project, key.model, version),
        ).fetchone()
        return None if found is None else _BASELINE.validate_json(zlib.decompress(found[0]))

    def put(self, key: ModelKey, baseline: Baseline) -> None:
        body = zlib.compress(_BASELINE.dump_json(baseline))
        values = (key.project, key.model, baseline.version, body)
        self._db.execute("INSERT OR REPLACE INTO baselines VALUES (?, ?, ?, ?)", values)

    def drop(self, key: ModelKey, version: int) -> None:
        self._db.execute(
            "DELETE FROM baselines WHERE project = ? AND model = ? AND version = ?",
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
