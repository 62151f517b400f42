# SPDX-License-Identifier: Apache-2.0
"""SqliteRows: predictions and labels, found by request id; labels may come first, twice, or never."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from datetime import datetime

from pydantic_core import from_json, to_json

from mlops.monitoring.model.windows import ModelKey, Row, Truth

# Labels of predictions that were never seen (or are forgotten) are kept until this many newer ones have come.
_STRAYS = 200_000


class SqliteRows:
    """The tables `predictions` and `labels`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def unknown(self, key: ModelKey, request_ids: Collection[str]) -> set[str]:
        """Return those request ids that no kept prediction has."""
        # One by one: SQLite's json_each, which could do it at once, cuts a text at its first NUL.
        return {name for name in request_ids if self._window_of(key, name) is None}

    def add(self, key: ModelKey, window: int, rows: Sequence[Row]) -> int:
        """Add predictions to a window; return how many have their label already."""
        self._db.executemany(
            "INSERT INTO predictions (project, model, request_id, number, at, features, prediction)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    key.project,
                    key.model,
                    row.request_id,
                    window,
                    row.at.isoformat(),
                    _json(dict(row.features)),
                    _json(row.prediction),
                )
                for row in rows
            ],
        )
        return sum(self._is_labelled(key, row.request_id) for row in rows)

    def label(self, key: ModelKey, truths: Sequence[Truth]) -> dict[int, int]:
        """Keep labels; return how many rows of each window got their first one."""
        windows: dict[int, int] = {}
        for truth in truths:
            if (
                self._keep(key, truth)
                and (number := self._window_of(key, truth.request_id)) is not None
            ):
                windows[number] = windows.get(number, 0) + 1
        return windows

    def of(self, key: ModelKey, window: int) -> list[Row]:
        """Return the rows of a window with their labels."""
        found = self._db.execute(
            "SELECT p.request_id, p.at, p.features, p.prediction, l.label FROM predictions p"
            " LEFT JOIN labels l USING (project, model, request_id)"
            " WHERE p.project = ? AND p.model = ? AND p.number = ? ORDER BY p.seq",
            (key.project, key.model, window),
        )
        return [
            Row(
                request_id=request_id,
                at=datetime.fromisoformat(at),
                features=from_json(features),
                prediction=from_json(prediction),
                label=None if label is None else from_json(label),
                labelled=label is not None,
            )
            for request_id, at, features, prediction, label in found
        ]

    def clear(self, key: ModelKey, windows: Collection[int]) -> None:
        """Forget the rows of windows, labels included."""
        for number in windows:
            where = (key.project, key.model, number)
            self._db.execute(
                "DELETE FROM labels WHERE (project, model, request_id) IN"
                " (SELECT project, model, request_id FROM predictions"
                " WHERE project = ? AND model = ? AND number = ?)",
                where,
            )
            self._db.execute(
                "DELETE FROM predictions WHERE project = ? AND model = ? AND number = ?", where
            )

    def forget_strays(self) -> None:
        """Forget old labels whose prediction is not kept."""
        self._db.execute(
            "DELETE FROM labels WHERE seq <= (SELECT max(seq) FROM labels) - ? AND NOT EXISTS"
            " (SELECT 1 FROM predictions p WHERE p.project = labels.project"
            " AND p.model = labels.model AND p.request_id = labels.request_id)",
            (_STRAYS,),
        )

    def _keep(self, key: ModelKey, truth: Truth) -> bool:
        """Keep a label; return whether it is the first one of its prediction."""
        where = (key.project, key.model, truth.request_id)
        before = self._db.execute(
            "SELECT at, label FROM labels WHERE project = ? AND model = ? AND request_id = ?", where
        ).fetchone()
        if before is not None and (datetime.fromisoformat(before[0]), before[1]) >= (
            truth.at,
            _json(truth.label),
        ):
            return False
        self._db.execute(
            "INSERT INTO labels (project, model, request_id, label, at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET label = excluded.label, at = excluded.at",
            (*where, _json(truth.label), truth.at.isoformat()),
        )
        return before is None

    def _is_labelled(self, key: ModelKey, request_id: str) -> bool:
        where = (key.project, key.model, request_id)
        found = self._db.execute(
            "SELECT 1 FROM labels WHERE project = ? AND model = ? AND request_id = ?", where
        )
        return found.fetchone() is not None

    def _window_of(self, key: ModelKey, request_id: str) -> int | None:
        found = self._db.execute(
            "SELECT number FROM predictions WHERE project = ? AND model = ? AND request_id = ?",
            (key.project, key.model, request_id),
        ).fetchone()
        return None if found is None else int(found[0])


def _json(value: object) -> str:
    return to_json(value).decode()
