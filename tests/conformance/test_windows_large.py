# SPDX-License-Identifier: Apache-2.0
"""The promises of monitoring's ledger about large windows, each held by the memory fake and by SQLite."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from mlops.contracts.message import Message
from mlops.monitoring.adapters.sqlite import SqliteLedger
from mlops.monitoring.model.tally import Counted, Tally
from mlops.monitoring.model.windows import ModelKey, Row, Truth
from mlops.monitoring.ports import Ledger, Page, Which

RAIN = ModelKey("rainfall", "rain")
SNOW = ModelKey("rainfall", "snow")
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


async def write(ledger: Ledger, key: ModelKey, window: int, names: Sequence[str]) -> None:
    def change(page: Page) -> Sequence[Message]:
        page.rows.add(key, window, [Row(name, NOON, {}, 1) for name in names])
        return []

    await ledger.apply(f"write-{key.model}-{names[0]}", change)


async def label(ledger: Ledger, names: Sequence[str]) -> None:
    def change(page: Page) -> Sequence[Message]:
        page.rows.label(RAIN, [Truth(name, 1, NOON) for name in names])
        return []

    await ledger.apply(f"label-{names[0]}", change)


async def clear(ledger: Ledger, window: int) -> None:
    def change(page: Page) -> Sequence[Message]:
        page.rows.clear(RAIN, [window])
        return []

    await ledger.apply(f"clear-{window}", change)


async def names_of(ledger: Ledger, which: Which, window: int = 0) -> str:
    return await ledger.look(
        lambda page: "".join(row.request_id for row in page.rows.of(RAIN, window, which))
    )


@pytest.mark.parametrize(
    ("which", "names"),
    [
        (Which(), "abcdefg"),
        (Which(after="c"), "defg"),
        (Which(after="g"), ""),
        (Which(newest=2), "fg"),
        (Which(newest=9), "abcdefg"),
        (Which(every=2), "aceg"),
        (Which(after="a", every=4), "bf"),
        (Which(labelled=True), "abef"),
        (Which(labelled=True, every=2), "aef"),
    ],
)
async def test_only_those_rows_come_that_are_asked_for(
    ledger: Ledger, which: Which, names: str
) -> None:
    await write(ledger, RAIN, 0, "abc")
    await write(ledger, SNOW, 0, "xyz")
    await write(ledger, RAIN, 1, "uvw")
    await write(ledger, RAIN, 0, "defg")
    await label(ledger, "abef")

    assert await names_of(ledger, which) == names


def counted(rows: int, *, features: int) -> Counted:
    some = np.arange(features, dtype=np.float64) / 3
    tally = Tally(
        rows=rows,
        phases=np.array([1.0, 0.1 + 0.2]),
        counts=(np.array([[1.0, 2.0], [0.0, 1e300]]),),
        sums=some,
        products=np.outer(some, some),
        strangers=(3,),
        absent=frozenset({"wind"}),
        strange=frozenset({"ü\x00"}),
        clock=np.zeros(5),
    )
    return Counted(tally, tally if features else None, last="r7", mark="m")


@pytest.mark.parametrize("features", [0, 3])
async def test_counts_come_back_as_they_were(ledger: Ledger, features: int) -> None:
    one, other = counted(7, features=features), counted(9, features=features)

    def change(page: Page) -> Sequence[Message]:
        page.tallies.put(RAIN, 0, "first", counted(3, features=features))
        page.tallies.put(RAIN, 0, "first", one)
        page.tallies.put(RAIN, 0, "second", other)
        page.tallies.put(RAIN, 1, "first", other)
        page.rows.clear(RAIN, [1])
        return []

    await ledger.apply("m1", change)

    rows, found, cleared = await ledger.look(
        lambda page: (
            [page.tallies.rows(RAIN, 0, name) for name in ("first", "second", "third")],
            page.tallies.get(RAIN, 0, "first"),
            page.tallies.get(RAIN, 1, "first"),
        )
    )
    assert rows == [7, 9, 0]
    assert found is not None
    assert repr(found) == repr(one)
    assert cleared is None


async def test_rows_of_a_large_window_are_forgotten_at_once(ledger: Ledger) -> None:
    names = [f"r{i}" for i in range(25_000)]
    await write(ledger, RAIN, 0, names)
    await write(ledger, RAIN, 1, "abc")
    await label(ledger, ["a", "r24999"])

    await clear(ledger, 0)

    assert await names_of(ledger, Which()) == ""
    assert await names_of(ledger, Which(labelled=True), window=1) == "a"


async def test_forgotten_rows_leave_the_disk_little_by_little_also_after_a_restart(
    tmp_path: Path,
) -> None:
    ledger = SqliteLedger(tmp_path / "l.db")
    names = [f"r{i}" for i in range(25_000)]
    await write(ledger, RAIN, 0, names)
    await label(ledger, names[-3:])
    await clear(ledger, 0)
    await ledger.close()
    first = on_disk(tmp_path)

    ledger = SqliteLedger(tmp_path / "l.db")
    await write(ledger, SNOW, 0, "x")
    second = on_disk(tmp_path)
    await write(ledger, SNOW, 0, "y")
    await ledger.close()

    assert (first, second, on_disk(tmp_path)) == ((5000, 3), (1, 0), (2, 0))


def on_disk(folder: Path) -> tuple[int, int]:
    with closing(sqlite3.connect(folder / "l.db")) as db:
        ((rows,),) = db.execute("SELECT count(*) FROM predictions").fetchall()
        ((labels,),) = db.execute("SELECT count(*) FROM labels").fetchall()
    return rows, labels
