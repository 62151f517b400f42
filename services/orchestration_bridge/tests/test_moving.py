# SPDX-License-Identifier: Apache-2.0
"""What running work is asked at each level of heat, what it is not, and that flapping heat moves nothing often."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from services.orchestration_bridge.tests.running_work import (
    LEFT,
    MINUTE,
    NOON,
    SAVES,
    done,
    entry,
    node,
    world,
)

from mlops.orchestration_bridge.model import departure, lifecycle, moving, parting
from mlops.orchestration_bridge.model.attempts import Ask, Asked, Parted, Parting, Stint
from mlops.orchestration_bridge.model.forecast import Errors, Fit, Seen, Turns
from mlops.orchestration_bridge.model.lifecycle import End, Run
from mlops.orchestration_bridge.model.moving import Verdict, verdicts
from mlops.orchestration_bridge.model.nodes import Node
from mlops.orchestration_bridge.model.placement import Needs
from mlops.orchestration_bridge.model.queue import DAY, Policy, Queue, State
from mlops.orchestration_bridge.model.standing import World, account, job, usual


def only(found: World, now: datetime = NOON) -> Verdict:
    [verdict] = verdicts(found, now)
    return verdict


@pytest.mark.parametrize(("level", "ask"), [(2, Ask.SAVE), (3, Ask.LEAVE), (4, Ask.STOP)])
def test_each_level_asks_for_more(level: int, ask: Ask) -> None:
    verdict = only(world(entry(), n1=node(level), n2=node(0)))

    assert (verdict.ask, verdict.due) == (ask, True)
    assert verdict.reason.startswith(f"n1 is at heat level {level}: fan stopped; ")


@pytest.mark.parametrize("level", [0, 1])
def test_what_is_cool_is_asked_nothing(level: int) -> None:
    assert verdicts(world(entry(), n1=node(level)), NOON) == ()


def test_a_silent_machine_is_asked_nothing_for_nobody_knows_its_heat() -> None:
    silent = node(4, NOON - MINUTE)

    assert verdicts(world(entry(), n1=silent), NOON) == ()


def test_what_cannot_save_goes_on_until_the_machine_is_in_danger() -> None:
    cannot = Policy(can_train=True)

    mild = only(world(entry(), policy=cannot, n1=node(3), n2=node(0)))
    danger = only(world(entry(), policy=cannot, n1=node(4), n2=node(0)))

    assert (mild.ask, mild.due) == (None, False)
    assert "[train.checkpoint] is not set" in mild.reason
    assert danger.ask is Ask.STOP


def test_a_federated_training_is_only_stopped_and_a_cohort_does_without_its_machine() -> None:
    alone, together = entry(kind="federated"), entry(kind="federated", nodes=("n1", "n2"))

    assert only(world(alone, n1=node(3), n2=node(0))).ask is None
    assert only(world(alone, n1=node(4), n2=node(0))).ask is Ask.STOP
    assert verdicts(world(together, n1=node(4), n2=node(0)), NOON) == ()


def test_it_leaves_for_the_cooler_machine_that_is_fit() -> None:
    verdict = only(world(entry(), n1=node(3), n2=node(2), n3=node(1), n4=node(0)))

    assert verdict.to == "n4"
    assert "n4 is cooler" in verdict.reason


def test_a_machine_without_room_is_no_place_to_go() -> None:
    there = [entry(f"o{number}", node="n2", model=str(number)) for number in range(4)]

    verdict = verdicts(world(entry(), *there, n1=node(3), n2=node(0)), NOON)[0]

    assert verdict.ask is Ask.SAVE
    assert "no cooler machine is fit" in verdict.reason


@pytest.mark.parametrize(
    ("policy", "asks", "why"),
    [
        (SAVES, Ask.LEAVE, "wait about 600 s until it is cool"),
        (replace(SAVES, priority="high"), Ask.SAVE, "it may not wait"),
        (replace(SAVES, needs=Needs(latency_critical=True)), Ask.SAVE, "it may not wait"),
    ],
)
def test_without_a_cooler_machine_it_leaves_only_where_it_can_wait(
    policy: Policy, asks: Ask, why: str
) -> None:
    last = Seen(NOON.timestamp(), level=3)
    ten_minutes = Turns(took=Errors(2, 600.0))
    fit = Fit(last=last, hot_since_s=NOON.timestamp(), cooling=ten_minutes)

    verdict = only(world(entry(), policy=policy, n1=replace(node(3), fit=fit)))

    assert verdict.ask is asks
    assert why in verdict.reason


def test_what_was_just_moved_or_is_nearly_done_stays_and_saves() -> None:
    here: dict[str, Any] = {"n1": node(3), "n2": node(0)}
    lately = entry(began=NOON - MINUTE, attempt=2)
    nearly = [*(done(f"d{number}", 12 * MINUTE) for number in range(3)), entry()]

    assert "it was moved here 60 s ago" in only(world(lately, **here)).reason
    assert only(world(replace(lately, attempt=1), **here)).ask is Ask.LEAVE
    verdict = only(world(*nearly, **here))
    assert verdict.ask is Ask.SAVE
    assert "about 120 s are left" in verdict.reason


def test_what_is_long_overdue_may_leave_for_nobody_knows_how_long_it_takes() -> None:
    usual_ones = [done(f"d{number}", 4 * MINUTE) for number in range(3)]

    assert only(world(*usual_ones, entry(), n1=node(3), n2=node(0))).ask is Ask.LEAVE


def test_one_of_a_machine_leaves_at_a_time_the_one_with_most_to_do_first() -> None:
    far = [done(f"d{number}", timedelta(hours=2)) for number in range(3)]
    first, second = entry("a", NOON - 30 * MINUTE), entry("b", NOON - 10 * MINUTE)

    found = {
        one.key: one for one in verdicts(world(*far, first, second, n1=node(3), n2=node(0)), NOON)
    }

    assert (found["b"].ask, found["a"].ask) == (Ask.LEAVE, Ask.SAVE)
    assert "another leaves first" in found["a"].reason


def test_of_one_episode_each_is_asked_once_and_nothing_milder_after_it() -> None:
    asked = (Asked(Ask.LEAVE, 1, "", NOON - 4 * MINUTE, "n1", "e1"),)
    known = entry(asked=asked, requests=1, told_requests=1)

    assert not only(world(known, n1=node(2))).due
    assert not only(world(known, n1=node(3), n2=node(0))).due
    assert only(world(known, n1=node(4))).due
    assert not only(world(known, n1=node(2, episode="e2"))).due  # saved four minutes ago
    later = NOON + 2 * MINUTE
    assert only(world(known, n1=node(2, later, "e2")), later).due


def test_what_the_bus_has_yet_to_hear_of_is_asked_nothing_new() -> None:
    assert not only(world(entry(told=State.WAITING), n1=node(2))).due
    assert not only(world(entry(requests=1), n1=node(4))).due


def test_work_that_ended_when_it_was_asked_to_save_is_asked_only_while_it_may_move() -> None:
    stint = Stint("n1", NOON - MINUTE, NOON, Parting.LEFT, saved=True, asked=Ask.SAVE)
    often = entry(stints=(stint,) * moving.MOST_MOVES)

    verdict = only(world(often, n1=node(2)))

    assert verdict.ask is None
    assert "it was moved 3 times" in verdict.reason


def moved_once() -> Queue:
    queue = Queue(
        "p",
        SAVES,
        path="/p",
        entries=(entry(began=NOON - 60 * MINUTE),),
        served_at=NOON - 60 * MINUTE,
    )
    how = Parted(Parting.LEFT, NOON, "hot", saved=True, to="n2")
    return parting.parted(queue, "k", 1, how)


def test_moved_work_keeps_its_age_and_its_project_stands_as_if_it_had_never_left() -> None:
    queue = moved_once()
    waiting = queue.entries[0]

    line_job = job(queue, waiting, None)
    again = lifecycle.admitted(queue, "k", NOON + MINUTE, "n2")

    assert (waiting.state, waiting.attempt, waiting.node) == (State.WAITING, 2, "n2")
    assert line_job.queued_s == waiting.queued_at.timestamp()
    assert line_job.since_s == NOON.timestamp()
    assert again.served_at == queue.served_at


def test_what_it_ran_counts_once_over_all_attempts() -> None:
    queue = moved_once()
    queue = lifecycle.admitted(queue, "k", NOON + MINUTE, "n2")
    queue = lifecycle.started(queue, "k", Run("d", "k.2"), NOON + 2 * MINUTE)
    running = account(queue, NOON + 12 * MINUTE, None)

    ended = End(completed=True, at=NOON + 12 * MINUTE)
    queue = lifecycle.ended(queue, "k", ended)

    over = queue.entries[0]
    assert over.ran_s(NOON + DAY) == 70 * 60
    assert usual(queue) == 70 * MINUTE
    assert running.usage.amount.runs > 0
    before = account(queue, NOON + 12 * MINUTE, None).usage.amount.runs
    assert before == pytest.approx(70 * 60, rel=0.02)


def test_the_work_of_a_start_from_nothing_brings_no_end_nearer() -> None:
    stints = (Stint("n1", NOON - 60 * MINUTE, NOON - 30 * MINUTE, Parting.EVICTED, saved=False),)

    again = entry(began=NOON - 10 * MINUTE, attempt=2, stints=stints, from_checkpoint=False)

    assert again.worked_s(NOON) == 600
    assert again.ran_s(NOON) == 2400


LEVELS = st.lists(
    st.tuples(st.integers(5, 1800), st.integers(0, 4), st.integers(0, 4), st.booleans()),
    max_size=120,
)


@settings(max_examples=60, deadline=None)
@given(steps=LEVELS)
def test_flapping_heat_moves_nothing_often(steps: list[tuple[int, int, int, bool]]) -> None:
    """Whatever the heat does: bounded moves and evictions a day, a stay between moves, a pause between saves."""
    queue = Queue("p", SAVES, path="/p", entries=(entry(began=NOON),))
    now, left_at, asked_at = NOON, [], []
    for number, (seconds, one, two, heeds) in enumerate(steps):
        now += timedelta(seconds=seconds)
        machines = {"n1": node(one, now, f"a{number}"), "n2": node(two, now, f"b{number}")}
        queue = _heard(_placed(queue, machines, now))
        for verdict in verdicts(World({"p": queue}, machines, 4), now):
            if verdict.due:
                request = verdict.request(queue.entries[0].requests + 1, now)
                asked_at.append((request.ask, verdict.attempt, now))
                queue = _heard(parting.asked(queue, "k", verdict.attempt, request))
        running = queue.entries[0]
        if heeds and running.asked and running.asked[-1].ask is not Ask.SAVE:
            found = departure.after(
                World({"p": queue}, machines, 4), queue, running, replace(LEFT, at=now), now
            )
            if isinstance(found, End):
                assert "within 24 hours" in found.diagnosis
                break
            began = running.started_at or now
            moved_here = began if running.attempt > 1 else NOON - DAY
            left_at.append((running.asked[-1].ask, moved_here, now))
            queue = _heard(parting.parted(queue, "k", running.attempt, found))

    for ask, began, at in left_at:
        same = [other for kind, _, other in left_at if kind is ask and at - DAY < other <= at]
        assert len(same) <= 3
        assert ask is Ask.STOP or at - began >= moving.LEAST_STAY
    saves = [(attempt, at) for ask, attempt, at in asked_at if ask is Ask.SAVE]
    for (attempt, before), (other, later) in pairwise(saves):
        assert attempt != other or later - before >= moving.SAVE_EVERY


def _placed(queue: Queue, machines: dict[str, Node], now: datetime) -> Queue:
    cool = [name for name, found in machines.items() if (found.level or 0) < 2]
    if queue.entries[0].state is not State.WAITING or not cool:
        return queue
    queue = lifecycle.admitted(queue, "k", now, cool[0])
    return lifecycle.started(queue, "k", Run("d", "k"), now)


def _heard(queue: Queue) -> Queue:
    while pending := lifecycle.untold(queue):
        queue = lifecycle.heard(queue, pending[0])
    return queue
