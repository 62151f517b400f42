# SPDX-License-Identifier: Apache-2.0
"""Rows with a rhythm are compared with the same hours of the reference: quiet on clean days, awake to real shifts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops.monitoring.model.drift import WindowVerdict, judge
from mlops.monitoring.model.phases import phases_of, seconds
from mlops.monitoring.model.reference import Reference, freeze

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
DAY = 1440  # rows, one a minute
ROWS = 500
WIDTH = 6


class Days:
    """Columns that swing with the day, a row a minute."""

    def __init__(self, seed: int, *, weekends: bool = False, step: int = 1) -> None:
        self._rng = np.random.default_rng(seed)
        self._weekends = weekends
        self._step = step
        self._minute = 0

    def take(
        self, rows: int, shift: float = 0.0
    ) -> tuple[dict[str, NDArray[np.float64]], list[datetime]]:
        minutes = self._minute + self._step * np.arange(rows)
        self._minute += rows * self._step
        wave = np.sin(2 * np.pi * minutes / DAY)
        if self._weekends:
            wave = np.where(minutes // DAY % 7 >= 5, -1.0, wave)
        noise = self._rng.standard_normal((rows, WIDTH))
        noise[:, 0] += shift
        columns = {f"c{i}": 0.7 * wave + 0.87 * noise[:, i] for i in range(WIDTH)}
        return columns, [MONDAY + timedelta(minutes=int(minute)) for minute in minutes]


def frozen(days: Days, rows: int = 5000, cycle: str = "auto") -> Reference:
    columns, times = days.take(rows)
    return freeze(columns, [None] * rows, ROWS, times, cycle)


def look(reference: Reference, days: Days, shift: float = 0.0) -> WindowVerdict:
    columns, times = days.take(ROWS, shift)
    return judge(reference, columns, [None] * ROWS, times=times)


def alarms(verdicts: Sequence[WindowVerdict]) -> int:
    assert [one.unjudged for one in verdicts if one.unjudged] == []
    return sum(bool(v.moved or v.gone or v.together or v.pairs) for v in verdicts)


def test_a_day_is_found_and_clean_windows_are_quiet() -> None:
    days = Days(1)
    reference = frozen(days)

    verdicts = [look(reference, days) for _ in range(120)]

    assert reference.phases is not None
    assert (reference.phases.period_s, len(reference.phases.rows)) == (86_400.0, 24)
    assert alarms(verdicts) <= 3


@pytest.mark.parametrize(("cycle", "seen"), [("auto", 20), ("none", 0)])
def test_a_shift_smaller_than_the_swing_is_seen_by_phases_only(cycle: str, seen: int) -> None:
    days = Days(2)
    reference = frozen(days, rows=7 * DAY, cycle=cycle)

    verdicts = [look(reference, days, shift=0.5) for _ in range(20)]

    assert sum("c0" in [c.name for c in v.moved] for v in verdicts) == seen


def test_a_week_is_found_where_its_days_differ() -> None:
    days = Days(3, weekends=True, step=3)
    reference = frozen(days, rows=3 * 7 * 480)

    verdicts = [look(reference, days) for _ in range(40)]

    assert reference.phases is not None
    assert reference.phases.period_s == 7 * 86_400.0
    assert alarms(verdicts) <= 2


def test_rows_without_a_rhythm_have_no_phases() -> None:
    rng = np.random.default_rng(4)
    times = [MONDAY + timedelta(minutes=minute) for minute in range(5000)]

    reference = freeze({"c": rng.standard_normal(5000)}, [None] * 5000, ROWS, times)

    assert reference.phases is None


def test_slow_noise_is_no_rhythm() -> None:
    rng = np.random.default_rng(5)
    noise = rng.standard_normal(5000)
    slow = np.zeros(5000)
    for i in range(1, 5000):
        slow[i] = 0.9 * slow[i - 1] + 0.44 * noise[i]

    assert phases_of(60.0 * np.arange(5000.0), "auto", [slow]) is None


def test_a_reference_shorter_than_two_days_shows_no_day_and_says_so_when_one_is_told() -> None:
    assert frozen(Days(6), rows=2000).phases is None

    days = Days(6)
    verdict = look(frozen(days, rows=2000, cycle="24h"), days)

    assert verdict.unjudged is not None
    assert verdict.unjudged.startswith("the reference spans 1.4 cycles of 24 h")


def test_hours_that_the_reference_never_saw_cannot_be_judged() -> None:
    columns, times = Days(7).take(10 * DAY)
    at_work = np.array([9 <= time.hour < 17 for time in times])
    reference = freeze(
        {name: column[at_work] for name, column in columns.items()},
        [None] * int(at_work.sum()),
        ROWS,
        [time for time, kept in zip(times, at_work, strict=True) if kept],
        "24h",
    )
    night, hours = Days(8).take(ROWS)  # from midnight to 8:20

    verdict = judge(reference, night, [None] * ROWS, times=hours)

    assert verdict.unjudged is not None
    assert verdict.unjudged.startswith("0 of 500 rows are of hours that the reference has seen")


def test_rows_without_times_cannot_be_compared_by_hour() -> None:
    days = Days(9)
    reference = frozen(days)

    verdict = judge(reference, days.take(ROWS)[0], [None] * ROWS)

    assert verdict.unjudged is not None


def test_a_told_cycle_needs_no_proof() -> None:
    rng = np.random.default_rng(10)

    phases = phases_of(3600.0 * np.arange(5000.0), "7d", [rng.standard_normal(5000)])

    assert phases is not None
    assert phases.period_s == 7 * 86_400.0
    assert phases.rows.sum() == 5000


def test_times_are_seconds_of_the_world_not_of_a_clock_on_a_wall() -> None:
    east = MONDAY.astimezone(ZoneInfo("Asia/Tokyo"))

    assert list(seconds([MONDAY])) == list(seconds([east]))


@pytest.mark.parametrize(
    ("days", "told"), [(4, False), (6, False), (7, True), (10, True), (28, True)]
)
def test_weekends_are_told_apart_once_two_of_their_days_are_there(days: int, *, told: bool) -> None:
    stream = Days(12, weekends=True, step=2)

    phases = frozen(stream, days * DAY // 2).phases

    assert phases is not None
    assert phases.weekly is told


def test_after_one_weekend_another_one_is_quiet_and_a_shift_in_it_is_seen() -> None:
    stream = Days(13, weekends=True)
    reference = frozen(stream, 8 * DAY)  # until the end of Monday
    stream.take(4 * DAY)

    clean = [look(reference, stream) for _ in range(4)]
    moved = [look(reference, stream, shift=0.6) for _ in range(4)]

    assert alarms(clean) == 0
    assert alarms(moved) == 4
