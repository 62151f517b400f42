# SPDX-License-Identifier: Apache-2.0
"""SqliteRows: predictions and labels, found by request id; labels may come first, twice, or never."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic_core import from_json, to_json

from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.vectors import Answer, Numbers
from mlops.monitoring.model.windows import SPREAD, ModelKey, Row, Truth
from mlops.monitoring.ports import ALL, Pair, Which

# Labels of predictions that were never seen (or are forgotten) are kept until this many newer ones have come.
_STRAYS = 200_000
_AT_ONCE = 10_000
_NO_TRUTH: tuple[Value, Numbers | None] = (None, None)
_ROWS = (
    "SELECT p.request_id, p.at, p.features, p.prediction, p.vectors, l.label FROM predictions p"
    " {joined} labels l USING (project, model, request_id)"
    " WHERE p.project = :project AND p.model = :model AND p.number = :window AND p.seq > :seq{chosen} ORDER BY p.seq"
)
# Where the rows are is in an index; they themselves, a hundred times larger, are read only where they are wanted.
_EACH = (
    " AND p.seq IN (SELECT seq FROM (SELECT seq, row_number() OVER (ORDER BY seq) - 1 AS place FROM predictions"
    " WHERE project = :project AND model = :model AND number = :window AND seq > :seq) WHERE {place})"
)
_EVENLY = "place % :every = 0"
_SPREAD = f"((place * {SPREAD}) & 65535) * :every <= 65535"  # model.windows.is_spread


class SqliteRows:
    """The tables `predictions` and `labels`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def unknown(self, key: ModelKey, request_ids: Collection[str]) -> set[str]:
        """Return those request ids that no kept prediction has."""
        return set(request_ids) - self._kept(key, request_ids).keys()

    def add(self, key: ModelKey, window: int, rows: Sequence[Row]) -> list[Pair]:
        """Add predictions to a window; return those that have their label already, with it."""
        self._db.executemany(
            "INSERT INTO predictions (project, model, request_id, number, at, features, prediction, vectors)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    key.project,
                    key.model,
                    row.request_id,
                    window,
                    row.at.isoformat(),
                    _json(dict(row.features)),
                    _json(row.prediction),
                    _vectors(row),
                )
                for row in rows
            ],
        )
        labels = self._labels(key, [row.request_id for row in rows])
        return [
            (row.prediction, _label(labels[row.request_id][1])[0])
            for row in rows
            if row.request_id in labels
        ]

    def label(self, key: ModelKey, truths: Sequence[Truth]) -> dict[int, list[Pair]]:
        """Keep labels; return the predictions of each window that got their first one, with it."""
        names = {truth.request_id for truth in truths}
        known, predictions = self._labels(key, names), self._kept(key, names)
        windows: dict[int, list[Pair]] = {}
        changed: dict[str, tuple[datetime, str]] = {}
        for truth in truths:
            told, before = (truth.at, _told(truth)), known.get(truth.request_id)
            if before is not None and before >= told:
                continue
            known[truth.request_id] = changed[truth.request_id] = told
            if before is None and truth.request_id in predictions:
                number, prediction = predictions[truth.request_id]
                windows.setdefault(number, []).append((from_json(prediction), truth.label))
        self._keep(key, changed)
        return windows

    def of(self, key: ModelKey, window: int, which: Which = ALL) -> Iterator[Row]:
        """Yield the rows of a window with their labels, in the order they came."""
        if self._is_cleared(key, window):
            return
        asked = _ROWS.format(
            joined="JOIN" if which.labelled else "LEFT JOIN",
            chosen=_EACH.format(place=_SPREAD if which.labelled else _EVENLY)
            if which.every > 1
            else "",
        )
        found = self._db.execute(
            asked,
            {
                "project": key.project,
                "model": key.model,
                "window": window,
                "seq": self._before(key, window, which),
                "every": which.every,
            },
        )
        for request_id, at, features, prediction, vectors, label in found:
            truth = _NO_TRUTH if label is None else _label(label)
            row = Row(
                request_id=request_id,
                at=datetime.fromisoformat(at),
                features=from_json(features),
                prediction=from_json(prediction),
                label=truth[0],
                labelled=label is not None,
                truth=truth[1],
            )
            yield row if vectors is None else _with_vectors(row, vectors)

    def clear(self, key: ModelKey, windows: Collection[int]) -> None:
        """Forget the rows of windows, labels included: those of large ones leave the disk little by little."""
        self._db.executemany(
            "INSERT OR IGNORE INTO cleared VALUES (?, ?, ?)",
            [(key.project, key.model, number) for number in windows],
        )
        self._db.executemany(
            "DELETE FROM tallies WHERE project = ? AND model = ? AND number = ?",
            [(key.project, key.model, number) for number in windows],
        )
        self.sweep()

    def sweep(self) -> None:
        """Delete rows of cleared windows, so few that nobody waits for it."""
        left = _AT_ONCE
        for where in self._db.execute("SELECT * FROM cleared").fetchall():
            left -= self._deleted(where, left)
            if left <= 0:
                return
            self._db.execute(
                "DELETE FROM cleared WHERE project = ? AND model = ? AND number = ?", where
            )

    def _deleted(self, where: tuple[str, str, int], most: int) -> int:
        """Delete that many rows of a window with their labels; return how many it were."""
        ended = self._db.execute(
            "SELECT max(seq), count(*) FROM (SELECT seq FROM predictions"
            " WHERE project = ? AND model = ? AND number = ? ORDER BY seq LIMIT ?)",
            (*where, most),
        ).fetchone()
        upto = (*where, ended[0])
        self._db.execute(
            "DELETE FROM labels WHERE (project, model, request_id) IN"
            " (SELECT project, model, request_id FROM predictions"
            " WHERE project = ? AND model = ? AND number = ? AND seq <= ?)",
            upto,
        )
        self._db.execute(
            "DELETE FROM predictions WHERE project = ? AND model = ? AND number = ? AND seq <= ?",
            upto,
        )
        return int(ended[1])

    def _is_cleared(self, key: ModelKey, window: int) -> bool:
        found = self._db.execute(
            "SELECT 1 FROM cleared WHERE project = ? AND model = ? AND number = ?",
            (key.project, key.model, window),
        )
        return found.fetchone() is not None

    def _before(self, key: ModelKey, window: int, which: Which) -> int:
        """Return the place of the row before the first one that is wanted."""
        if which.after:
            found = self._db.execute(
                "SELECT seq FROM predictions WHERE project = ? AND model = ? AND request_id = ?",
                (key.project, key.model, which.after),
            ).fetchone()
        elif which.newest:
            found = self._db.execute(
                "SELECT seq FROM predictions WHERE project = ? AND model = ? AND number = ?"
                " ORDER BY seq DESC LIMIT 1 OFFSET ?",
                (key.project, key.model, window, which.newest),
            ).fetchone()
        else:
            found = None
        return int(found[0]) if found else 0

    def forget_strays(self) -> None:
        """Forget old labels whose prediction is not kept."""
        self._db.execute(
            "DELETE FROM labels WHERE seq <= (SELECT max(seq) FROM labels) - ? AND NOT EXISTS"
            " (SELECT 1 FROM predictions p WHERE p.project = labels.project"
            " AND p.model = labels.model AND p.request_id = labels.request_id)",
            (_STRAYS,),
        )

    def _keep(self, key: ModelKey, labels: Mapping[str, tuple[datetime, str]]) -> None:
        self._db.executemany(
            "INSERT INTO labels (project, model, request_id, label, at) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT DO UPDATE SET label = excluded.label, at = excluded.at",
            [
                (key.project, key.model, name, label, at.isoformat())
                for name, (at, label) in labels.items()
            ],
        )

    def _labels(
        self, key: ModelKey, request_ids: Collection[str]
    ) -> dict[str, tuple[datetime, str]]:
        found = self._named("labels", "at, label", key, request_ids)
        return {name: (datetime.fromisoformat(at), label) for name, at, label in found}

    def _kept(self, key: ModelKey, request_ids: Collection[str]) -> dict[str, tuple[int, str]]:
        found = self._named("predictions", "number, prediction", key, request_ids)
        return {name: (int(number), prediction) for name, number, prediction in found}

    def _named(
        self, table: str, columns: str, key: ModelKey, request_ids: Collection[str]
    ) -> list[tuple[str, Any, str]]:
        # Bound one by one, in one statement: json_each, which needs no list of marks, cuts a text at its first NUL.
        marks = ", ".join("?" * len(request_ids))
        return self._db.execute(
            f"SELECT request_id, {columns} FROM {table}"  # noqa: S608 - our own names; values are bound
            f" WHERE project = ? AND model = ? AND request_id IN ({marks})",
            (key.project, key.model, *request_ids),
        ).fetchall()


def _told(truth: Truth) -> str:
    return _json(truth.label if truth.numbers is None else truth.numbers)


def _label(text: str) -> tuple[Value, Numbers | None]:
    """Return the truth, and the numbers where it is several."""
    found = from_json(text)
    return (None, tuple(found)) if isinstance(found, list) else (found, None)


def _vectors(row: Row) -> str | None:
    if not row.vectors and row.answer is None:
        return None
    answer = row.answer and (row.answer.values, row.answer.length, row.answer.largest)
    return _json([dict(row.vectors), answer])


def _with_vectors(row: Row, text: str) -> Row:
    vectors, answer = from_json(text)
    kept = {name: tuple(values) for name, values in vectors.items()}
    if answer is None:
        return replace(row, vectors=kept)
    values, length, largest = answer
    return replace(row, vectors=kept, answer=Answer(tuple(values), length, largest))


def _json(value: object) -> str:
    return to_json(value).decode()
