# SPDX-License-Identifier: Apache-2.0
"""Techniques: which technique of optimisation is best on which chip, from the runs that finished there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from mlops.tracking.model.facts import is_number
from mlops.tracking.model.records import FINISHED, THROUGHPUT, RunRecord, best

UNKNOWN_CHIP = "unknown"


@dataclass(frozen=True)
class Technique:
    """What the finished runs of one technique on one chip amount to; None where none of them says it."""

    technique: str
    runs: int
    projects: tuple[str, ...]
    metric_median: float | None
    throughput_median: float | None
    energy_j_median: float | None
    peak_memory_gb_median: float | None
    peak_heat_level_max: float | None


@dataclass(frozen=True)
class Chip:
    """The techniques tried on a chip, and which is best in what."""

    chip: str
    throughput_metric: str | None
    techniques: tuple[Technique, ...]
    best: Mapping[str, str | None]


def summarise(
    runs: Iterable[RunRecord], metric: str | None = None, goal: str | None = None
) -> list[Chip]:
    """Return the chips by name; only runs that finished and name their technique count.

    *metric*, with *goal* "max" or "min", is the one that the runs are compared by.
    """
    by_chip: dict[str, list[RunRecord]] = {}
    for run in runs:
        if run.status == FINISHED and run.technique:
            by_chip.setdefault(run.chip or UNKNOWN_CHIP, []).append(run)
    return [_chip(name, found, metric, goal) for name, found in sorted(by_chip.items())]


def _chip(name: str, runs: Sequence[RunRecord], metric: str | None, goal: str | None) -> Chip:
    throughput = _commonest(runs)
    by_technique: dict[str, list[RunRecord]] = {}
    for run in runs:
        by_technique.setdefault(run.technique or "", []).append(run)
    techniques = tuple(
        _technique(each, found, metric, throughput) for each, found in sorted(by_technique.items())
    )
    return Chip(name, throughput, techniques, _best(techniques, goal))


def _technique(
    name: str, runs: Sequence[RunRecord], metric: str | None, throughput: str | None
) -> Technique:
    heat = _known(runs, lambda run: run.hardware["peak_heat_level"])
    return Technique(
        technique=name,
        runs=len(runs),
        projects=tuple(sorted({run.project for run in runs})),
        metric_median=_median(runs, lambda run: run.metrics.get(metric or "")),
        throughput_median=_median(runs, lambda run: run.throughput.get(throughput or "")),
        energy_j_median=_median(runs, lambda run: run.hardware["energy_j"]),
        peak_memory_gb_median=_median(runs, lambda run: run.hardware["peak_memory_gb"]),
        peak_heat_level_max=max(heat, default=None),
    )


def _best(techniques: Sequence[Technique], goal: str | None) -> dict[str, str | None]:
    def of(read: Callable[[Technique], float | None], better: str | None) -> str | None:
        return best({each.technique: read(each) for each in techniques}, better)

    return {
        "throughput": of(lambda each: each.throughput_median, "max"),
        "energy": of(lambda each: each.energy_j_median, "min"),
        "memory": of(lambda each: each.peak_memory_gb_median, "min"),
        "heat": of(lambda each: each.peak_heat_level_max, "min"),
        "metric": of(lambda each: each.metric_median, goal),
    }


def _commonest(runs: Sequence[RunRecord]) -> str | None:
    # Tokens and samples are no common measure: a chip is judged by what most of its runs count.
    counted = Counter(name for run in runs for name in run.throughput)
    return max(counted, key=lambda name: (counted[name], -THROUGHPUT.index(name)), default=None)


def _median(runs: Sequence[RunRecord], read: Callable[[RunRecord], float | None]) -> float | None:
    found = _known(runs, read)
    return float(median(found)) if found else None


def _known(runs: Sequence[RunRecord], read: Callable[[RunRecord], float | None]) -> list[float]:
    found = (read(run) for run in runs)
    return [value for value in found if value is not None and is_number(value)]
