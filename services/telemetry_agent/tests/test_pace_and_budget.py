# SPDX-License-Identifier: Apache-2.0
"""How often the agent tells, what consumers make of the pauses, and what it does when it takes too much."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.telemetry_agent.model.budget import Budget, Spent, spend
from mlops.telemetry_agent.model.pace import Pace, is_idle, read_s, window_s
from mlops.telemetry_agent.model.reading import GpuReading, Reading, Value

PACE = Pace(timedelta(seconds=2), timedelta(seconds=10), timedelta(seconds=60))
# What consumers allow: three times the last window, and at least half a minute.
PATIENCE = 3.0
SHORTEST_S = 30.0


def test_windows_of_a_machine_at_rest_double_up_to_a_minute() -> None:
    lengths, last = [], None
    for _ in range(6):
        last = window_s(PACE, idle=True, last_s=last, factor=1)
        lengths.append(last)

    assert lengths == [10.0, 20.0, 40.0, 60.0, 60.0, 60.0]


def test_work_brings_the_short_window_back_at_once() -> None:
    assert window_s(PACE, idle=False, last_s=60.0, factor=1) == 10.0
    assert read_s(PACE, idle=False, last_s=10.0, factor=1) == 2.0
    assert read_s(PACE, idle=True, last_s=10.0, factor=1) == 5.0


@given(st.lists(st.tuples(st.booleans(), st.sampled_from([1, 2, 4, 8])), max_size=40))
def test_no_window_outlasts_the_patience_that_the_one_before_gave(
    history: list[tuple[bool, int]],
) -> None:
    last: float | None = None
    for idle, factor in history:
        length = window_s(PACE, idle=idle, last_s=last, factor=factor)
        # The last reading of a window may come one pause late.
        longest = length + read_s(PACE, idle=idle, last_s=last, factor=factor)
        assert longest <= max(PATIENCE * (last or 10.0), SHORTEST_S)
        last = length


@pytest.mark.parametrize(
    ("values", "gpu_busy", "level", "idle"),
    [
        ({"cpu_busy_ratio": 0.05}, None, 0, True),
        ({"cpu_busy_ratio": 0.05}, 0.02, 0, True),
        ({"cpu_busy_ratio": 0.5}, None, 0, False),
        ({"cpu_busy_ratio": 0.05}, 0.8, 0, False),
        ({"cpu_busy_ratio": 0.05}, None, 1, False),
        ({}, None, 0, False),
    ],
)
def test_only_a_cool_machine_that_is_known_to_do_little_rests(
    values: dict[str, Value], gpu_busy: float | None, level: int, *, idle: bool
) -> None:
    gpus = () if gpu_busy is None else (GpuReading("gpu0", busy_ratio=gpu_busy),)

    assert is_idle(Reading(values, gpus=gpus), level) is idle


def run(shares: list[float], rss: int = 10_000_000) -> list[tuple[Spent, float | None]]:
    """Spend a share of a core for each two seconds."""
    spent, cpu_s, found = Spent(), 0.0, []
    for place, share in enumerate(shares):
        cpu_s += share * 2.0
        spent, ratio = spend(spent, cpu_s, rss, place * 2.0, Budget())
        found.append((spent, ratio))
    return found


def test_an_agent_within_its_budget_is_not_degraded() -> None:
    found = run([0.009] * 200)

    assert found[-1][1] == pytest.approx(0.009)
    assert not any(spent.degraded for spent, _ in found)


def test_a_busy_start_is_not_judged_before_a_minute_is_over() -> None:
    assert not any(spent.degraded for spent, _ in run([0.5] * 29))


def test_over_budget_for_a_minute_doubles_the_intervals_up_to_eightfold() -> None:
    found = run([0.05] * 400)

    factors = [spent.factor for spent, _ in found]
    assert [factors.index(factor) * 2 for factor in (1, 2, 4, 8)] == [0, 60, 120, 180]
    assert factors[-1] == 8
    assert found[-1][0].degraded


def test_a_spike_within_a_minute_of_little_is_no_reason() -> None:
    assert not any(s.degraded for s, _ in run([*[0.001] * 40, 0.2, *[0.001] * 100]))


def test_ten_minutes_of_little_bring_the_pace_back() -> None:
    factors = [spent.factor for spent, _ in run([*[0.05] * 31, *[0.001] * 700])]

    assert max(factors) == 2
    assert factors[-1] == 1


def test_too_much_memory_is_told_and_changes_no_interval() -> None:
    spent, _ = run([0.001] * 100, rss=90_000_000)[-1]

    assert spent.degraded
    assert spent.factor == 1


def test_the_share_is_that_of_the_last_minute() -> None:
    _, ratio = run([*[0.05] * 30, *[0.0] * 60])[-1]

    assert ratio == pytest.approx(0.0, abs=1e-9)


def test_the_memory_of_the_meter_is_bounded() -> None:
    assert len(run([0.001] * 2000)[-1][0].marks) <= 33
