# SPDX-License-Identifier: Apache-2.0
"""What is believed of a machine: late, skewed, lying, doubled and silent ones each have their defined result."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.orchestration_bridge.model import heat, nodes
from mlops.orchestration_bridge.model.fleet import Fleet, Load
from mlops.orchestration_bridge.model.heat import Slots
from mlops.orchestration_bridge.model.nodes import Node, Reading
from mlops.orchestration_bridge.model.placement import GIB, Gate, Needs, obstacle

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
COOL = Reading(level=0, window_s=10, boot_id="boot-a")


def s(seconds: float) -> timedelta:
    return timedelta(seconds=seconds)


def heard(
    *said: tuple[float, Reading],
    behind_s: float = 0.0,
    late_s: float = 0.0,
    known: Node | None = None,
) -> Node:
    """Return what is known after samples that arrive so many seconds after noon."""
    for at_s, reading in said:
        arrives = NOON + s(at_s)
        told_at = arrives - s(behind_s) - s(late_s)
        known = nodes.sampled(known, "n", reading, told_at, arrives, 4) or known
    assert known is not None
    return known


def shut(node: Node, at_s: float, base: int = 4) -> tuple[Gate, str]:
    host = Fleet({"n": node}, base).hosts((), NOON + s(at_s))["n"]
    return host.shut, host.why_shut


def test_a_steady_wrong_clock_is_taken_off() -> None:
    node = heard((0, COOL), (10, COOL), (20, COOL), behind_s=3600)

    assert node.skew_s == pytest.approx(3600)
    assert node.seen_at == NOON + s(20)
    assert shut(node, 25) == (Gate.NONE, "")


def test_a_clock_that_is_ahead_is_judged_by_arrival() -> None:
    node = heard((0, COOL), (10, COOL), (20, replace(COOL, level=3)), behind_s=-3600)

    assert node.seen_at == NOON + s(20)
    assert shut(node, 25)[0] is Gate.HEAT


def test_a_late_sample_is_no_sign_of_life() -> None:
    node = heard((0, COOL), (10, COOL))
    late = nodes.sampled(node, "n", COOL, NOON + s(20), NOON + s(120), 4)

    assert late is not None
    assert (late.skew_s, late.seen_at) == (0, NOON + s(20))
    assert shut(late, 121)[0] is Gate.UNKNOWN_NODE


def test_a_machine_that_will_tell_less_often_is_waited_for() -> None:
    node = heard((0, replace(COOL, window_s=20)))
    cooled = nodes.edged(node, "n", Node(0, NOON + s(34)), NOON + s(34), 4)

    rests = heard((40, replace(COOL, window_s=40)), known=cooled)

    assert shut(rests, 105) == (Gate.NONE, "")
    assert shut(rests, 161)[0] is Gate.UNKNOWN_NODE


def test_what_is_told_after_an_outage_is_never_acted_on() -> None:
    node = heard((0, COOL))
    backfilled = replace(COOL, level=4, backfill=True)

    assert nodes.sampled(node, "n", backfilled, NOON + s(5), NOON + s(5), 4) is None
    assert nodes.sampled(None, "n", backfilled, NOON + s(5), NOON + s(5), 4) is None


def test_two_machines_of_one_name_are_unknown_until_one_is_silent() -> None:
    other = replace(COOL, boot_id="boot-b")
    node = heard((0, COOL), (5, other), (10, COOL), (15, other))

    gate, why = shut(node, 16)
    assert gate is Gate.UNKNOWN_NODE
    assert "n is two machines: starts boot-a and boot-b" in why
    later = heard(*((20.0 + 5 * i, other) for i in range(10)), known=node)
    assert shut(later, 66) == (Gate.NONE, "")


def test_a_restart_is_no_second_machine() -> None:
    node = heard((0, COOL), (10, COOL), (20, replace(COOL, boot_id="boot-b")))

    assert shut(node, 21) == (Gate.NONE, "")


@pytest.mark.parametrize(
    ("reading", "level"),
    [
        (Reading(level=0, derived_throttle=True), 2),
        (Reading(level=None, derived_throttle=True, reasons=("thermal", "power_cap")), 2),
        (Reading(level=0, derived_throttle=True, reasons=("low_power_mode",)), 1),
        (Reading(level=3, derived_throttle=True), 3),
        (Reading(level=0), 0),
    ],
)
def test_a_machine_that_lies_counts_as_hot(reading: Reading, level: int) -> None:
    assert nodes.true_level(reading)[0] == level


@given(silent_s=st.floats(30.1, 1e6), interval_s=st.floats(0, 600), level=st.integers(0, 4))
def test_silence_admits_nothing(silent_s: float, interval_s: float, level: int) -> None:
    node = Node(level, NOON, s(interval_s))
    late_s = max(silent_s, 3 * interval_s + 0.1)

    fleet = Fleet({"n": node}, 2, named=("n",))

    host = fleet.hosts((), NOON + s(late_s))["n"]
    assert obstacle(host, Needs()) is not None


def test_a_named_machine_that_never_spoke_takes_nothing() -> None:
    host = Fleet({}, 2, named=("n",)).hosts((), NOON)["n"]

    assert (host.shut, host.why_shut) == (Gate.UNKNOWN_NODE, "n has never said anything")


def test_memory_is_free_only_after_serving_and_what_a_sample_cannot_show_yet() -> None:
    reading = replace(COOL, memory_total=16 * GIB, memory_available=12 * GIB)
    fleet = Fleet({"n": heard((0, reading))}, 4, serving_bytes=2 * GIB)
    needs = Needs(memory_bytes=3 * GIB)

    new = fleet.hosts([Load("n", needs, NOON + s(1))], NOON + s(2))["n"]
    old = fleet.hosts([Load("n", needs, NOON - s(300))], NOON + s(2))["n"]
    full = replace(reading, memory_pressure="critical")

    assert (new.memory_free, new.slots) == (7 * GIB, 3)
    assert old.memory_free == 10 * GIB
    pressed = Fleet({"n": heard((0, full))}, 4).hosts((), NOON)["n"]
    assert pressed.memory_free == 0


@given(
    base=st.integers(1, 32),
    steps=st.lists(st.tuples(st.floats(0, 400), st.integers(0, 4)), max_size=20),
    extra=st.lists(st.integers(0, 4), min_size=20, max_size=20),
)
def test_slots_stay_within_their_bounds_and_heat_never_gives_more(
    base: int, steps: list[tuple[float, int]], extra: list[int]
) -> None:
    now, slots, seen = NOON, Slots(), base
    for (gap_s, level), more in zip(steps, extra, strict=False):
        now += s(gap_s)
        hotter = heat.controlled(slots, max(level, more), base, now, "n")
        slots = heat.controlled(slots, level, base, now, "n")
        assert slots.now is not None
        assert hotter.now is not None
        assert 1 <= slots.now <= heat.most(base, level)
        assert hotter.now <= max(slots.now, heat.most(base, max(level, more)))
        assert heat.controlled(slots, level, base, now, "n") == slots
        if level >= 2:
            assert slots.now <= seen
        seen = slots.now


def test_slots_halve_at_once_and_come_back_one_by_one() -> None:
    slots = heat.controlled(Slots(), 2, 8, NOON, "n")
    assert slots.now == 4
    again = heat.controlled(heat.controlled(slots, 0, 8, NOON + s(5), "n"), 2, 8, NOON + s(10), "n")
    assert again.now == 4

    cool = heat.controlled(again, 0, 8, NOON + s(11), "n")
    wait = heat.GROW_EVERY + heat.jitter("n", "")
    assert heat.controlled(cool, 0, 8, NOON + s(10) + wait - s(1), "n").now == 4
    assert heat.controlled(cool, 0, 8, NOON + s(10) + wait + s(1), "n").now == 5
    assert heat.controlled(cool, 0, 8, NOON + s(10) + wait + s(121), "n").now == 6
    assert heat.controlled(cool, 0, 8, NOON + timedelta(hours=1), "n").now == 8


def test_flapping_does_not_flap_the_slots() -> None:
    slots, seen = Slots(), []
    for tick in range(120):
        slots = heat.controlled(slots, tick % 2, 8, NOON + s(10 * tick), "n")
        seen.append(slots.now)

    assert set(seen[1:]) == {6}
    assert heat.jitter("a", "e") != heat.jitter("b", "e")


def test_a_warm_machine_takes_all_but_what_is_latency_critical() -> None:
    assert heat.admits(1, latency_critical=False)
    assert not heat.admits(1, latency_critical=True)
    assert not heat.admits(2, latency_critical=False)
