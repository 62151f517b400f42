# SPDX-License-Identifier: Apache-2.0
"""Which workers heat drains and when it lets them go, what a person's drain is worth, and what is said of each."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mlops.orchestration_bridge.model import heat, workers
from mlops.orchestration_bridge.model.fleet import Fleet
from mlops.orchestration_bridge.model.heat import Slots
from mlops.orchestration_bridge.model.nodes import Node
from mlops.orchestration_bridge.model.placement import Gate
from mlops.orchestration_bridge.model.workers import MARK, Step, Work, Worker

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
READY = Worker("b", Work.READY)
OURS = Worker("b", Work.DRAINED, why=f"{MARK} b is at heat level 3")
PERSONS = Worker("b", Work.DRAINED, why="new disk")


def node(level: int | None, hot_s: float | None = None, reason: str = "") -> Node:
    hot_at = None if hot_s is None else NOON - timedelta(seconds=hot_s)
    return Node(level, NOON, reason=reason, slots=Slots(now=1, hot_at=hot_at))


@pytest.mark.parametrize(
    ("worker", "known", "step"),
    [
        (READY, node(0), Step.NOTHING),
        (READY, node(2), Step.NOTHING),
        (READY, node(3), Step.DRAIN),
        (READY, node(4), Step.DRAIN),
        (READY, node(None), Step.NOTHING),
        (READY, None, Step.NOTHING),
        (replace(READY, work=Work.RETURNING), node(3), Step.NOTHING),
        (replace(READY, work=Work.STOPPING), node(3), Step.NOTHING),
        (replace(READY, work=Work.GONE), node(3), Step.NOTHING),
        (OURS, node(3), Step.NOTHING),
        (OURS, node(2, hot_s=1000), Step.NOTHING),
        (OURS, node(0, hot_s=10), Step.NOTHING),
        (OURS, node(0, hot_s=151), Step.UNDRAIN),
        (OURS, node(1, hot_s=151), Step.UNDRAIN),
        (OURS, node(0), Step.UNDRAIN),
        (replace(OURS, work=Work.DRAINING), node(0), Step.UNDRAIN),
        (replace(OURS, work=Work.STOPPED), node(0), Step.NOTHING),
        (PERSONS, node(0), Step.NOTHING),
        (PERSONS, node(4), Step.NOTHING),
    ],
)
def test_heat_drains_and_lets_go_only_what_it_drained(
    worker: Worker, known: Node | None, step: Step
) -> None:
    assert workers.step(worker, known, NOON) is step


def test_a_machine_rests_as_long_as_its_first_slot_takes_to_come_back() -> None:
    hot = heat.controlled(Slots(), 3, 4, NOON, "b")
    cool = heat.controlled(hot, 0, 4, NOON + timedelta(seconds=1), "b")

    due = NOON + heat.GROW_EVERY + heat.jitter("b", "")

    assert not heat.rested(cool, 0, due - timedelta(milliseconds=1), "b")
    assert heat.rested(cool, 0, due, "b")
    assert heat.controlled(cool, 0, 4, due + timedelta(seconds=1), "b").now == 2


def test_a_relapse_begins_the_rest_anew() -> None:
    slots = heat.controlled(Slots(), 3, 4, NOON, "b")
    later = NOON + timedelta(seconds=100)
    slots = heat.controlled(slots, 0, 4, later, "b")
    slots = heat.controlled(slots, 2, 4, later, "b")

    assert not heat.rested(slots, 0, NOON + timedelta(seconds=160), "b")


def test_a_long_reason_keeps_its_mark_and_fits() -> None:
    said = workers.comment("b", node(3, reason="x" * 5000))

    assert said.startswith(f"{MARK} b is at heat level 3: xxx")
    assert len(said) <= 400


def fleet(*found: Worker, local: str = "a", **known: Node) -> Fleet:
    return Fleet(known, 2, workers={one.name: one for one in found}, local=local, several=True)


@pytest.mark.parametrize(
    ("worker", "gate", "said"),
    [
        (READY, Gate.NONE, ""),
        (replace(READY, work=Work.RETURNING), Gate.NONE, ""),
        (OURS, Gate.HEAT, "b is drained: b is at heat level 3"),
        (PERSONS, Gate.UNKNOWN_NODE, "b is drained: new disk"),
        (replace(READY, work=Work.STOPPED), Gate.UNKNOWN_NODE, "the worker of b is stopped"),
        (
            replace(READY, work=Work.GONE, seen_at=NOON),
            Gate.UNKNOWN_NODE,
            "the worker of b has not been heard since 12:00:00 UTC; nobody knows whether it works",
        ),
    ],
)
def test_a_machine_takes_work_only_while_its_worker_does(
    worker: Worker, gate: Gate, said: str
) -> None:
    hosts = fleet(worker, a=node(0), b=node(0)).hosts((), NOON)

    assert (hosts["b"].shut, hosts["b"].why_shut) == (gate, said)
    assert hosts["a"].shut is Gate.NONE


def test_a_machine_without_a_worker_takes_none_where_others_have_one() -> None:
    hosts = fleet(READY, a=node(0), b=node(0), c=node(0)).hosts((), NOON)

    assert hosts["c"].why_shut == "c has no worker; `mlops node start` on it makes one"
    assert fleet(a=node(0), c=node(0)).hosts((), NOON)["c"].shut is Gate.UNKNOWN_NODE
    assert Fleet({"c": node(0)}, 2).hosts((), NOON)["c"].shut is Gate.NONE


def test_a_worker_whose_heat_nobody_knows_takes_none() -> None:
    hosts = fleet(READY, a=node(0)).hosts((), NOON)

    assert (hosts["b"].shut, hosts["b"].why_shut) == (
        Gate.UNKNOWN_NODE,
        "b has never said anything",
    )


def test_a_worker_that_is_gone_for_good_is_not_waited_for() -> None:
    gone = replace(READY, work=Work.GONE)

    assert fleet(gone, a=node(0)).names(NOON) == ("a",)


def test_a_worker_with_fewer_slots_than_others_gets_no_more() -> None:
    small, cool = replace(READY, slots=1), Node(0, NOON)

    assert fleet(small, a=cool, b=cool).slots("b", NOON) == 1
    assert fleet(replace(READY, slots=9), a=cool, b=cool).slots("b", NOON) == 2
    assert fleet(small, a=cool).slots("b", NOON) == 1
