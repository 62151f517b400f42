# SPDX-License-Identifier: Apache-2.0
"""When a model counts as slow: not by noise, not by one bad window, and held to what the version before took."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from mlops.contracts.latency import EDGES_MS, Latencies
from mlops.monitoring.model.speed import Edge, Pace, Stretch, judged

START = datetime(2026, 11, 20, tzinfo=UTC)
WINDOW = timedelta(minutes=10)
FAST, SLOW, SLOWEST = (
    {20: 95, 24: 5},
    {20: 80, 34: 20},
    {36: 100},
)  # 4 to 8 ms; a fifth above 32 ms; all above 53 ms


def stretch(number: int, times: dict[int, int] | None = None, version: int = 1) -> Stretch:
    found = FAST if times is None else times
    since = START + number * WINDOW
    return Stretch(version, since, since + WINDOW, 100, sum(found.values()), found)


def after(*windows: dict[int, int], pace: Pace | None = None, version: int = 1) -> list[Pace]:
    """Return the pace after each window."""
    found, now = [], pace or Pace(current=1)
    for number, times in enumerate(windows):
        now = judged(now, stretch(number, times, version), f"m{number}", EDGES_MS)
        found.append(now)
    return found


def edges(paces: list[Pace]) -> list[Edge | None]:
    return [one.last.edge if one.last is not None else None for one in paces]


NORMAL = (FAST, FAST)


def test_two_slow_windows_in_a_row_are_told_once() -> None:
    found = edges(after(*NORMAL, SLOW, SLOW, SLOW, SLOW))

    assert found == [None, None, None, Edge.SLOW, None, None]


def test_one_slow_window_is_not_told() -> None:
    assert edges(after(*NORMAL, SLOW, FAST, SLOW, FAST)) == [None] * 6


def test_a_window_in_which_most_answers_are_slow_is_told_at_once() -> None:
    assert edges(after(*NORMAL, SLOWEST))[-1] is Edge.SLOW


def test_it_is_over_after_two_windows_that_are_not_slow() -> None:
    assert edges(after(*NORMAL, SLOW, SLOW, FAST, SLOW, FAST, FAST))[-3:] == [None, None, Edge.WELL]


def test_windows_with_few_answers_say_nothing() -> None:
    assert edges(after(*NORMAL, {36: 29}, {36: 29}, {36: 29})) == [None] * 5


def test_figures_are_the_quantiles_and_the_bound() -> None:
    last = after(*NORMAL, SLOWEST)[-1].last

    assert last is not None
    assert (last.normal_ms, last.value_ms, last.exceeding) == (4.0, 64.0, 1.0)
    assert last.bound_ms == 14.0  # at least 10 ms above


def test_a_slow_new_version_is_held_to_the_one_before() -> None:
    before = after(*NORMAL)[-1].deployed(2, 1, START)

    assert edges(after(SLOW, SLOW, SLOW, pace=before, version=2)) == [None, Edge.SLOW, None]


def test_a_version_after_a_slow_one_is_held_to_the_last_that_was_known() -> None:
    slow = after(SLOWEST, SLOWEST, pace=after(*NORMAL)[-1].deployed(2, 1, START), version=2)[-1]

    found = after(SLOWEST, pace=slow.deployed(3, 2, START), version=3)[-1]

    assert found.last is not None
    assert (found.last.normal_ms, found.degraded) == (4.0, True)


def test_a_version_that_is_back_after_a_slow_one_is_held_to_its_own_times() -> None:
    slow = after(SLOW, SLOW, pace=after(*NORMAL)[-1].deployed(2, 1, START), version=2)[-1]
    back = after(FAST, FAST, pace=slow.deployed(1, 2, START))[-1]

    found = after(SLOWEST, pace=back)[-1]

    assert slow.degraded
    assert not back.degraded
    assert found.last is not None
    assert (found.last.normal_ms, found.last.edge) == (4.0, Edge.SLOW)


def test_slow_windows_before_they_are_told_are_no_part_of_what_is_normal() -> None:
    slow = after(SLOW, SLOW, pace=after(*NORMAL)[-1].deployed(2, 1, START), version=2)[-1]

    found = after(SLOW, SLOW, pace=slow.deployed(3, 2, START), version=3)[-1]

    assert 2 not in slow.normals
    assert found.last is not None
    assert (found.last.normal_ms, found.degraded) == (4.0, True)


def test_a_version_that_is_back_is_not_held_to_a_slower_one_that_was_not_slow_enough_to_tell() -> (
    None
):
    leisurely = {21: 95, 24: 5}
    second = after(leisurely, leisurely, pace=after(*NORMAL)[-1].deployed(2, 1, START), version=2)

    back = second[-1].deployed(1, 2, START)

    assert back.normal_for(1) == back.normals[1]


def test_a_version_that_does_not_answer_all_is_not_judged() -> None:
    before = after(*NORMAL)[-1]

    assert edges(after(SLOWEST, SLOWEST, pace=before, version=2)) == [None, None]


def test_what_was_slow_is_no_part_of_what_is_normal() -> None:
    found = after(*NORMAL, *[SLOWEST] * 10)[-1]

    assert found.normals[1].times == {20: 190, 24: 10}


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_noise_is_not_told(seed: int) -> None:
    """Log-normal answers, a machine that wavers by a tenth from window to window, and now and then a stall."""
    rng = np.random.default_rng(seed)
    windows = []
    for _ in range(1000):
        times = rng.lognormal(np.log(20), 0.5, rng.integers(30, 400)) * rng.lognormal(0, 0.1)
        times[rng.random(len(times)) < (0.3 if rng.random() < 0.02 else 0.01)] += 300
        windows.append(counted(times))

    found = edges(after(*windows))

    assert found.count(Edge.SLOW) <= 1  # a stall of two windows in a row is one


@pytest.mark.parametrize(("factor", "within"), [(2.0, 4), (3.0, 3)])
def test_answers_that_take_times_as_long_are_told_soon(factor: float, within: int) -> None:
    rng = np.random.default_rng(5)
    plain = [counted(rng.lognormal(np.log(20), 0.5, 300)) for _ in range(20)]
    slowed = [counted(rng.lognormal(np.log(20), 0.5, 300) * factor) for _ in range(within)]

    assert Edge.SLOW in edges(after(*plain, *slowed))[20:]


def counted(times_ms: np.ndarray) -> dict[int, int]:
    found = Latencies()
    for one in times_ms:
        found.add(float(one))
    return {int(place): count for place, count in found.as_json().items()}
