# SPDX-License-Identifier: Apache-2.0
"""Which triggers queue a workflow, and what the others are told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mlops.orchestration_bridge.model import follow_up, lifecycle, policy
from mlops.orchestration_bridge.model.lifecycle import End, Run
from mlops.orchestration_bridge.model.policy import Accepted, Refused
from mlops.orchestration_bridge.model.queue import Policy, Queue, Seen, State, Trigger

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
OPEN = Policy(
    model="rain",
    can_train=True,
    on=("performance.degraded",),
    cooldown=timedelta(minutes=10),
    max_per_day=2,
    max_depth=3,
)


def degraded(name: str, story: str = "", seen: Seen | None = None) -> Trigger:
    return Trigger(
        name, "performance.degraded", "retrain", "rain", "worse", story or name, NOON, seen=seen
    )


def after(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def asked(queue: Queue, trigger: Trigger, now: datetime) -> Queue:
    return policy.apply(queue, trigger, f"key-{trigger.id}", f"queued-{trigger.id}", now)


def finished(queue: Queue, key: str, at: datetime, *, completed: bool = True) -> Queue:
    admitted = lifecycle.admitted(queue, key, at)
    running = lifecycle.started(admitted, key, Run("dag", key), at)
    return lifecycle.ended(running, key, End(completed, at))


def with_one_ended(at: datetime) -> Queue:
    return finished(asked(Queue("p", OPEN), degraded("a"), NOON), "key-a", at)


def test_a_first_alarm_queues_a_retraining() -> None:
    assert policy.decide(Queue("p", OPEN), degraded("a"), NOON) == Accepted(1, False)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"mode": "suggest"}, "suggested"),
        ({"mode": "never"}, "suggested"),
        ({"on": ("drift.detected",)}, "[retrain].on lists drift.detected"),
        ({"can_train": False}, "`command` under [train]"),
        ({"max_per_day": 0}, "budget spent: 0 of 0"),
    ],
)
def test_the_projects_own_settings_decline(changes: dict[str, object], said: str) -> None:
    queue = Queue("p", replace(OPEN, **changes))  # type: ignore[arg-type]  # a table of cases

    verdict = policy.decide(queue, degraded("a"), NOON)

    assert isinstance(verdict, Refused)
    assert said in verdict.reason


def test_an_archived_project_starts_nothing() -> None:
    verdict = policy.decide(Queue("p", OPEN, archived=True), degraded("a"), NOON)

    assert isinstance(verdict, Refused)
    assert "archived" in verdict.reason


def test_mode_approve_waits_for_a_person() -> None:
    queue = asked(Queue("p", replace(OPEN, mode="approve")), degraded("a"), NOON)

    assert queue.entries[0].state is State.AWAITS_APPROVAL
    assert lifecycle.approved(queue, "key-a", "wish", NOON).entries[0].state is State.WAITING


def test_one_workflow_of_a_model_at_a_time() -> None:
    queue = asked(Queue("p", OPEN), degraded("a"), NOON)

    verdict = policy.decide(queue, degraded("b"), NOON)

    assert verdict == Refused("already under way: key-a (waiting)")


def test_cooldown_counts_from_the_end_and_says_until_when() -> None:
    queue = with_one_ended(after(5))

    verdict = policy.decide(queue, degraded("b"), after(14))

    assert isinstance(verdict, Refused)
    assert verdict.retry_at == after(15)
    assert policy.decide(queue, degraded("b"), after(15)) == Accepted(1, False)


def test_the_budget_of_a_day_frees_itself_when_the_oldest_is_a_day_old() -> None:
    queue = asked(with_one_ended(after(1)), degraded("b"), after(60))
    queue = finished(queue, "key-b", after(61))

    verdict = policy.decide(queue, degraded("c"), after(120))

    assert isinstance(verdict, Refused)
    assert "2 of 2 retrainings" in verdict.reason
    assert verdict.retry_at == after(24 * 60)
    assert policy.decide(queue, degraded("c"), after(24 * 60)) == Accepted(1, False)


def test_a_story_that_keeps_starting_workflows_is_broken() -> None:
    queue = Queue("p", replace(OPEN, max_depth=2, max_per_day=10, cooldown=timedelta(0)))
    for minute, name in enumerate(["a", "b"]):
        queue = asked(queue, degraded(name, "story"), after(minute))
        queue = finished(queue, f"key-{name}", after(minute))

    verdict = policy.decide(queue, degraded("c", "story"), after(9))

    assert isinstance(verdict, Refused)
    assert "loop broken: this story has started 2 workflows" in verdict.reason
    assert policy.decide(queue, degraded("d", "another"), after(9)) == Accepted(1, False)


def test_a_person_passes_cooldown_budget_and_mode_but_not_a_running_one() -> None:
    queue = with_one_ended(after(5))
    strict = replace(queue, policy=replace(OPEN, mode="never", max_per_day=0))
    wish = Trigger("w", "cmd.workflow.start", "train", "rain", "now", "w", NOON, automatic=False)

    assert policy.decide(strict, wish, after(6)) == Accepted(1, False)
    assert isinstance(
        policy.decide(asked(strict, wish, NOON), replace(wish, id="x"), NOON), Refused
    )


def test_a_repeat_says_what_the_first_said_even_when_time_has_passed() -> None:
    queue = with_one_ended(after(5))
    declined = asked(queue, degraded("b"), after(6))

    assert asked(declined, degraded("b"), after(60)) == declined
    assert asked(queue, degraded("a"), after(60)) == queue


def seen(index: int, version: int = 1) -> Seen:
    return Seen(version, index, after(index))


def test_follow_up_is_due_after_its_windows_and_after_the_retraining() -> None:
    queue = Queue("p", replace(OPEN, follow_up_windows=2))
    queue = asked(queue, degraded("a", seen=seen(4)), after(4))
    for index in (4, 4, 3, 5, 5, 6):
        queue = follow_up.counted(queue, "rain", seen(index))

    assert follow_up.due(queue, "rain") is None
    over = finished(queue, "key-a", after(7))
    found = follow_up.due(over, "rain")
    assert found is not None
    assert [index for _, index in found.windows] == [5, 6]
    assert follow_up.due(over, "another") is None


def test_a_follow_up_that_is_never_let_keeps_no_endless_list_of_windows() -> None:
    queue = Queue("p", replace(OPEN, follow_up_windows=2))
    queue = asked(queue, degraded("a", seen=seen(0)), after(0))
    for index in range(1, 500):
        queue = follow_up.counted(queue, "rain", seen(index))

    assert len(queue.follow_ups[0].windows) <= 100
    assert follow_up.due(finished(queue, "key-a", after(501)), "rain") is not None


def test_a_queue_holds_only_so_many() -> None:
    queue = Queue("p", OPEN)
    for number in range(policy.MOST_WAITING + 1):
        wish = Trigger(f"w{number}", "cmd.workflow.start", "train", f"m{number}", "", "w", NOON)
        queue = asked(queue, replace(wish, automatic=False), NOON)

    assert len(queue.entries) == policy.MOST_WAITING
    assert "cancel some of them" in queue.declined[-1].reason


def test_a_failed_retraining_has_no_follow_up() -> None:
    queue = Queue("p", replace(OPEN, follow_up_windows=1))
    queue = asked(queue, degraded("a", seen=seen(4)), after(4))
    queue = follow_up.counted(queue, "rain", seen(5))

    assert follow_up.due(finished(queue, "key-a", after(7), completed=False), "rain") is None


def test_a_newer_retraining_replaces_the_follow_up_that_waited() -> None:
    queue = Queue("p", replace(OPEN, follow_up_windows=1, cooldown=timedelta(0)))
    queue = finished(asked(queue, degraded("a", seen=seen(4)), after(4)), "key-a", after(4))
    queue = asked(queue, degraded("b", seen=seen(5)), after(5))

    assert [found.key for found in queue.follow_ups] == ["key-b"]


def test_cancelling_what_has_ended_changes_nothing() -> None:
    queue = with_one_ended(after(5))

    assert lifecycle.cancelled(queue, "key-a", lifecycle.Wish("w", "no"), after(6)) == queue


def test_a_run_that_was_cancelled_before_it_started_stays_cancelled() -> None:
    queue = asked(Queue("p", OPEN), degraded("a"), NOON)
    queue = lifecycle.admitted(queue, "key-a", NOON)
    gone = lifecycle.cancelled(queue, "key-a", lifecycle.Wish("w", "no"), NOON)

    assert lifecycle.started(gone, "key-a", Run("dag", "key-a"), NOON) == gone


def test_history_is_kept_short() -> None:
    queue = Queue("p", replace(OPEN, cooldown=timedelta(0), max_per_day=1000))
    for number in range(200):
        queue = asked(queue, degraded(str(number)), after(number))
        queue = finished(queue, f"key-{number}", after(number))
        queue = lifecycle.heard(queue, queue.entries[-1])

    assert len(queue.entries) <= 61
    assert queue.used_today(after(200)) == 200
