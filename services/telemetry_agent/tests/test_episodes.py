# SPDX-License-Identifier: Apache-2.0
"""When heat becomes an episode, when it is over, and what never happens whatever the machine does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mlops.telemetry_agent.model.episodes import (
    Edge,
    Rule,
    Watch,
    Where,
    resumed,
    shifted,
    step,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
WHERE = Where("node-1", "boot-1")
RULE = Rule()


def run(levels: Sequence[int | None], every_s: float = 2.0) -> tuple[Watch, list[Edge]]:
    watch, edges = Watch(), list[Edge]()
    for place, level in enumerate(levels):
        at = NOON + timedelta(seconds=place * every_s)
        watch, edge = step(watch, level, f"native {level}", at, WHERE, RULE)
        edges += [edge] if edge else []
    return watch, edges


def test_one_hot_reading_is_not_yet_an_episode() -> None:
    assert run([0, 2, 0, 2, 0])[1] == []


def test_two_hot_readings_in_a_row_are() -> None:
    watch, [edge] = run([0, 2, 2])

    assert (edge.level, edge.recovered, edge.escalated_from) == (2, False, None)
    assert edge.since == NOON + timedelta(seconds=4)
    assert watch.episode is not None
    assert watch.episode.id == edge.episode_id


def test_a_slow_agent_believes_after_the_debounce_time() -> None:
    watch, edges = run([0, 2, 2], every_s=5.0)

    assert watch.level == 2
    assert len(edges) == 1


def test_critical_is_believed_at_once() -> None:
    assert [edge.level for edge in run([0, 3])[1]] == [3]


def test_elevated_is_no_episode() -> None:
    watch, edges = run([1, 1, 1, 1])

    assert (watch.level, edges) == (1, [])


def test_what_two_readings_support_is_the_cooler_of_them() -> None:
    assert run([0, 1, 2])[0].level == 1


def test_a_hotter_level_escalates_within_the_episode() -> None:
    first, second = run([2, 2, 3])[1]

    assert first.episode_id == second.episode_id
    assert (second.level, second.escalated_from) == (3, 2)
    assert first.id != second.id
    assert second.since == first.since


def test_an_episode_ends_after_a_minute_below_and_remembers_its_peak() -> None:
    watch, edges = run([2, 2, 3, *[0] * 31])

    over = edges[-1]
    assert (over.recovered, over.level, over.peak_level) == (True, 0, 3)
    assert over.duration_s == 62.0
    assert watch.episode is None


def test_a_short_pause_does_not_end_an_episode() -> None:
    watch, edges = run([2, 2, *[0] * 25, 2, *[0] * 25])

    assert [edge.recovered for edge in edges] == [False]
    assert watch.level == 2


def test_cooling_through_elevated_does_not_delay_the_rest() -> None:
    watch, edges = run([2, 2, *[1] * 10, *[0] * 31])

    assert [edge.level for edge in edges] == [2, 1]
    assert watch.level == 0


def test_an_unknown_level_changes_nothing() -> None:
    known, edges = run([2, 2])
    unknown, more = run([2, 2, *[None] * 100])

    assert (unknown, more) == (known, edges)


def test_the_next_episode_has_another_id() -> None:
    ids = {edge.episode_id for edge in run([2, 2, *[0] * 31, 2, 2])[1]}

    assert len(ids) == 2


def test_after_a_restart_the_episode_goes_on_and_patience_begins_anew() -> None:
    watch, [opened] = run([2, 2])
    later = NOON + timedelta(hours=1)

    again = resumed(watch, later)
    again, nothing = step(again, 0, "", later + timedelta(seconds=2), WHERE, RULE)
    again, over = step(again, 0, "", later + timedelta(seconds=62), WHERE, RULE)

    assert nothing is None
    assert over is not None
    assert (over.episode_id, over.recovered) == (opened.episode_id, True)


def test_an_episode_that_outlives_a_reboot_keeps_its_ids() -> None:
    watch, _ = run([2, 2])
    later = NOON + timedelta(seconds=70)
    rebooted = replace(WHERE, boot_id="boot-2")

    _, here = step(watch, 0, "", later, WHERE, RULE)
    _, there = step(watch, 0, "", later, rebooted, RULE)

    assert here is not None
    assert here == there


def test_a_clock_that_was_set_back_does_not_prolong_an_episode() -> None:
    watch, _ = run([2, 2])
    earlier = NOON - timedelta(hours=5)

    watch, at_once = step(watch, 0, "", earlier, WHERE, RULE)
    watch, over = step(watch, 0, "", earlier + timedelta(seconds=60), WHERE, RULE)

    assert at_once is None
    assert over is not None
    assert (over.recovered, over.duration_s) == (True, 0.0)


@given(st.lists(st.none() | st.integers(0, 4), max_size=120))
def test_edges_alternate_and_ids_are_unique(levels: list[int | None]) -> None:
    watch, edges = run(levels)

    assert len({edge.id for edge in edges}) == len(edges)
    openings = [edge for edge in edges if not edge.recovered and edge.escalated_from is None]
    closings = [edge for edge in edges if edge.recovered]
    still_open = int(watch.episode is not None)
    assert len(openings) == len(closings) + still_open
    assert [e.episode_id for e in closings] == [e.episode_id for e in openings[: len(closings)]]
    assert all(edge.level >= 2 for edge in edges if not edge.recovered)
    assert all(edge.level < 2 <= edge.peak_level for edge in closings)


@given(st.lists(st.integers(0, 4), max_size=80), st.data())
def test_the_same_history_gives_the_same_ids(levels: list[int], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(levels)))
    whole = run(levels)[1]

    assert run(levels[:cut])[1] == whole[: len(run(levels[:cut])[1])]


def heat(
    readings: Sequence[tuple[int, float | None]], every_s: float = 2.0
) -> list[tuple[float, Edge]]:
    """Step through levels and temperatures; return the edges with their seconds."""
    watch, found = Watch(), list[tuple[float, Edge]]()
    for place, (level, temp_c) in enumerate(readings):
        at = NOON + timedelta(seconds=place * every_s)
        watch, edge = step(watch, level, "", at, WHERE, RULE, temp_c)
        found += [(place * every_s, edge)] if edge else []
    return found


def test_a_level_is_left_only_five_degrees_below_where_it_was_reached() -> None:
    hot = [(2, 90.0)] * 5
    warm = [(0, 87.0)] * 60
    cool = [(0, 84.0)] * 10

    edges = heat([*hot, *warm, *cool])

    assert [at for at, _ in edges] == [2.0, 130.0]
    assert edges[1][1].recovered


def test_a_temperature_that_never_falls_does_not_hold_a_node_for_ever() -> None:
    edges = heat([*[(2, 90.0)] * 5, *[(0, 90.0)] * 400])

    assert [edge.recovered for _, edge in edges] == [False, True]
    assert edges[1][0] == 308.0


def test_flapping_is_bounded_by_growing_patience() -> None:
    # A machine that is hot for 10 s of every 80 s: without growing patience 45 episodes an hour.
    hour = [(2 if second % 80 < 10 else 0, None) for second in range(0, 3600, 2)]

    edges = [edge for _, edge in heat(hour)]

    assert len(edges) <= 4
    assert [edge.recovered for edge in edges[:4]] == [False, True, False, True][: len(edges)]


def test_an_episode_long_after_another_finds_the_usual_patience() -> None:
    seconds = range(0, 4000, 2)
    readings = [(2 if at < 10 or 3000 <= at < 3010 else 0, None) for at in seconds]

    edges = heat(readings)

    assert [at for at, edge in edges if edge.recovered] == [68.0, 3068.0]


def test_a_clock_that_was_set_moves_the_past_with_it() -> None:
    watch, _ = run([0, 2, 2, 0])
    by = timedelta(hours=3)

    moved = shifted(watch, by)

    assert watch.episode is not None
    assert moved.episode is not None
    assert moved.episode.since == watch.episode.since + by
    assert [at and at - by for at in moved.seen_at] == list(watch.seen_at)
    assert shifted(Watch(), by) == Watch()


@given(st.lists(st.tuples(st.integers(0, 4), st.none() | st.floats(-20, 150)), max_size=200))
def test_whatever_happens_edges_alternate_and_ids_differ(
    readings: list[tuple[int, float | None]],
) -> None:
    edges = [edge for _, edge in heat(readings)]

    assert len({edge.id for edge in edges}) == len(edges)
    opened: str | None = None
    for edge in edges:
        assert edge.recovered is (edge.episode_id == opened and edge.level < 2)
        opened = None if edge.recovered else edge.episode_id
