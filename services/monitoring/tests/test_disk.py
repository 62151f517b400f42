# SPDX-License-Identifier: Apache-2.0
"""When a disk is nearly full, and when it will be: tables of histories."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from mlops.monitoring.model.disk import GIB, Free, State, noted, outlook

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
STEP = timedelta(minutes=5)
DISK = 400 * GIB


def history(free: Sequence[float]) -> tuple[Free, ...]:
    """Return what was free, every five minutes, in GiB."""
    found: tuple[Free, ...] = ()
    for number, one in enumerate(free):
        found = noted(found, Free(NOON + number * STEP, int(one * GIB), DISK))
    return found


@pytest.mark.parametrize(
    ("free", "state"),
    [(300, State.WELL), (11, State.BETWEEN), (9, State.LOW), (1.5, State.FULL)],
)
def test_what_is_free_says_how_the_disk_is(free: float, state: State) -> None:
    assert outlook(history([free] * 13)).state is state


@pytest.mark.parametrize(
    ("per_hour", "state"),
    [(3, State.WELL), (5, State.BETWEEN), (10, State.LOW), (100, State.FULL)],
)
def test_a_disk_that_fills_steadily_is_told_before_it_is_full(
    per_hour: float, state: State
) -> None:
    found = outlook(history([200 - per_hour * number / 12 for number in range(19)]))

    assert found.state is state


def test_it_says_when_the_disk_is_full() -> None:
    found = outlook(history([100 - number / 2 for number in range(25)]))

    assert found.full_at is not None
    assert abs(found.full_at - (NOON + 200 * STEP)) < STEP
    assert found.per_hour == pytest.approx(6 * GIB)


@pytest.mark.parametrize(
    "free",
    [
        [200.0] * 12 + [120.0] * 7,  # one large file
        [200.0, 190.0, 180.0] * 6 + [200.0],  # checkpoints that come and go
        [100.0 + number for number in range(19)],  # it is emptied
    ],
)
def test_what_does_not_go_on_is_not_foretold(free: list[float]) -> None:
    assert outlook(history(free)).state is State.WELL


def test_of_less_than_an_hour_nothing_is_foretold_nor_called_well() -> None:
    found = outlook(history([200, 150, 100]))

    assert (found.state, found.full_at) == (State.BETWEEN, None)


def test_the_history_stays_short_and_begins_anew_with_another_disk() -> None:
    found: tuple[Free, ...] = ()
    for number in range(2000):
        found = noted(found, Free(NOON + timedelta(seconds=30 * number), GIB, DISK))

    assert len(found) <= 74
    assert noted(found, Free(NOON + timedelta(days=1), GIB, 2 * DISK)) == (
        Free(NOON + timedelta(days=1), GIB, 2 * DISK),
    )
