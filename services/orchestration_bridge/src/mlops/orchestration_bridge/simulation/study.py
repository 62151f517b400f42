# SPDX-License-Identifier: Apache-2.0
"""A study: every scheduler on the same traces, for every load and seed, and what comes of comparing them.

One run is fully determined by its cell (scheduler, load, seed, fleet, jobs), so the number of workers changes nothing.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context, parent_process

from mlops.orchestration_bridge.model import heat
from mlops.orchestration_bridge.simulation import fleets, trace
from mlops.orchestration_bridge.simulation.baselines import BASELINES
from mlops.orchestration_bridge.simulation.engine import Engine
from mlops.orchestration_bridge.simulation.hearing import PATIENCE, VARIANTS
from mlops.orchestration_bridge.simulation.machine import Machine
from mlops.orchestration_bridge.simulation.oracle import Oracle
from mlops.orchestration_bridge.simulation.outcome import FIGURES, outcome
from mlops.orchestration_bridge.simulation.paired import difference, interval
from mlops.orchestration_bridge.simulation.production import Production
from mlops.orchestration_bridge.simulation.scheduler import Scheduler

OURS, BLIND, ORACLE = "ours", "blind", "oracle"
LOADS = (0.3, 0.5, 0.7, 0.9, 1.1)
SEEDS = 30
SCHEDULERS = (*VARIANTS, *BASELINES, ORACLE)
# The other variants of ours are asked for by name.
USUAL = (OURS, BLIND, *BASELINES, ORACLE)

Row = dict[str, object]


@dataclass(frozen=True)
class Cell:
    """One run: which scheduler, under which load, with which seed, on which fleet, with which jobs."""

    scheduler: str
    load: float
    seed: int
    fleet: str
    jobs: str


@dataclass(frozen=True)
class Study:
    """What is to be compared."""

    loads: Sequence[float] = LOADS
    seeds: int = SEEDS
    fleet: str = "mixed"
    jobs: str = "heavy-tailed"
    schedulers: Sequence[str] = USUAL

    def cells(self) -> Iterator[Cell]:
        """Yield every run, the longest first: so the last worker is not left with one of those."""
        for load in sorted(self.loads, reverse=True):
            for seed in range(1, self.seeds + 1):
                for name in self.schedulers:
                    yield Cell(name, load, seed, self.fleet, self.jobs)


Figures = Mapping[Cell, Mapping[str, float]]


def play(cell: Cell) -> dict[str, float]:
    """Run one cell from its beginning to the end of its last job; return its figures."""
    makes = fleets.fleet(cell.fleet, cell.seed)
    jobs = trace.jobs(makes, cell.load, trace.JOBS[cell.jobs], cell.seed)
    engine = Engine([Machine(make) for make in makes], jobs, cell.seed)
    return outcome(engine.run(_scheduler(cell, makes, engine)), jobs)


def played(study: Study, workers: int, tell: Callable[[int, int], None]) -> Figures:
    """Run everything, on so many processes; *tell* hears how many of how many are done."""
    cells = list(study.cells())
    found: dict[Cell, Mapping[str, float]] = {}
    if workers <= 1:
        for cell in cells:
            found[cell] = play(cell)
            tell(len(found), len(cells))
        return found
    # Started anew, not forked: a fork would copy whatever threads the caller has.
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=_end_with_the_caller) as pool:
        coming = {pool.submit(play, cell): cell for cell in cells}
        for done in as_completed(coming):
            found[coming[done]] = done.result()
            tell(len(found), len(cells))
    return found


def _end_with_the_caller() -> None:
    """Let this worker end when who started it is gone: killed, it could not tell its workers so."""
    caller = parent_process()
    if caller is None:
        return

    def watch() -> None:
        caller.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def summary(study: Study, figures: Figures) -> dict[str, object]:
    """Return means with their intervals, and the differences of ours from every other, for each load and figure."""
    others = [name for name in study.schedulers if name != OURS]
    means = [
        _mean(study, figures, name, load, figure.key)
        for load in study.loads
        for name in study.schedulers
        for figure in FIGURES
    ]
    differences = [
        _difference(study, figures, name, load, figure.key)
        for load in study.loads
        for name in others
        for figure in FIGURES
        if OURS in study.schedulers
    ]
    return {
        "study": asdict(study),
        "figures": [asdict(figure) for figure in FIGURES],
        "means": means,
        "differences": differences,
    }


def _row(study: Study, figures: Figures, name: str, load: float, key: str) -> list[float]:
    seeds = range(1, study.seeds + 1)
    return [figures[Cell(name, load, seed, study.fleet, study.jobs)][key] for seed in seeds]


def _mean(study: Study, figures: Figures, name: str, load: float, key: str) -> Row:
    values = _row(study, figures, name, load, key)
    low, high = interval(values)
    mean = sum(values) / len(values)
    return {"scheduler": name, "load": load, "figure": key, "mean": mean, "low": low, "high": high}


def _difference(study: Study, figures: Figures, other: str, load: float, key: str) -> Row:
    ours = _row(study, figures, OURS, load, key)
    found = difference(ours, _row(study, figures, other, load, key))
    where: Row = {"from": other, "load": load, "figure": key}
    return {**where, **asdict(found), "verdict": found.verdict}


def _scheduler(cell: Cell, makes: Sequence[fleets.Make], engine: Engine) -> Scheduler:
    if cell.scheduler in BASELINES:
        return BASELINES[cell.scheduler](makes, cell.seed)
    if cell.scheduler == ORACLE:
        return Oracle(engine.machines)
    hearing, patience = VARIANTS[cell.scheduler](), PATIENCE.get(cell.scheduler, heat.PATIENCE)
    return Production(makes, trace.mix(makes), hearing, cell.scheduler, patience)
