# SPDX-License-Identifier: Apache-2.0
"""What many judged models and very large windows cost monitoring: processor seconds and memory.

    python benchmarks/monitoring_large.py [--models 200] [--rows 1000000] [--rounds 3]

The service's own handlers work on its SQLite ledger in this process, without a bus. Rows of a large window are put into the ledger
10 000 at a time, and after each time the handlers have a message, as they would many; then its labels come. A call is for how
long other messages wait, so the longest one is told, and what all of them took. Memory is by how much the most that the process ever had
has grown, .1 where it has not, in the calls that fill the window and measure it. The peer reads the same rows from a table of its own and does nothing with them: the least
that a decision about stored rows can cost. Rows have eight numbers and two categories.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import numpy as np
from pydantic_core import from_json, to_json
from results_file import Figure, compare, write

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.gateway import Label, LabelRecorded
from mlops.contracts.message import Message
from mlops.contracts.monitor_settings import MonitorSettings
from mlops.contracts.serving import Prediction, PredictionLogged
from mlops.contracts.settings import EvaluateSettings, Goal
from mlops.monitoring.adapters.memory import MemoryReports
from mlops.monitoring.adapters.sqlite import SqliteLedger
from mlops.monitoring.handlers.heat import HeatLog
from mlops.monitoring.handlers.judging import Judge
from mlops.monitoring.handlers.listening import Listening
from mlops.monitoring.handlers.rows import RowHandlers
from mlops.monitoring.model.windows import ModelKey, Row, Truth, Watched, Window, columns_of
from mlops.monitoring.ports import Baseline, Page, WatchedProject

PEER = "the rows read from SQLite"
PROJECT = "bench"
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
WINDOW = 200
REFERENCE = 1000
AT_ONCE = 10_000


@dataclass(frozen=True)
class Cost:
    """Processor seconds of all calls and of the longest one, and by how much the process grew."""

    cpu_s: float
    longest_s: float
    grown_mb: float

    def plus(self, other: Cost) -> Cost:
        """Return the cost of both."""
        longest = max(self.longest_s, other.longest_s)
        return Cost(self.cpu_s + other.cpu_s, longest, max(self.grown_mb, other.grown_mb))


def main() -> None:
    """Measure each case in a process of its own and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=200)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    many = [apart(of_many, asked.models) for _ in range(asked.rounds)]
    large = [apart(of_large, asked.rows) for _ in range(asked.rounds)]
    few = [apart(of_large, asked.rows // 10) for _ in range(asked.rounds)]
    each = f"{asked.models} models, a judged window of {WINDOW} rows each"
    figures = [
        *figures_of(each, many),
        *figures_of(f"a window of {asked.rows} rows", large, called=True),
        *figures_of(f"a window of {asked.rows // 10} rows", few, called=True),
    ]
    write("monitoring_large", figures)


def figures_of(
    name: str, rounds: Sequence[tuple[Cost, Cost]], *, called: bool = False
) -> Iterator[Figure]:
    """Yield what all rounds of one case say; *called*: also the longest call."""
    ours, theirs = zip(*rounds, strict=True)
    longest = [(f"{name}: longest call", "CPU s", lambda cost: cost.longest_s)] if called else []
    for metric, unit, of in (
        (name, "CPU s", lambda cost: cost.cpu_s),
        *longest,
        (f"{name}: grown by", "MB", lambda cost: max(cost.grown_mb, 0.1)),
    ):
        yield compare("monitoring_large", metric, unit, [*map(of, ours)], PEER, [*map(of, theirs)])


def apart(measure: Callable[[int], tuple[Cost, Cost]], size: int) -> tuple[Cost, Cost]:
    """Run one case in a fresh process: memory that was used once is hardly ever given back."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measure, (size,))


def of_many(models: int) -> tuple[Cost, Cost]:
    """Return what it costs when the windows of all models fill in the same moment, and what reading them costs."""
    return asyncio.run(_of_many(models))


def of_large(rows: int) -> tuple[Cost, Cost]:
    """Return what the messages cost that fill a large window and measure it, and what reading its rows costs."""
    return asyncio.run(_of_large(rows))


async def _of_many(models: int) -> tuple[Cost, Cost]:
    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as folder:
        bench = await Bench.begun(Path(folder), WINDOW)
        keys = [ModelKey(PROJECT, f"model-{number}") for number in range(models)]
        for key in keys:
            await bench.introduce(key)
            await bench.hear(key, WINDOW - 1)
        last = [bench.logged(key, 1) for key in keys]
        ours = await measured([partial(bench.handlers.on_prediction_logged, one) for one in last])
        await bench.check_judged(keys)
        theirs = await measured([bench.read for _ in keys[:1]])
        await bench.ledger.close()
        return ours, theirs


async def _of_large(rows: int) -> tuple[Cost, Cost]:
    with tempfile.TemporaryDirectory(prefix="mlops-bench-") as folder:
        bench = await Bench.begun(Path(folder), rows)
        key = ModelKey(PROJECT, "model-0")
        await bench.introduce(key)
        ours = await bench.fill(key, rows)
        await bench.check_judged([key])
        ours = ours.plus(await bench.label(key, rows))
        await bench.check_measured(key)
        theirs = await measured([bench.read])
        await bench.ledger.close()
        return ours, theirs


@dataclass
class Bench:
    """Monitoring's handlers on a ledger, and rows for them."""

    path: Path
    ledger: SqliteLedger
    handlers: RowHandlers
    window: int
    sent: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(0)

    @classmethod
    async def begun(cls, folder: Path, window: int) -> Bench:
        """Return a bench whose project has windows of so many rows."""
        projects = MemoryBus().documents("monitoring_projects", WatchedProject)
        watched = WatchedProject(
            evaluate=EvaluateSettings(metric="mae", goal=Goal.MIN),
            monitor=MonitorSettings(window=window),
        )
        await projects.change(PROJECT, lambda _: watched, applied="begun")
        ledger = SqliteLedger(folder / "ledger.db")
        judge = Judge(MemoryReports(), HeatLog())
        handlers = RowHandlers(projects, ledger, judge, 20, Listening(time.monotonic))
        return cls(folder / "ledger.db", ledger, handlers, window)

    async def introduce(self, key: ModelKey) -> None:
        """Make a model known, with a reference."""
        rows = [self._row() for _ in range(REFERENCE)]

        def change(page: Page) -> Sequence[Message]:
            page.models.put(Watched(key, version=1))
            baseline = Baseline(
                1, NOON, "a table", self.window, columns_of(rows), [r.prediction for r in rows]
            )
            page.baselines.put(key, baseline)
            return []

        await self.ledger.apply(f"introduce-{key.model}", change)

    async def hear(self, key: ModelKey, rows: int) -> None:
        """Let the handlers have rows, a hundred at a time."""
        for start in range(0, rows, 100):
            batch = self.logged(key, min(100, rows - start))
            await self.handlers.on_prediction_logged(batch)

    async def fill(self, key: ModelKey, rows: int) -> Cost:
        """Fill the first window of a model; return what the handlers took, who had a message after all rows of each part."""
        spent = Cost(0.0, 0.0, 0.0)
        for start in range(0, rows, AT_ONCE):
            part = [self._row() for _ in range(min(AT_ONCE, rows - start) - 1)]
            await self.ledger.apply(f"store-{key.model}-{start}", partial(_stored, self, key, part))
            last = self.logged(key, 1)
            spent = spent.plus(await measured([partial(self.handlers.on_prediction_logged, last)]))
        return spent

    async def label(self, key: ModelKey, rows: int) -> Cost:
        """Tell the truth of all rows; return what the handlers took for the last one, which measures the window."""
        names = [f"r{self.sent - place}" for place in range(1, rows)]

        def change(page: Page) -> Sequence[Message]:
            page.rows.label(key, [Truth(name, 0.5, NOON) for name in names[:AT_ONCE]])
            (window,) = page.windows.latest(key, 1)
            page.windows.put(key, replace(window, labelled=window.labelled + len(names[:AT_ONCE])))
            del names[:AT_ONCE]
            return []

        while names:
            await self.ledger.apply(f"label-{names[0]}", change)
        last = Label(request_id=f"r{self.sent}", label=0.5, at=NOON)
        recorded = LabelRecorded(project=PROJECT, model=key.model, labels=(last,))
        return await measured([partial(self.handlers.on_label_recorded, recorded)])

    def logged(self, key: ModelKey, rows: int) -> PredictionLogged:
        """Return a message of so many rows."""
        told = tuple(
            Prediction(
                request_id=row.request_id,
                at=row.at,
                features=row.features,
                prediction=row.prediction,
            )
            for row in (self._row() for _ in range(rows))
        )
        return PredictionLogged(project=PROJECT, model=key.model, version=1, predictions=told)

    async def read(self) -> None:
        """Read every row of the ledger, as the peer does."""
        with sqlite3.connect(self.path) as db:
            for features, prediction in db.execute("SELECT features, prediction FROM predictions"):
                from_json(features), from_json(prediction)

    async def check_judged(self, keys: Sequence[ModelKey]) -> None:
        """Fail where a window was not judged: its cost would mean nothing."""
        for key in keys:
            (window,) = await self.ledger.look(partial(_newest, key=key))
            if window.inputs is None or window.inputs.unjudged is not None:
                raise SystemExit(f"{key.model} was not judged: {to_json(str(window))!r}")

    async def check_measured(self, key: ModelKey) -> None:
        """Fail where a window was not measured."""
        (window,) = await self.ledger.look(partial(_newest, key=key))
        if window.value is None:
            raise SystemExit(f"{key.model} was not measured: {to_json(str(window))!r}")

    def _row(self) -> Row:
        self.sent += 1
        numbers = {f"x{i}": round(float(v), 6) for i, v in enumerate(self.rng.normal(size=8))}
        kinds = {f"k{i}": "abc"[int(self.rng.integers(3))] for i in range(2)}
        at = NOON + timedelta(seconds=self.sent)
        return Row(f"r{self.sent}", at, {**numbers, **kinds}, round(float(self.rng.random()), 6))


def _stored(bench: Bench, key: ModelKey, part: Sequence[Row], page: Page) -> Sequence[Message]:
    page.models.put(replace(page.models.get(key) or Watched(key, version=1), windows_made=1))
    known = page.windows.latest(key, 1)
    window = known[0] if known else Window(0, 1, bench.window, open_at_s=0.0)
    page.rows.add(key, 0, part)
    page.windows.put(key, window.grown(part, 0))
    return []


def _newest(page: Page, key: ModelKey) -> list[Window]:
    return page.windows.latest(key, 1)


async def measured(calls: Sequence[Callable[[], Awaitable[object]]]) -> Cost:
    """Return what calls cost, one after another."""
    memory, spent = grown_mb(), list[float]()
    for call in calls:
        cpu = time.process_time()
        await call()
        spent.append(time.process_time() - cpu)
    return Cost(sum(spent), max(spent), grown_mb() - memory)


def grown_mb() -> float:
    """Return the most memory that this process has ever had."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (1024 * 1024 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
