# SPDX-License-Identifier: Apache-2.0
"""What Evidently's child process costs beside our own decision on the same windows: waking, light snapshots, full reports.

    OPENBLAS_NUM_THREADS=1 python benchmarks/evidently_writer.py

Through the adapter that the service uses, with the rows it hands over (2000 a side at most), into a folder. CPU seconds of
the child, of three runs in turn with ours; the first call after waking is not counted. Writes benchmarks/results/evidently_writer.json.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
from drift_streams import Stream
from results_file import Figure, compare, write

from mlops.chassis.sidecar import Sidecar
from mlops.monitoring.adapters.evidently import WORKER, EvidentlyReports
from mlops.monitoring.adapters.places import Place
from mlops.monitoring.model.drift import judge
from mlops.monitoring.model.reference import freeze
from mlops.monitoring.model.windows import ModelKey, Window
from mlops.monitoring.ports import Columns, ReportJob

SEED, ROWS, RUNS = 880_001, 2000, 3
WIDTHS = (10, 50)
_AT = datetime(2026, 1, 1, tzinfo=UTC)
_KEY = ModelKey("benchmark", "model")


def child() -> psutil.Process:
    """Return the child process in which Evidently lives."""
    [found] = [one for one in psutil.Process().children() if WORKER in one.cmdline()]
    return found


def spent_s(process: psutil.Process) -> float:
    """Return the CPU time of a process so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def rows_of(width: int) -> tuple[Columns, Columns]:
    """Return a window and a reference, as lists."""
    stream = Stream("independent", width, SEED)
    sides = []
    for _ in range(2):
        taken = stream.take(ROWS)
        columns = {name: list(values) for name, values in taken.columns(0, width).items()}
        sides.append({**columns, "prediction": taken.answers(0).tolist()})
    return sides[0], sides[1]


def ours_s(current: Columns, reference: Columns) -> float:
    """Return the CPU time of our decision against a frozen reference."""
    features = {name: values for name, values in reference.items() if name != "prediction"}
    frozen = freeze(features, reference["prediction"], ROWS)
    window = {name: values for name, values in current.items() if name != "prediction"}
    begun = time.process_time()
    judge(frozen, window, current["prediction"])
    return time.process_time() - begun


async def measured(shelf: EvidentlyReports, width: int) -> list[Figure]:
    """Return the figures of windows of one width."""
    current, reference = rows_of(width)
    ours, light, full = [], [], []
    for number in range(RUNS):
        window = Window(number, 1, ROWS, ROWS, first_at=_AT, last_at=_AT, index=number)
        begun = spent_s(child())
        await shelf.snapshot(_KEY, window, current, reference)
        between = spent_s(child())
        job = ReportJob(str(number), "s", _KEY, 1, number, "drift", f"v1-w{number:05d}-drift")
        await shelf.write(job, current, reference)
        light.append(between - begun)
        full.append(spent_s(child()) - between)
        ours.append(ours_s(current, reference))
    label = f"decision on {ROWS} x {width}"
    return [
        compare("evidently", label, "CPU s", ours, "light snapshot", light),
        compare("evidently", label, "CPU s", ours, "full report with HTML", full),
    ]


async def main() -> None:
    """Measure, and write the figures."""
    sidecar = Sidecar(WORKER, env={"DO_NOT_TRACK": "1"})
    with TemporaryDirectory() as folder:
        shelf = EvidentlyReports(
            Place(str(Path(folder) / "reports")), Place(str(Path(folder) / "evidently")), sidecar,
            timeout=timedelta(minutes=3), keep=9, keep_for=timedelta(days=9),
        )  # fmt: skip
        small: Columns = {"x": [1.0, 2.0, 3.0], "prediction": [0, 1, 0]}
        await shelf.snapshot(_KEY, Window(99, 1, 3, 3, first_at=_AT, last_at=_AT, index=99), small, small)  # fmt: skip
        woken_s = spent_s(child())
        figures = [one for width in WIDTHS for one in await measured(shelf, width)]
        memory = child().memory_info().rss / 1e6
        await sidecar.close()
    peer = "decision on 2000 x 10"
    mine = figures[0].ours
    figures += [
        Figure("evidently", "waking the writer, with its first snapshot", "CPU s", round(woken_s, 2), peer, mine, round(woken_s / mine, 1), 1),
        Figure("evidently", "memory of the writer after it", "MB", round(memory, 1), "none while idle", 0.0, 0.0, 1),
    ]  # fmt: skip
    write("evidently_writer", figures)


if __name__ == "__main__":
    asyncio.run(main())
