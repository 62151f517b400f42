# SPDX-License-Identifier: Apache-2.0
"""When a run is stale: what was heard of it, for how long, by our own clock."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.tracking.model.signs import (
    Heard,
    Limits,
    Sign,
    Watch,
    beat_ms,
    end_ms,
    look,
    stale,
)
from mlops.tracking.sources.reaper import limits_of

LIMITS = Limits(stale_s=300, silent_s=86_400, gap_s=65)
HOUR_MS = 3_600_000
NOW_MS = 1_700_000_000_000


def beating(beat: str) -> Sign:
    return Sign("r", beat, beat, NOW_MS, beat_ms(beat))


def plain(mark: str) -> Sign:
    return Sign("r", mark, None, NOW_MS, None)


def looked(*looks: tuple[float, Sign], limits: Limits = LIMITS) -> list[str]:
    watch = Watch()
    for at_s, sign in looks:
        watch = look(watch, [sign], at_s, limits)
    return [each.reason for each in stale(watch, [looks[-1][1]], limits)]


def every_30_s(sign: Sign, until_s: float) -> list[tuple[float, Sign]]:
    return [(30.0 * number, sign) for number in range(int(until_s / 30) + 1)]


def test_a_run_that_stopped_beating_is_stale_after_the_limit() -> None:
    silent = beating("1700000000000 a")

    assert looked(*every_30_s(silent, 270)) == []
    assert looked(*every_30_s(silent, 300)) == [
        "no heartbeat for 5.0 min: its process is gone, or cannot reach us"
    ]


@pytest.mark.parametrize("skew_ms", [-HOUR_MS, 0, HOUR_MS, -NOW_MS])
def test_the_clock_of_a_client_does_not_matter(skew_ms: int) -> None:
    looks = [
        (30.0 * number, beating(f"{NOW_MS + skew_ms + 30_000 * number} a")) for number in range(40)
    ]

    assert looked(*looks) == []


def test_a_beat_that_moves_backwards_is_a_sign_of_life_too() -> None:
    looks = [(30.0 * number, beating(f"{NOW_MS - 1000 * number} a")) for number in range(40)]

    assert looked(*looks) == []


def test_nobody_is_stale_before_one_full_limit_after_start() -> None:
    assert looked((1_000_000.0, beating("1 a"))) == []
    assert looked((1_000_000.0, beating("1 a")), (1_000_060.0, beating("1 a"))) == []


def test_time_in_which_nobody_could_be_heard_does_not_count() -> None:
    silent = beating("1 a")
    before = every_30_s(silent, 270)

    assert looked(*before, (900.0, silent), (930.0, silent)) == []
    watch = Watch()
    for at_s, sign in before:
        watch = look(watch, [sign], at_s, LIMITS)
    watch = look(watch.deafened(), [silent], 300, LIMITS)
    assert stale(watch, [silent], LIMITS) == []


def test_a_run_without_heartbeats_has_the_long_limit() -> None:
    silent = plain("3/0/0")

    assert looked(*every_30_s(silent, 86_370)) == []
    (reason,) = looked(*every_30_s(silent, 86_400))
    assert reason == "nothing logged for 24.0 h in which we were there to take it"


def test_silence_before_a_restart_counts_and_the_restart_does_not() -> None:
    silent = plain("3/0/0")
    remembered = Watch({"r": Heard("3/0/0", silent_s=86_200)})

    watch = remembered
    for number in range(11):
        watch = look(watch, [silent], 30.0 * number, LIMITS)
        found = stale(watch, [silent], LIMITS)
        assert bool(found) is (number == 10), number
    watch = look(remembered, [plain("4/0/0")], 0, LIMITS)
    assert watch.heard["r"] == Heard("4/0/0")


def test_zero_never_ends_a_run_that_does_not_beat() -> None:
    silent = plain("3/0/0")
    limits = Limits(stale_s=300, silent_s=0, gap_s=65)

    assert looked(*every_30_s(silent, 200_000), limits=limits) == []


@pytest.mark.parametrize(
    ("beat", "expected"),
    [
        ("1700000000000 laptop-1", 1_700_000_000_000),
        ("17", 17),
        ("", None),
        (None, None),
        ("yes", None),
        ("-5 a", None),
        ("²", None),
        ("9" * 40, None),
    ],
)
def test_the_time_of_a_beat_is_read_or_left(beat: str | None, expected: int | None) -> None:
    assert beat_ms(beat) == expected


@pytest.mark.parametrize(
    ("started_ms", "last_ms", "expected"),
    [
        (NOW_MS - 1000, NOW_MS - 10, NOW_MS - 10),
        (NOW_MS - 1000, None, NOW_MS - 1000),
        (None, None, 0),
        (NOW_MS - 1000, NOW_MS - 2000, NOW_MS),  # before its own start
        (NOW_MS + HOUR_MS, NOW_MS + HOUR_MS + 5, NOW_MS + HOUR_MS + 5),  # a clock ahead of ours
        (NOW_MS, 10**14, NOW_MS),
        (10**17, None, NOW_MS),
    ],
)
def test_a_stale_run_ended_at_its_last_sign_of_life(
    started_ms: int | None, last_ms: int | None, expected: int
) -> None:
    assert end_ms(started_ms, last_ms, NOW_MS) == expected


@given(st.lists(st.floats(0.1, 1000), max_size=60), st.lists(st.booleans(), min_size=60))
def test_a_run_is_never_stale_within_the_limit_after_its_last_change(
    pauses: list[float], changes: list[bool]
) -> None:
    watch, now_s, changed_s, mark = Watch(), 0.0, 0.0, 0
    for pause_s, change in zip(pauses, changes, strict=False):
        now_s += pause_s
        if change:
            mark, changed_s = mark + 1, now_s
        sign = beating(f"{mark} a")
        watch = look(watch, [sign], now_s, LIMITS)
        if stale(watch, [sign], LIMITS):
            assert now_s - changed_s >= LIMITS.stale_s


def test_a_gap_is_longer_than_two_looks_and_shorter_than_the_limit() -> None:
    usual = limits_of(timedelta(seconds=30), timedelta(minutes=5), timedelta(hours=24))
    short = limits_of(timedelta(seconds=0.2), timedelta(seconds=2), timedelta(0))

    assert usual == Limits(300, 86_400, 65)
    assert short.stale_s > short.gap_s > 0.4
