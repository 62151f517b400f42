# SPDX-License-Identifier: Apache-2.0
"""From a trigger to the end of its run, over the memory bus."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.monitoring import LATENCY_P95, DriftDetected, DriftKind, Severity
from mlops.contracts.orchestration_bridge import (
    ApproveWorkflow,
    CancelWorkflow,
    StartWorkflow,
    WorkflowKind,
)
from mlops.contracts.settings import Consent


async def test_a_version_that_is_not_rolled_out_yet_is_no_reason_to_retrain(world: Any) -> None:
    await world.tell(world.registered())

    asked = await world.tell(world.degraded().model_copy(update={"against_version": 1}))

    assert asked == []


async def test_slow_answers_are_no_reason_to_retrain(world: Any) -> None:
    await world.tell(world.registered())

    asked = await world.tell(world.degraded().model_copy(update={"metric": LATENCY_P95}))

    assert asked == []


async def test_registration_provisions_and_says_what_was_made(world: Any) -> None:
    said = await world.tell(world.registered())

    assert [m.type for m in said] == ["workspace.provisioned"]
    assert said[0].names == {"dag": "rain__train", "pool": "p_rain", "airflow": "memory:"}
    assert world.pipelines.known["rain"].path == "/projects/rain"


async def test_registration_waits_for_an_orchestrator_that_is_not_up_yet(world: Any) -> None:
    world.pipelines.away = 20

    said = await world.tell(world.registered())

    assert [m.type for m in said] == ["workspace.provisioned"]
    assert world.bus.dead == []


async def test_a_project_without_a_folder_is_refused(world: Any) -> None:
    message = world.registered().model_copy(update={"path": None})

    said = await world.tell(message)

    assert [m.type for m in said] == ["workspace.refused"]
    assert "register it with its path" in said[0].reason


async def test_degradation_leads_to_one_retraining_and_its_end(world: Any) -> None:
    await world.tell(world.registered())
    alarm = world.degraded()

    said = await world.tell(alarm)

    queued = said[0]
    assert queued.type == "workflow.queued"
    assert (queued.kind, queued.place, queued.depth) == (WorkflowKind.RETRAIN, 1, 1)
    assert queued.decision.admitted
    assert queued.workflow_key.startswith("rain-")
    assert await world.round() == ["workflow.started"]
    assert await world.round() == []
    world.pipelines.finish(queued.workflow_key)
    assert await world.round() == ["workflow.completed"]
    assert await world.round() == []
    assert world.pipelines.started == [queued.workflow_key]


async def test_the_chain_of_causes_is_whole(world: Any) -> None:
    await world.tell(world.registered())
    alarm = world.degraded()
    queued = (await world.tell(alarm))[0]
    await world.round()
    world.pipelines.finish(queued.workflow_key)
    await world.round()

    started, completed = world.last("workflow.started"), world.last("workflow.completed")

    assert (queued.causation_id, started.causation_id) == (alarm.id, queued.id)
    assert completed.causation_id == started.id
    assert {m.correlation_id for m in (queued, started, completed)} == {alarm.id}
    assert world.pipelines.runs[queued.workflow_key].causation_id == started.id
    assert started.id == follow_up_id(queued.id, "workflow.started", 0)


async def test_a_failed_run_tells_its_diagnosis(world: Any) -> None:
    await world.tell(world.registered())
    queued = (await world.tell(world.degraded()))[0]
    await world.round()
    world.pipelines.finish(queued.workflow_key, step="train", diagnosis="no module named torch")

    assert await world.round() == ["workflow.failed"]
    failed = world.last("workflow.failed")
    assert (failed.step, failed.diagnosis) == ("train", "no module named torch")


async def test_a_second_alarm_while_one_is_under_way_is_declined(world: Any) -> None:
    await world.tell(world.registered())
    key = (await world.tell(world.degraded()))[0].workflow_key

    said = await world.tell(world.degraded())

    assert [m.type for m in said] == ["workflow.declined"]
    assert said[0].reason == f"already under way: {key} (waiting)"


async def test_cooldown_says_from_when_on_it_would_be_accepted(world: Any) -> None:
    await world.tell(world.registered())
    queued = (await world.tell(world.degraded()))[0]
    await world.round()
    world.pipelines.finish(queued.workflow_key)
    await world.round()
    world.now += timedelta(seconds=30)

    declined = (await world.tell(world.degraded()))[0]

    assert declined.type == "workflow.declined"
    assert declined.retry_at is not None
    assert 0 < (declined.retry_at - world.now).total_seconds() <= 60


async def test_only_critical_drift_retrains(world: Any) -> None:
    await world.tell(world.registered())
    drift = DriftDetected(
        project="rain",
        model="rain",
        version=1,
        kind=DriftKind.DATA,
        share_drifted_ratio=0.9,
        window=world.window(0),
    )

    assert await world.tell(drift) == []
    critical = drift.model_copy(update={"id": "critical", "severity": Severity.CRITICAL})
    assert [m.type for m in await world.tell(critical)] == ["workflow.queued"]


async def test_one_more_retraining_after_enough_windows(world: Any) -> None:
    await world.tell(world.registered(follow_up=2))
    queued = (await world.tell(world.degraded(0), world.measured(0)))[-1]
    await world.round()
    world.pipelines.finish(queued.workflow_key)
    await world.round()
    world.now += timedelta(hours=1)

    assert await world.tell(world.measured(1, version=2)) == []
    assert await world.tell(world.measured(2, version=2, partial=True)) == []
    follow_up = (await world.tell(world.measured(2, version=2)))[0]

    assert follow_up.type == "workflow.queued"
    assert follow_up.why.startswith(f"follow-up of {queued.workflow_key}: 2 windows")
    await world.round()
    world.pipelines.finish(follow_up.workflow_key)
    await world.round()
    world.now += timedelta(hours=1)
    assert await world.tell(world.measured(3, version=3), world.measured(4, version=3)) == []


async def test_the_answer_for_all_projects_shows_less_of_each(world: Any) -> None:
    await world.tell(world.registered())
    keys = []
    for _ in range(25):
        keys.append((await world.tell(StartWorkflow(project="rain")))[0].workflow_key)
        await world.round()
        world.pipelines.finish(keys[-1])
        await world.round()

    every = await world.bus.ask("orchestration_bridge", "queue", {})
    one = await world.bus.ask("orchestration_bridge", "queue", {"project": "rain"})

    assert len(every["projects"][0]["ended"]) == 3
    assert [entry["key"] for entry in one["projects"][0]["ended"]] == keys[-20:]


async def test_approval_lets_a_workflow_go(world: Any) -> None:
    await world.tell(world.registered(Consent.APPROVE))
    queued = (await world.tell(world.degraded()))[0]
    assert queued.awaits_approval
    assert await world.round() == []

    await world.tell(ApproveWorkflow(project="rain", workflow_key=queued.workflow_key))

    assert await world.round() == ["workflow.started"]


async def test_a_person_starts_and_cancels(world: Any) -> None:
    await world.tell(world.registered())
    queued = (await world.tell(StartWorkflow(project="rain", why="first model")))[0]
    await world.round()

    said = await world.tell(CancelWorkflow(project="rain", workflow_key=queued.workflow_key))

    assert [m.type for m in said] == ["workflow.cancelled"]
    assert world.pipelines.stopped == [queued.workflow_key]
    assert await world.round() == []


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (CancelWorkflow(project="rain", workflow_key="nope"), "has no workflow 'nope'"),
        (ApproveWorkflow(project="rain", workflow_key="nope"), "has no workflow 'nope'"),
        (StartWorkflow(project="rain", kind=WorkflowKind.EVALUATE), "no pipeline runs"),
        (
            StartWorkflow(project="unknown", time=datetime(2026, 1, 1, tzinfo=UTC)),
            "run `mlops register`",
        ),
    ],
)
async def test_impossible_commands_are_refused_with_the_fix(
    world: Any, command: Message, reason: str
) -> None:
    await world.tell(world.registered())

    refusal = (await world.tell(command))[0]

    assert refusal.type == "command.refused"
    assert reason in refusal.reason
