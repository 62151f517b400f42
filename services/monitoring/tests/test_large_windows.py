# SPDX-License-Identifier: Apache-2.0
"""Windows of tens of thousands of rows: counted while they fill, and found to be what they are however that went."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import numpy as np

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.message import Message
from mlops.contracts.monitor_settings import MonitorSettings
from mlops.contracts.serving import Prediction, PredictionLogged
from mlops.monitoring.adapters.memory import MemoryReports
from mlops.monitoring.adapters.sqlite import SqliteLedger
from mlops.monitoring.handlers.heat import HeatLog
from mlops.monitoring.handlers.judging import Judge
from mlops.monitoring.handlers.listening import Listening
from mlops.monitoring.handlers.rows import RowHandlers
from mlops.monitoring.model.growth import Growth, State
from mlops.monitoring.model.vectors import Answer
from mlops.monitoring.model.windows import ModelKey, Row, Watched, Window, columns_of
from mlops.monitoring.ports import Baseline, Page, WatchedProject

RAIN = ModelKey("rainfall", "rain")
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
SIZE = 20_500
REFERENCE = 2000


@cache
def rows_of(begin: int, rows: int, shift: float) -> list[Row]:
    rng = np.random.default_rng(begin)
    wind, skies = rng.normal(shift, 1, rows).round(6), rng.choice(["blue", "grey"], rows)
    parts = rng.random((rows, 2)).round(6)
    return [
        Row(
            f"r{begin + i}",
            NOON + timedelta(seconds=begin + i),
            {"wind": float(wind[i]), "sky": str(skies[i])},
            float(parts[i, 0]),
            answer=Answer(tuple(parts[i].tolist())),
        )
        for i in range(rows)
    ]


@dataclass
class Filling:
    """A model whose window fills; rows are stored many at a time, and one comes by a message now and then."""

    path: Path
    stored: int = 0

    async def begin(self) -> None:
        await self.refer(0.0, "a table")
        await self.store(9_999)

    async def refer(self, mean: float, origin: str) -> None:
        def change(page: Page) -> Sequence[Message]:
            rows = rows_of(900_000, REFERENCE, mean)
            known = page.models.get(RAIN) or Watched(RAIN, version=1, windows_made=1)
            page.models.put(known)
            answers = {
                f"answer {i}": [row.answer.values[i] for row in rows if row.answer] for i in (0, 1)
            }
            said = [row.prediction for row in rows]
            baseline = Baseline(1, NOON, origin, SIZE, columns_of(rows), said, answers=answers)
            page.baselines.put(RAIN, baseline)
            return []

        await self.apply(f"refer-{origin}", change)

    async def store(self, rows: int) -> None:
        more = rows_of(0, SIZE, 1.0)[self.stored : self.stored + rows]

        def change(page: Page) -> Sequence[Message]:
            known = next(iter(page.windows.open(RAIN)), Window(0, 1, SIZE, open_at_s=0.0))
            page.rows.add(RAIN, 0, more)
            page.windows.put(RAIN, known.grown(more, 0))
            return []

        await self.apply(f"store-{self.stored}", change)
        self.stored += rows

    async def hear(self) -> tuple[Message, ...]:
        row = rows_of(0, SIZE, 1.0)[self.stored]
        self.stored += 1
        told = Prediction(
            request_id=row.request_id, at=row.at, features=row.features, prediction=row.prediction
        )
        logged = PredictionLogged(project="rainfall", model="rain", version=1, predictions=(told,))
        projects = MemoryBus().documents("monitoring_projects", WatchedProject)
        watched = WatchedProject(monitor=MonitorSettings(window=SIZE))
        await projects.change("rainfall", lambda _: watched, applied="begun")
        ledger = SqliteLedger(self.path)
        judge = Judge(MemoryReports(), HeatLog())
        handlers = RowHandlers(projects, ledger, judge, 20, Listening(lambda: 0.0))
        found = await handlers.on_prediction_logged(logged)
        await ledger.close()
        return tuple(found)

    async def apply(self, name: str, change: object) -> None:
        ledger = SqliteLedger(self.path)
        assert callable(change)
        await ledger.apply(name, change)
        await ledger.close()

    def counted(self) -> list[int]:
        with closing(sqlite3.connect(self.path)) as db:
            return [rows for (rows,) in db.execute("SELECT rows FROM tallies ORDER BY rows")]


async def at_the_end(path: Path) -> tuple[Message, ...]:
    """Return what is told of a window whose rows nobody has counted before the last one came."""
    filling = Filling(path)
    await filling.begin()
    await filling.store(SIZE - filling.stored - 1)
    return await filling.hear()


def said(told: Sequence[Message]) -> list[dict[str, object]]:
    noise = {"id", "time", "correlation_id", "causation_id"}
    return [message.model_dump(exclude=noise) for message in told]


async def test_a_window_is_counted_while_it_fills_and_what_is_found_is_the_same(
    tmp_path: Path,
) -> None:
    filling = Filling(tmp_path / "one.db")
    await filling.begin()
    await filling.hear()  # by a process that ends then, as after each message here
    await filling.store(9_999)
    await filling.hear()
    counted = filling.counted()
    await filling.store(SIZE - filling.stored - 1)

    told = await filling.hear()

    assert counted == [20_000]
    assert [message.type for message in told] == ["drift.detected"]
    assert said(told) == said(await at_the_end(tmp_path / "other.db"))


async def test_what_was_counted_against_another_reference_does_not_count(tmp_path: Path) -> None:
    filling = Filling(tmp_path / "one.db")
    await filling.begin()
    await filling.hear()
    await filling.refer(1.0, "another table")
    await filling.store(SIZE - filling.stored - 1)

    told = await filling.hear()

    assert filling.counted() == [10_000]
    assert told == ()


async def test_a_second_reference_is_counted_against_as_well(tmp_path: Path) -> None:
    filling = Filling(tmp_path / "one.db")
    await filling.begin()

    def change(page: Page) -> Sequence[Message]:
        page.baselines.grow(RAIN, 1, Growth(state=State.WHOLE), page.baselines.get(RAIN, 1))
        return []

    await filling.apply("grown", change)

    await filling.hear()

    assert filling.counted() == [10_000, 10_000]


async def test_counts_that_another_release_kept_are_made_anew(tmp_path: Path) -> None:
    filling = Filling(tmp_path / "one.db")
    await filling.begin()
    await filling.hear()
    ledger = SqliteLedger(filling.path)

    def change(page: Page) -> Sequence[Message]:
        with closing(sqlite3.connect(filling.path)) as db:
            ((against,),) = db.execute("SELECT against FROM tallies").fetchall()
        known = page.tallies.get(RAIN, 0, against)
        assert known is not None
        page.tallies.put(RAIN, 0, against, replace(known, mark="cut otherwise", last="r0"))
        return []

    await ledger.apply("released", change)
    await ledger.close()
    await filling.store(SIZE - filling.stored - 1)

    told = await filling.hear()

    assert said(told) == said(await at_the_end(tmp_path / "other.db"))
