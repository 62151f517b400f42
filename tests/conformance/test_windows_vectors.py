# SPDX-License-Identifier: Apache-2.0
"""The promises of monitoring's ledger about vectors, each held by the memory fake and by SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from mlops.contracts.message import Message
from mlops.monitoring.adapters.sqlite import SqliteLedger
from mlops.monitoring.model.vectors import Answer
from mlops.monitoring.model.windows import ModelKey, Row
from mlops.monitoring.ports import Ledger, Page

RAIN = ModelKey("rainfall", "rain")
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
ROW = Row("a", NOON, {"wind": 0.5}, 1)


async def write(ledger: Ledger, *rows: Row) -> None:
    def change(page: Page) -> Sequence[Message]:
        page.rows.add(RAIN, 0, rows)
        return []

    await ledger.apply("m1", change)


async def rows_of(ledger: Ledger) -> list[Row]:
    return await ledger.look(lambda page: list(page.rows.of(RAIN, 0)))


async def test_vectors_come_back_as_they_were(ledger: Ledger) -> None:
    vectors = {"sky": (0.5, None, -1e-7), "sky~768:": (1.0,)}
    rows = [
        replace(ROW, vectors=vectors),
        replace(ROW, request_id="b", answer=Answer((0.25, None))),
        replace(
            ROW, request_id="c", prediction=None, vectors=vectors, answer=Answer((0.5,), 1000, 401)
        ),
        replace(ROW, request_id="d"),
    ]

    await write(ledger, *rows)

    assert await rows_of(ledger) == rows


async def test_a_ledger_from_before_vectors_grows_them(tmp_path: Path) -> None:
    await SqliteLedger(tmp_path / "l.db").close()
    with closing(sqlite3.connect(tmp_path / "l.db")) as db, db:
        db.execute("ALTER TABLE predictions DROP COLUMN vectors")
        db.execute(
            "INSERT INTO predictions (project, model, request_id, number, at, features, prediction)"
            " VALUES ('rainfall', 'rain', 'old', 0, '2026-05-01T12:00:00+00:00', '{}', '1')"
        )

    ledger = SqliteLedger(tmp_path / "l.db")
    new = replace(ROW, answer=Answer((0.5,)))
    await write(ledger, new)

    assert await rows_of(ledger) == [Row("old", NOON, {}, 1), new]
    await ledger.close()
