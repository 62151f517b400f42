# SPDX-License-Identifier: Apache-2.0
"""What becomes of a workflow whose attempt is over, and when the orchestrator must end one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from services.orchestration_bridge.tests.running_work import (
    FAILED,
    LEFT,
    MINUTE,
    NOON,
    entry,
    node,
    world,
)

from mlops.orchestration_bridge.model import departure
from mlops.orchestration_bridge.model.attempts import Ask, Asked, Forced, Parted, Parting, Stint
from mlops.orchestration_bridge.model.lifecycle import End
from mlops.orchestration_bridge.model.queue import DAY, Entry
from mlops.orchestration_bridge.model.standing import World
from mlops.orchestration_bridge.model.workers import Work, Worker


def parted(found: Entry, kind: Parting, at: datetime = NOON) -> Stint:
    return Stint(found.node, at - MINUTE, at, kind)


def after(found: World, end: End, now: datetime = NOON) -> End | Parted:
    queue = found.queues["p"]
    return departure.after(found, queue, queue.entries[-1], end, now)


def test_what_left_waits_again_for_a_cool_machine() -> None:
    asked = (Asked(Ask.LEAVE, 1, "n1 is hot", NOON, "n1", "e1", "n2"),)

    found = after(world(entry(asked=asked), n1=node(3), n2=node(0)), LEFT)

    assert found == Parted(Parting.LEFT, NOON, "n1 is hot", saved=True, to="n2")


def test_a_failure_of_its_own_is_a_failure_even_where_it_is_hot() -> None:
    asked = (Asked(Ask.STOP, 1, "n1 is hot", NOON),)

    assert after(world(entry(asked=asked), n1=node(4)), FAILED) is FAILED


def test_a_completed_run_has_completed_whatever_it_was_asked() -> None:
    force = Forced(Parting.EVICTED, "hot", NOON)
    well = End(completed=True, at=NOON)

    assert after(world(entry(forced=force), n1=node(4)), well) is well


def test_the_fourth_eviction_of_a_day_fails_with_what_to_do() -> None:
    asked = (Asked(Ask.STOP, 1, "n1 is at heat level 4", NOON),)
    often = entry(asked=asked)
    often = replace(
        often, stints=tuple(parted(often, Parting.EVICTED) for _ in range(3)), attempt=4
    )

    found = after(world(often, n1=node(4)), LEFT)

    assert isinstance(found, End)
    assert not found.completed
    assert found.diagnosis.startswith("its machine stopped it for its heat 4 times (n1) within 24")
    assert "[train.checkpoint]" in found.diagnosis
    assert found.diagnosis.endswith("n1 is at heat level 4")
    yesterday = tuple(replace(one, ended_at=NOON - DAY) for one in often.stints)
    assert isinstance(after(world(replace(often, stints=yesterday), n1=node(4)), LEFT), Parted)


def test_attempts_are_not_endless() -> None:
    last = entry(attempt=departure.MOST_ATTEMPTS)

    found = after(world(last, n1=node(3)), LEFT)

    assert isinstance(found, End)
    assert "it was started 20 times" in found.diagnosis


def test_a_run_that_ended_without_a_word_on_a_silent_machine_was_lost() -> None:
    mute = replace(FAILED, mute=True)
    silent = node(0, NOON - MINUTE)

    found = after(world(entry(), n1=silent), mute)

    assert isinstance(found, Parted)
    assert (found.parting, found.to) == (Parting.LOST, "")
    assert after(world(entry(), n1=node(0)), mute) is mute
    assert after(world(entry(), n1=silent), FAILED) is FAILED


def with_worker(found: World, work: Work) -> World:
    return replace(found, workers={"n1": Worker("n1", work)})


def test_a_vanished_machine_is_waited_for_until_nobody_hears_it() -> None:
    gone = world(entry(), n1=node(0, NOON - 11 * MINUTE))
    lately = world(entry(), n1=node(0, NOON - 9 * MINUTE))

    [forced] = departure.overdue(with_worker(gone, Work.GONE), NOON)
    assert forced.force.parting is Parting.LOST
    assert "neither its agent nor its worker spoke for 11 min" in forced.force.reason
    other = replace(gone, workers={"n2": Worker("n2", Work.READY)})
    assert len(list(departure.overdue(other, NOON))) == 1  # its worker was taken away
    assert list(departure.overdue(replace(other, local="n1"), NOON)) == []
    for found in (gone, with_worker(gone, Work.READY), with_worker(lately, Work.GONE)):
        assert list(departure.overdue(found, NOON)) == []
    assert "it is started elsewhere" in departure.silence(
        with_worker(lately, Work.GONE), entry(), NOON
    )
    assert "in 60 s" in departure.silence(with_worker(lately, Work.GONE), entry(), NOON)
    assert "its worker still answers" in departure.silence(
        with_worker(gone, Work.READY), entry(), NOON
    )
    assert "but Airflow runs it: it goes on" in departure.silence(gone, entry(), NOON)


def test_what_does_not_stop_is_ended_unless_the_heat_is_over() -> None:
    asked = (Asked(Ask.STOP, 1, "n1 is hot", NOON - 3 * MINUTE),)
    deaf = entry(asked=asked)

    [forced] = departure.overdue(world(deaf, n1=node(4)), NOON)

    assert forced.force == Forced(Parting.EVICTED, "n1 is hot", NOON)
    assert list(departure.overdue(world(deaf, n1=node(1)), NOON)) == []
    patient = replace(deaf, asked=(replace(asked[0], at=NOON),))
    assert list(departure.overdue(world(patient, n1=node(4)), NOON)) == []


def test_what_was_ended_by_force_is_given_the_time_to_end() -> None:
    forced = entry(forced=Forced(Parting.LOST, "", NOON))

    assert not departure.is_settled(forced, NOON + timedelta(seconds=14))
    assert departure.is_settled(forced, NOON + timedelta(seconds=15))
