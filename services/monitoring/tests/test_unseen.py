# SPDX-License-Identifier: Apache-2.0
"""Hours that a short reference has not seen may explain a shift; the same hours, and what no clock explains, may not."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops.monitoring.model.drift import WindowVerdict, judge
from mlops.monitoring.model.phases import seconds
from mlops.monitoring.model.reference import freeze
from mlops.monitoring.model.unseen import Unseen, clock_of, unseen_of

Floats = NDArray[np.float64]

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
FRIDAY, SATURDAY = MONDAY + timedelta(days=4), MONDAY + timedelta(days=5)
ROWS = 500
WIDTH = 8


def minutes(begin: datetime, rows: int = ROWS, step_s: float = 60.0) -> list[datetime]:
    return [begin + timedelta(seconds=step_s * row) for row in range(rows)]


def swinging(rng: np.random.Generator, times: list[datetime], swing: float = 0.7) -> Floats:
    wave = np.sin(2 * np.pi * seconds(times) / 86_400.0)
    return np.asarray(swing * wave[:, None] + 0.87 * rng.standard_normal((len(times), WIDTH)))


def named(rows: Floats) -> dict[str, Floats]:
    return {f"c{place}": column for place, column in enumerate(rows.T)}


def look(
    seed: int, then: list[datetime], now: list[datetime], shift: float = 0.0, cycle: str = "auto"
) -> WindowVerdict:
    rng = np.random.default_rng(seed)
    reference = freeze(named(swinging(rng, then, 0.0)), [None] * len(then), len(now), then, cycle)
    window = swinging(rng, now, 0.0)
    window[:, 0] += shift
    return judge(reference, named(window), [None] * len(now), times=now)


def alarms(verdict: WindowVerdict) -> bool:
    assert verdict.unjudged is None
    return bool(verdict.moved or verdict.gone or verdict.together or verdict.pairs)


def test_a_reference_of_eight_hours_is_quiet_over_the_rest_of_a_swinging_day() -> None:
    found = []
    for seed in range(6):  # from another hour each, peaks of the swing among them
        rng = np.random.default_rng(seed)
        then = minutes(MONDAY + timedelta(hours=4 * seed))
        reference = freeze(named(swinging(rng, then)), [None] * ROWS, ROWS, then)
        for number in range(1, 10):
            now = minutes(then[0] + timedelta(minutes=ROWS * number))
            verdict = judge(reference, named(swinging(rng, now)), [None] * ROWS, times=now)
            found.append(alarms(verdict))

    assert sum(found) == 0


@pytest.mark.parametrize(
    ("later", "cycle", "seen"),
    [
        (timedelta(minutes=1), "auto", True),
        (timedelta(days=1), "auto", True),
        (timedelta(hours=12), "auto", False),
        (timedelta(hours=12), "none", True),
    ],
)
def test_a_shift_is_seen_soon_after_and_at_the_same_hours_and_where_a_person_says_so(
    later: timedelta, cycle: str, *, seen: bool
) -> None:
    then = minutes(MONDAY, step_s=1.0)

    verdict = look(1, then, minutes(MONDAY + later, step_s=1.0), shift=0.6, cycle=cycle)

    assert ("c0" in [column.name for column in verdict.moved]) is seen


def test_what_is_not_told_is_said_with_its_size() -> None:
    verdict = look(2, minutes(MONDAY), minutes(MONDAY + timedelta(hours=12)), shift=0.6)

    column = next(one for one in verdict.columns if one.name == "c0")
    assert (column.test, column.moved) == ("hour", False)
    assert column.score < column.threshold
    assert verdict.allowed is not None
    assert (
        "not seen these hours, so a shift of up to 1.6 standard deviations may be the clock"
        in verdict.allowed
    )


@pytest.mark.parametrize("broken", [np.full(ROWS, 40.0), np.full(ROWS, np.nan)])
def test_what_no_clock_explains_is_seen_at_any_hour(broken: Floats) -> None:
    rng = np.random.default_rng(3)
    then, now = minutes(MONDAY), minutes(SATURDAY + timedelta(hours=12))
    reference = freeze(named(swinging(rng, then)), [None] * ROWS, ROWS, then)
    window = named(swinging(rng, now)) | {"c0": broken}

    verdict = judge(reference, window, [None] * ROWS, times=now)

    assert [c.name for c in (*verdict.moved, *verdict.gone)] == ["c0"]


@pytest.mark.parametrize(("day", "seen"), [(FRIDAY, True), (SATURDAY, False)])
def test_a_reference_of_working_days_does_not_know_the_weekend(
    day: datetime, *, seen: bool
) -> None:
    rng = np.random.default_rng(4)
    then, now = minutes(MONDAY, 4 * 1440), minutes(day)
    reference = freeze(named(swinging(rng, then)), [None] * len(then), ROWS, then)
    window = swinging(rng, now)
    window[:, 0] += 0.6

    verdict = judge(reference, named(window), [None] * ROWS, times=now)

    assert ("c0" in [column.name for column in verdict.moved]) is seen


def test_rows_without_a_rhythm_over_two_days_have_no_weekend_either() -> None:
    verdict = look(5, minutes(MONDAY, 2 * 1440 + 1), minutes(SATURDAY), shift=0.6)

    assert [column.name for column in verdict.moved] == ["c0"]


def test_the_clock_of_the_same_hours_explains_nothing() -> None:
    clock = clock_of(seconds(minutes(MONDAY))).mean(1)
    unseen = Unseen(day=True, week=True, hourly=False, clock=clock)

    found = unseen.allowance(clock)

    assert (found.variation, found.shift, found.told) == (0.0, 0.0, None)


@pytest.mark.parametrize("cycle", ["none", "24h", "7d"])
def test_nothing_is_allowed_for_where_a_person_told_the_rhythm(cycle: str) -> None:
    assert unseen_of(seconds(minutes(MONDAY)), cycle, None, wavers=False) is None


def test_a_table_without_times_is_allowed_nothing() -> None:
    assert unseen_of(np.zeros(0), "auto", None, wavers=False) is None
