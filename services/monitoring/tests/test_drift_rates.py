# SPDX-License-Identifier: Apache-2.0
"""How often the rule alarms on clean streams, and how often it sees a shift; small versions of benchmarks/drift.py."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops.monitoring.model.alarm import Alarm, Edge, Kind, signs, step
from mlops.monitoring.model.drift import WindowVerdict, judge
from mlops.monitoring.model.reference import freeze

Floats = NDArray[np.float64]
Rows = Callable[[np.random.Generator, int], Floats]

ROWS = 500
REFERENCE = 5000
WIDTH = 10


def independent(rng: np.random.Generator, rows: int) -> Floats:
    return rng.standard_normal((rows, WIDTH))


def heavy_tailed(rng: np.random.Generator, rows: int) -> Floats:
    return np.asarray(rng.standard_t(3, (rows, WIDTH)))


def correlated(rng: np.random.Generator, rows: int) -> Floats:
    shared, own = rng.standard_normal((rows, 1)), rng.standard_normal((rows, WIDTH))
    return np.asarray(np.sqrt(0.8) * shared + np.sqrt(0.2) * own)


def autocorrelated(rng: np.random.Generator, rows: int) -> Floats:
    found, noise = rng.standard_normal((rows, WIDTH)), rng.standard_normal((rows, WIDTH))
    for row in range(1, rows):
        found[row] = 0.9 * found[row - 1] + np.sqrt(1 - 0.81) * noise[row]
    return found


def verdicts(
    stream: Rows, seed: int, windows: int, shift: Floats | float = 0.0
) -> list[WindowVerdict]:
    rng = np.random.default_rng(seed)
    rows = stream(rng, REFERENCE + windows * ROWS)
    rows[REFERENCE:] += shift
    parts = np.split(rows, range(REFERENCE, len(rows), ROWS))
    reference = freeze(named(parts[0][:, 1:]), parts[0][:, 0], ROWS)
    return [judge(reference, named(part[:, 1:]), part[:, 0]) for part in parts[1:]]


def named(rows: Floats) -> dict[str, Floats]:
    return {f"c{place}": column for place, column in enumerate(rows.T)}


def alarmed(verdict: WindowVerdict) -> bool:
    return any(sign.seen for sign in signs(verdict, share=0.5).values())


def events(found: list[WindowVerdict]) -> list[bool]:
    memory, told = {kind: Alarm() for kind in Kind}, []
    for verdict in found:
        edges = []
        for kind, sign in signs(verdict, share=0.5).items():
            memory[kind], edge = step(memory[kind], kind, sign, 2)
            edges.append(edge)
        told.append(Edge.BEGAN in edges)
    return told


@pytest.mark.parametrize("stream", [independent, heavy_tailed, correlated, autocorrelated])
def test_at_most_one_clean_window_in_a_hundred_alarms(stream: Rows) -> None:
    found = [one for seed in range(6) for one in verdicts(stream, 4000 + seed, 60)]

    # 360 windows at 1 %: more than 8 would come by chance once in a hundred such tests.
    assert sum(alarmed(one) for one in found) <= 8


def test_a_year_without_change_tells_nothing() -> None:
    found = verdicts(independent, 5000, 1095)

    assert sum(events(found)) == 0


@pytest.mark.parametrize(
    ("shift", "seen"),
    [(0.2, 0.6), (0.3, 0.95)],
)
def test_a_shift_of_one_column_is_seen(shift: float, seen: float) -> None:
    one = np.eye(WIDTH)[1] * shift

    found = [v for seed in range(4) for v in verdicts(independent, 6000 + seed, 20, one)]

    assert np.mean(["c0" in [c.name for c in v.moved] for v in found]) >= seen


def test_a_weak_shift_of_all_columns_is_seen_together() -> None:
    found = [v for seed in range(4) for v in verdicts(independent, 7000 + seed, 20, 0.1)]

    assert np.mean([alarmed(v) for v in found]) >= 0.75


def test_a_shift_by_far_is_told_with_the_first_window_and_a_weak_one_with_the_second() -> None:
    one = np.eye(WIDTH)[1]

    assert events(verdicts(independent, 8000, 3, one * 0.5)).index(True) == 0
    assert events(verdicts(independent, 8000, 3, one * 0.24)).index(True) == 1
