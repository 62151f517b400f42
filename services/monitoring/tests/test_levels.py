# SPDX-License-Identifier: Apache-2.0
"""Days that differ though nothing drifts make a window tell less; days that do not differ cost next to nothing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops.monitoring.model.drift import judge
from mlops.monitoring.model.levels import effect_of_days
from mlops.monitoring.model.reference import freeze

Floats = NDArray[np.float64]

DAYS = 8
A_DAY = 1000
WINDOW = 500
DAY_S = 86_400.0
BEGAN = datetime(2026, 1, 5, tzinfo=UTC)


def rows_of(seed: int, days: int, level: float) -> Floats:
    rng = np.random.default_rng(seed)
    levels = level * rng.standard_normal(days)
    rows: Floats = rng.standard_normal(days * A_DAY) + np.repeat(levels, A_DAY)
    return rows


def seconds(days: int) -> Floats:
    return np.asarray(np.arange(days * A_DAY) * (DAY_S / A_DAY), np.float64)


def effects(level: float, days: int = DAYS) -> Floats:
    found = [
        effect_of_days(rows_of(seed, days, level), seconds(days), WINDOW) for seed in range(40)
    ]
    return np.array(found)


def test_days_that_do_not_differ_cost_little() -> None:
    assert np.median(effects(0.0)) < 1.5
    assert effects(0.0).min() == 1.0


@pytest.mark.parametrize("level", [0.1, 0.3])
def test_of_days_that_differ_the_mean_of_a_window_varies_by_their_level(level: float) -> None:
    true = 1 + WINDOW * level**2

    # What eight days show is uncertain: more is allowed than they show, so in most cases more than is true.
    assert np.mean(effects(level) > true) > 0.6
    assert np.median(effects(level)) < 4 * true


@pytest.mark.parametrize("days", [1, 2])
def test_one_or_two_days_say_nothing_of_how_days_differ(days: int) -> None:
    assert set(effects(0.3, days)) == {1.0}


def test_a_column_that_never_changes_has_no_level() -> None:
    assert effect_of_days(np.zeros(DAYS * A_DAY), seconds(DAYS), WINDOW) == 1.0


def test_days_of_few_rows_are_left_out() -> None:
    times = np.concatenate([seconds(DAYS), DAYS * DAY_S + np.arange(10.0)])
    series = np.concatenate([rows_of(1, DAYS, 0.0), np.full(10, 50.0)])

    assert effect_of_days(series, times, WINDOW) < 2.0


def moved(seed: int, shift: float) -> int:
    rows, times = rows_of(seed, DAYS + 4, 0.06), seconds(DAYS + 4)
    other = np.random.default_rng(seed).standard_normal(len(rows))
    at = [BEGAN + timedelta(seconds=float(second)) for second in times]
    split, found = DAYS * A_DAY, 0
    reference = freeze({"price": rows[:split]}, other[:split], WINDOW, at[:split], levels=True)
    for begin in range(split, len(rows), WINDOW):
        part = slice(begin, begin + WINDOW)
        verdict = judge(reference, {"price": rows[part] + shift}, other[part], 0.05, at[part])
        found += bool(verdict.moved)
    return found


def test_levels_of_days_are_no_drift_and_a_shift_beyond_them_is() -> None:
    assert sum(moved(seed, shift=0.0) for seed in range(20)) <= 1  # of 160
    assert sum(moved(seed, shift=1.0) for seed in range(20)) >= 150


def test_a_reference_that_allows_for_levels_trusts_a_window_less() -> None:
    rows, at = rows_of(1, DAYS, 0.1), [BEGAN + timedelta(seconds=float(s)) for s in seconds(DAYS)]
    found = {
        levels: freeze({"price": rows}, rows, WINDOW, at, levels=levels).features[0].design_effect
        for levels in (True, False)
    }

    assert found[True] > max(found[False], 1 + WINDOW * 0.1**2 / 2)
