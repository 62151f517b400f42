# SPDX-License-Identifier: Apache-2.0
"""The rules of heat: how far concurrency falls, how it comes back, and that flapping changes little."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.serving.model import heat
from mlops.serving.model.heat import Bound, Climate, Node, climate, heard, replicas_at

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PACE = timedelta(seconds=120)


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def said(level: int, seconds: float, told_s: float | None = None, reason: str = "") -> Node:
    return Node(level, after(seconds if told_s is None else told_s), after(seconds), reason, "e")


def history(*words: Node) -> Node:
    known: Node | None = None
    for word in words:
        known = heard(known, word, "n", PACE)
    assert known is not None
    return known


def computing(node: Node, seconds: float) -> int:
    return climate(
        {"n": heat.at(node, "n", after(seconds), PACE)}, ["n"], after(seconds)
    ).concurrency


@pytest.mark.parametrize(("level", "expected"), [(0, 8), (1, 6), (2, 4), (3, 2), (4, 1)])
def test_each_level_has_its_share_and_none_is_nothing(level: int, expected: int) -> None:
    assert computing(history(said(level, 0)), 0) == expected


def test_getting_hotter_lowers_it_further() -> None:
    seen = [
        computing(history(*(said(level, level) for level in range(top))), 9) for top in (2, 3, 4)
    ]

    assert seen == [6, 4, 2]


def test_it_comes_back_one_by_one_and_a_little_later_than_on_other_machines() -> None:
    node = history(said(2, 0), said(0, 60))
    late = heat.jitter("n", "e", PACE).total_seconds()

    seen = {
        at: computing(node, at) for at in (60, 179, 181 + late, 301 + late, 421 + late, 541 + late)
    }

    assert list(seen.values()) == [4, 4, 5, 6, 7, 8]
    assert 0 <= late < 30
    assert heat.jitter("other", "e", PACE).total_seconds() != late


def test_asking_seldom_and_asking_often_come_to_the_same() -> None:
    seldom = often = history(said(3, 0), said(0, 60))
    for second in range(60, 1500, 7):
        often = heat.at(often, "n", after(second), PACE)

    assert computing(often, 1500) == computing(seldom, 1500) == 8
    assert heat.at(seldom, "n", after(1497), PACE).bound == Bound()


def test_a_machine_that_gets_hot_again_is_halved_from_where_it_was() -> None:
    node = history(said(3, 0), said(0, 60), said(2, 2000))
    early = history(said(2, 0), said(0, 40), said(2, 80))

    assert computing(node, 2000) == 4
    assert computing(early, 80) == 2


def test_what_is_told_late_changes_nothing() -> None:
    node = history(said(2, 0), said(0, 60), said(4, 70, told_s=30))

    assert node.level == 0


def test_a_clock_that_was_set_back_is_believed_again_after_the_silence() -> None:
    far = history(said(0, 0, told_s=86_400), said(2, 700, told_s=700))

    assert far.level == 2


def test_a_machine_that_falls_silent_counts_as_cool_after_ten_minutes_and_recovers_from_there() -> (
    None
):
    node = history(said(4, 0))

    assert [computing(node, at) for at in (599, 601, 700, 760)] == [1, 1, 1, 2]
    assert heat.at(node, "n", after(601), PACE).level == 0
    assert heat.at(node, "n", after(3600), PACE).bound == Bound()


def test_a_machine_that_speaks_on_stays_hot() -> None:
    node = history(*(said(2, second) for second in range(0, 7200, 60)))

    assert computing(node, 7200) == 4


def test_only_the_machines_of_the_replicas_count_where_they_are_known() -> None:
    nodes = {"hot": history(said(3, 0, reason="heavy")), "cool": history(said(0, 0))}

    found = {
        places: climate(nodes, places, NOON).concurrency
        for places in (("cool",), ("hot",), ("cool", "hot"), ("",), ("gone",), ())
    }

    assert found == {("cool",): 8, ("hot",): 2, ("cool", "hot"): 2, ("",): 2, ("gone",): 2, (): 2}
    assert climate(nodes, ["hot"], NOON).why == "hot is at level 3: heavy"
    assert climate({}, ["hot"], NOON) == Climate()


@pytest.mark.parametrize(
    ("level", "holds", "starts"),
    [(0, False, True), (1, False, True), (2, True, True), (3, True, False)],
)
def test_rollouts_are_held_from_level_2_on_and_start_nothing_from_level_3_on(
    level: int, *, holds: bool, starts: bool
) -> None:
    found = climate({"n": history(said(level, 0))}, ["n"], NOON)

    assert (bool(found.hold), found.starts) == (holds, starts)


def test_rollouts_go_on_half_a_minute_after_the_heat() -> None:
    node = history(said(2, 0), said(0, 60))

    assert [bool(climate({"n": node}, ["n"], after(at)).hold) for at in (29, 31)] == [True, False]


@pytest.mark.parametrize(
    ("level", "reasons", "derived", "expected"),
    [
        (0, (), False, 0),
        (None, (), False, None),
        (0, (), True, 2),
        (None, (), True, 2),
        (0, ("power_cap",), True, 1),
        (0, ("power_cap", "thermal"), True, 2),
        (3, (), True, 3),
    ],
)
def test_falling_clocks_count_though_the_machine_says_it_is_cool(
    level: int | None, reasons: tuple[str, ...], expected: int | None, *, derived: bool
) -> None:
    assert heat.true_level(level, reasons, derived=derived) == expected


@pytest.mark.parametrize(
    ("concurrency", "fewest", "most", "busy", "running", "expected"),
    [
        (4, 1, 8, 0.1, 8, 4),  # half of what it computes, half of the replicas
        (1, 1, 8, 0.1, 8, 1),
        (4, 1, 8, 20.0, 8, 8),  # the answers need 20 of which a replica takes 2.8
        (4, 1, 8, 13.0, 8, 5),
        (4, 1, 8, None, 6, 6),  # nobody knows how busy they are: what runs stays
        (1, 3, 8, 0.1, 8, 3),  # a project's own fewest
        (4, 1, 1, 50.0, 1, 1),
    ],
)
def test_heat_takes_no_replica_that_the_answers_need(
    concurrency: int, fewest: int, most: int, busy: float | None, running: int, expected: int
) -> None:
    assert replicas_at(concurrency, fewest, most, busy, running) == expected


WORDS = st.lists(st.tuples(st.integers(0, 4), st.floats(0.1, 400)), min_size=1, max_size=120)


@given(WORDS)
def test_flapping_changes_it_seldom_and_never_below_one(words: list[tuple[int, float]]) -> None:
    known, now_s, seen = None, 0.0, list[tuple[float, int]]()
    for level, pause_s in words:
        now_s += pause_s
        known = heard(known, said(level, now_s), "n", PACE)
        seen.append((now_s, computing(known, now_s)))

    values = [8, *(value for _, value in seen)]
    raised = sum(max(0, later - before) for before, later in pairwise(values))
    lowered = sum(before > later for before, later in pairwise(values))
    assert all(1 <= value <= 8 for value in values)
    assert raised <= now_s / PACE.total_seconds()
    assert lowered <= 7 + raised


@given(WORDS)
def test_it_is_never_above_what_the_level_allows(words: list[tuple[int, float]]) -> None:
    known, now_s = None, 0.0
    for level, pause_s in words:
        now_s += pause_s
        known = heard(known, said(level, now_s), "n", PACE)

        assert computing(known, now_s) <= heat.most(level)
        assert (known.bound.least or 8) <= computing(known, now_s)


@given(WORDS, st.floats(0, 5000))
def test_it_always_comes_back(words: list[tuple[int, float]], quiet_s: float) -> None:
    known, now_s = None, 0.0
    for level, pause_s in words:
        now_s += pause_s
        known = heard(known, said(level, now_s), "n", PACE)
    assert known is not None
    looked = heat.at(known, "n", after(now_s + quiet_s), PACE)

    end = now_s + 600 + 8 * 120 + 30 + 1

    assert heat.at(looked, "n", after(max(end, now_s + quiet_s)), PACE).bound == Bound()


@given(WORDS)
def test_looking_twice_changes_nothing(words: list[tuple[int, float]]) -> None:
    known, now_s = None, 0.0
    for level, pause_s in words:
        now_s += pause_s
        known = heard(known, said(level, now_s), "n", PACE)
    assert known is not None

    once = heat.at(known, "n", after(now_s + 90), PACE)

    assert heat.at(once, "n", after(now_s + 90), PACE) == once


def test_a_sign_of_life_is_written_down_once_a_minute() -> None:
    node = history(said(2, 0), said(2, 50))

    later = [heard(node, said(2, second), "n", PACE) for second in (59, 61)]

    assert [heat.is_news(node, one, NOON) for one in later] == [False, True]
    assert not heat.is_news(None, history(said(0, 0)), None)
    assert heat.is_news(node, replace(node, level=3), NOON)
