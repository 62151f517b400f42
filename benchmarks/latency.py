# SPDX-License-Identifier: Apache-2.0
"""The rule for slow answers against the usual one (a percentile over a bound, twice): what is told without and with a change.

    python benchmarks/latency.py

Windows of ten minutes with 30 to 400 answers each, from the seeds written beside the figures. Without a change: how often
something is told in 1000 windows. With one: how often it is told within four windows. The peer is what people write for
Prometheus: the 95th percentile above 1.25 times its normal (and 10 ms above), for two windows; it ends when one window is
below. Both get the same counts between the same edges. Writes benchmarks/results/latency.json.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np
from results_file import Figure, write

from mlops.contracts.latency import EDGES_MS
from mlops.monitoring.model.speed import Edge, Pace, Stretch, Times, judged, quantile

SEEDS = tuple(range(770_001, 770_006))
WINDOWS, BEFORE, AFTER, TRIALS = 1000, 20, 4, 100
TYPICAL_MS = 20.0
PEER = "95th percentile, twice"
_START, _WINDOW = datetime(2026, 1, 1, tzinfo=UTC), timedelta(minutes=10)
_ROOM, _MARGIN_MS, _IN_A_ROW, _NORMAL = 1.25, 10.0, 2, 2

Generator = np.random.Generator
Draw = Callable[[Generator, int], np.ndarray]


def steady(sigma: float) -> Draw:
    """Return log-normal times that never change."""
    return lambda rng, count: rng.lognormal(np.log(TYPICAL_MS), sigma, count)


def wavering(by: float) -> Draw:
    """Return times of a machine that is faster or slower from window to window."""
    return lambda rng, count: steady(0.5)(rng, count) * rng.lognormal(0, by)


def stalling(rng: Generator, count: int) -> np.ndarray:
    """Return times of which one in a hundred stalls, and in one window of fifty a third."""
    times = steady(0.5)(rng, count)
    times[rng.random(count) < (0.3 if rng.random() < 0.02 else 0.01)] += 300
    return times


def heavy(rng: Generator, count: int) -> np.ndarray:
    """Return times with a heavy tail."""
    return TYPICAL_MS * (1 + rng.pareto(2.0, count))


def mixed(rng: Generator, count: int) -> np.ndarray:
    """Return times of two kinds of requests, whose mixture differs from window to window."""
    large = rng.random(count) < rng.uniform(0.02, 0.08)
    return steady(0.3)(rng, count) * np.where(large, 5.0, 1.0)


STREAMS: dict[str, Draw] = {
    "steady, sigma .5": steady(0.5),
    "steady, sigma 1": steady(1.0),
    "wavers by a tenth": wavering(0.1),
    "wavers by a fifth": wavering(0.2),
    "stalls": stalling,
    "heavy tail": heavy,
    "two kinds of requests": mixed,
}


def counted(times: np.ndarray) -> dict[int, int]:
    """Return answers by the place of the first edge that they did not exceed, as serving meters them."""
    places, counts = np.unique(np.searchsorted(EDGES_MS, times), return_counts=True)
    return {int(place): int(count) for place, count in zip(places, counts, strict=True)}


def stream(draw: Draw, seed: int, windows: int, slower: float = 1.0) -> list[dict[int, int]]:
    """Return windows; all but the first 20 are *slower* times as slow where that is not 1."""
    rng = np.random.default_rng(seed)
    factors = (1.0 if number < BEFORE else slower for number in range(windows))
    return [counted(draw(rng, int(rng.integers(30, 400))) * factor) for factor in factors]


def ours(windows: Sequence[Times]) -> list[int]:
    """Return the windows at which a model becomes slow."""
    found, pace = [], Pace(current=1)
    for number, times in enumerate(windows):
        since, total = _START + number * _WINDOW, sum(times.values())
        one = Stretch(1, since, since + _WINDOW, total, total, times)
        pace = judged(pace, one, str(number), EDGES_MS)
        if pace.last is not None and pace.last.edge is Edge.SLOW:
            found.append(number)
    return found


def usual(windows: Sequence[Times]) -> list[int]:
    """Return the windows at which the peer begins to tell."""
    first: dict[int, int] = {}
    for times in windows[:_NORMAL]:
        for place, count in times.items():
            first[place] = first.get(place, 0) + count
    normal = quantile(first, 0.95, EDGES_MS)
    bound = max(_ROOM * normal, normal + _MARGIN_MS)
    found, row = [], 0
    for number, times in enumerate(windows):
        row = row + 1 if quantile(times, 0.95, EDGES_MS) > bound else 0
        found += [number] if row == _IN_A_ROW else []
    return found


def false_alarms() -> list[Figure]:
    """Return how often each rule tells of a change that is none."""
    found = []
    for name, draw in STREAMS.items():
        runs = [stream(draw, seed, WINDOWS) for seed in SEEDS]
        told = [1000 * sum(len(rule(one)) for one in runs) / (WINDOWS * len(runs)) for rule in (ours, usual)]  # fmt: skip
        label = f"told without a change, {name}, seeds {SEEDS[0]}-{SEEDS[-1]}"
        found.append(_figure(label, "per 1000 windows", told, WINDOWS * len(SEEDS)))
    return found


def power() -> list[Figure]:
    """Return how often each rule tells within four windows of answers that take longer, and of nothing before."""
    found = []
    for name in ("steady, sigma .5", "steady, sigma 1", "wavers by a tenth", "heavy tail"):
        for slower in (1.5, 2.0, 3.0):
            runs = [stream(STREAMS[name], SEEDS[0] + 1000 + trial, BEFORE + AFTER, slower) for trial in range(TRIALS)]  # fmt: skip
            told = [100 * sum(any(at >= BEFORE for at in rule(one)) for one in runs) / TRIALS for rule in (ours, usual)]  # fmt: skip
            label = f"told within 4 windows, {name}, {slower:g} times as long, seeds from {SEEDS[0] + 1000}"
            found.append(_figure(label, "%", told, TRIALS))
    return found


def _figure(label: str, unit: str, told: Sequence[float], runs: int) -> Figure:
    mine, theirs = told
    ratio = mine / theirs if theirs else mine
    return Figure(
        "latency", label, unit, round(mine, 2), PEER, round(theirs, 2), round(ratio, 3), runs
    )


if __name__ == "__main__":
    write("latency", [*false_alarms(), *power()])
