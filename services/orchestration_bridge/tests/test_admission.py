# SPDX-License-Identifier: Apache-2.0
"""Who may start now: parallelism, fair share, heat, and what each of the others is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mlops.orchestration_bridge.model import admission, nodes
from mlops.orchestration_bridge.model.admission import Ruling, World
from mlops.orchestration_bridge.model.diagnosis import LONGEST, Wreck, diagnose
from mlops.orchestration_bridge.model.nodes import Node
from mlops.orchestration_bridge.model.queue import Entry, Policy, Queue, State

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def minutes(number: float) -> timedelta:
    return timedelta(minutes=number)


def entry(key: str, state: State = State.WAITING, ran: tuple[float, float] | None = None) -> Entry:
    return Entry(
        key=key,
        kind="retrain",
        model=key,
        why="",
        trigger_id=key,
        trigger_type="performance.degraded",
        queued_id=f"queued-{key}",
        story_id=key,
        queued_at=NOON - minutes(5),
        state=state,
        told=state,
        started_at=NOON - minutes(ran[0]) if ran else None,
        ended_at=NOON - minutes(ran[1]) if ran and state is State.COMPLETED else None,
    )


def waits(since_minutes: float) -> Entry:
    return replace(entry("a-1"), queued_at=NOON - minutes(since_minutes))


def queue(name: str, *entries: Entry, weight: float = 1, priority: str = "normal") -> Queue:
    policy = Policy(weight=weight, priority=priority, max_parallel=1)
    return Queue(name, policy, entries=entries)


def ruled(
    *queues: Queue, machines: dict[str, Node] | None = None, most: int = 2, away: str = ""
) -> dict[str, Ruling]:
    world = World({q.project: q for q in queues}, machines or {}, most, away)
    return {ruling.key: ruling for ruling in admission.rulings(world, NOON)}


def test_the_project_that_used_least_of_its_share_comes_first() -> None:
    busy = queue("a", entry("a-old", State.COMPLETED, (60, 30)), entry("a-new"))
    idle = queue("b", entry("b-new"))

    found = ruled(busy, idle, most=1)

    assert found["b-new"].admitted
    assert not found["a-new"].admitted
    assert "machine runs 1 of at most 1" in found["a-new"].reason
    assert found["a-new"].share_used_ratio == 1.0


def test_a_heavier_project_may_use_more() -> None:
    heavy = queue("a", entry("a-old", State.COMPLETED, (60, 30)), entry("a-new"), weight=10)
    light = queue("b", entry("b-old", State.COMPLETED, (20, 10)), entry("b-new"))

    assert ruled(heavy, light, most=1)["a-new"].admitted


def test_priority_decides_among_equals() -> None:
    low, high = queue("a", entry("a-1"), priority="low"), queue("b", entry("b-1"), priority="high")

    assert ruled(low, high, most=1)["b-1"].admitted


def test_a_project_runs_no_more_than_it_may() -> None:
    found = ruled(queue("a", entry("a-1", State.RUNNING, (3, 0)), entry("a-2")), most=9)

    assert found["a-2"].reason == "the project runs 1 of at most 1 at once"


def test_the_start_of_a_waiting_one_is_guessed_from_what_runs_and_what_ran() -> None:
    history = entry("a-0", State.COMPLETED, (30, 20))
    found = ruled(queue("a", history, entry("a-1", State.RUNNING, (4, 0)), entry("a-2")))

    assert found["a-2"].expected_start_at == NOON + minutes(6)


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (Node(2, NOON, reason="fan stopped"), "n is at heat level 2: fan stopped"),
        (Node(0, NOON - minutes(1), timedelta(seconds=5)), "n has said nothing for 60 s"),
    ],
)
def test_heat_and_silence_hold_new_work(node: Node, reason: str) -> None:
    found = ruled(queue("a", waits(1)), machines={"n": node})["a-1"]

    assert not found.admitted
    assert found.hot
    assert reason in found.reason


def test_who_waits_for_a_throttled_machine_is_told_until_when() -> None:
    found = ruled(queue("a", waits(0.5)), machines={"n": Node(2, NOON)})["a-1"]

    assert found.reason.endswith("; from 12:01:30 UTC on a throttled one will do")
    assert found.expected_start_at == NOON + minutes(1.5)


def test_who_waited_for_a_cooler_machine_long_enough_takes_a_throttled_one() -> None:
    found = ruled(queue("a", waits(2)), machines={"n": Node(2, NOON)})["a-1"]

    assert (found.admitted, found.node) == (True, "n")
    assert found.reason.startswith(
        "n is throttled, and it has waited for a cooler machine for long enough"
    )
    assert found.needs is not None
    assert not found.needs.bears_heat


def test_nothing_waits_longer_for_a_cooler_machine_than_such_work_takes() -> None:
    done = entry("a-0", State.COMPLETED, (60, 59.5))

    found = ruled(queue("a", done, waits(0.25)), machines={"n": Node(2, NOON)})["a-1"]
    later = ruled(queue("a", done, waits(0.5)), machines={"n": Node(2, NOON)})["a-1"]

    assert found.reason.endswith("; from 12:00:15 UTC on a throttled one will do")
    assert later.admitted


def test_a_cooler_machine_is_taken_before_a_throttled_one_however_long_it_waited() -> None:
    machines = {"a": Node(2, NOON), "b": Node(0, NOON)}

    assert ruled(queue("a", waits(60)), machines=machines)["a-1"].node == "b"


@pytest.mark.parametrize(
    ("node", "critical"),
    [(Node(3, NOON), False), (Node(2, NOON - minutes(1)), False), (Node(2, NOON), True)],
    ids=["critical heat", "a silent machine", "work that must be quick"],
)
def test_what_no_wait_makes_good(node: Node, *, critical: bool) -> None:
    waiting = queue("a", waits(60))
    needs = replace(waiting.policy.needs, latency_critical=critical)
    strict = replace(waiting, policy=replace(waiting.policy, needs=needs))

    assert not ruled(strict, machines={"n": node})["a-1"].admitted


def test_what_waited_for_a_person_waits_for_a_cooler_machine_from_then_on() -> None:
    approved = replace(waits(60), approved_at=NOON - minutes(1))

    found = ruled(queue("a", approved), machines={"n": Node(2, NOON)})["a-1"]

    assert found.reason.endswith("from 12:01:00 UTC on a throttled one will do")


@pytest.mark.parametrize(
    "nodes",
    [
        {},
        {"n": Node(1, NOON)},
        {"n": Node(None, NOON)},
        {"n": Node(0, NOON - timedelta(seconds=25), timedelta(seconds=1))},
        {"gone": Node(4, NOON - timedelta(hours=1))},
    ],
)
def test_cool_unknown_and_forgotten_machines_hold_nothing(nodes: dict[str, Node]) -> None:
    assert ruled(queue("a", entry("a-1")), machines=nodes)["a-1"].admitted


def test_an_older_word_about_heat_never_wins() -> None:
    hot = Node(3, NOON, reason="hot")

    assert nodes.newer(hot, Node(0, NOON - minutes(1))) == hot
    assert nodes.newer(hot, Node(3, NOON + minutes(1), minutes(1))).reason == "hot"


def test_nothing_starts_while_the_orchestrator_is_away_and_a_person_is_asked_first() -> None:
    found = ruled(
        queue("a", entry("a-1"), entry("a-2", State.AWAITS_APPROVAL)), away="no answer at :8080"
    )

    assert found["a-1"].reason == "the orchestrator is away: no answer at :8080"
    assert "must approve" in found["a-2"].reason


def test_diagnosis_names_step_status_last_lines_and_the_fix() -> None:
    lines = [*(f"epoch {number}" for number in range(40)), "No module named 'torch'"]
    lines += ["Command exited with return code 65"]

    told = diagnose(Wreck("train", lines))

    assert told.startswith("step 'train' failed with exit status 65\nHint: ")
    assert "environment lacks torch" in told.splitlines()[1]
    assert "epoch 39" in told
    assert "epoch 20" not in told


def test_diagnosis_begins_with_the_words_of_the_step_itself() -> None:
    lines = ["oops", "mlops: train: [train].command failed: exit status 137: `t`", "exit code 65"]

    told = diagnose(Wreck("train", lines))

    assert told.splitlines()[0] == (
        "step 'train' failed: [train].command failed: exit status 137: `t`"
    )
    assert "want of memory" in told.splitlines()[1]
    assert told.splitlines()[2:] == ["oops", "exit code 65"]


def test_diagnosis_is_bounded() -> None:
    assert len(diagnose(Wreck("train", ["x" * 5000] * 50))) <= LONGEST + 100
