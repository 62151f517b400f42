# SPDX-License-Identifier: Apache-2.0
"""Persons about workflows: every approval and cancellation is answered, once, and a question says why one waits."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.orchestration_bridge import (
    ApproveWorkflow,
    CancelWorkflow,
    StartWorkflow,
    WorkflowApproved,
)
from mlops.contracts.settings import Consent
from mlops.contracts.telemetry_agent import ThermalThrottled
from mlops.contracts.workspaces import ProjectArchived


async def _awaiting(world: Any) -> str:
    await world.tell(world.registered(Consent.APPROVE))
    return str((await world.tell(world.degraded()))[0].workflow_key)


async def test_an_approval_is_answered_with_the_decision(world: Any) -> None:
    key = await _awaiting(world)
    world.now += timedelta(minutes=5)
    command = ApproveWorkflow(project="rain", workflow_key=key)

    (approved,) = await world.tell(command)

    assert isinstance(approved, WorkflowApproved)
    assert (approved.workflow_key, approved.kind, approved.model) == (key, "retrain", "rain")
    assert approved.waited_s == pytest.approx(300, abs=5)
    assert approved.decision.admitted
    assert approved.causation_id == command.id
    assert await world.round() == ["workflow.started"]


async def test_an_approval_that_comes_again_is_answered_with_the_same_event(world: Any) -> None:
    key = await _awaiting(world)
    command = ApproveWorkflow(project="rain", workflow_key=key)
    await world.tell(command)
    await world.round()  # it runs by now: the answer is still an approval, not a refusal

    await _again(world, command)

    ids = [m.id for m in world.bus.published if m.type == "workflow.approved"]
    assert ids == [follow_up_id(command.id, "workflow.approved", 0)]
    assert not [m for m in world.bus.published if m.type == "command.refused"]


async def test_an_approved_workflow_may_still_wait_and_says_why(world: Any) -> None:
    key = await _awaiting(world)
    await world.tell(
        ThermalThrottled(
            node="n1", episode_id="e", level=3, reason="fan", since=world.now, time=world.now
        )
    )

    (approved,) = await world.tell(ApproveWorkflow(project="rain", workflow_key=key))

    assert not approved.decision.admitted
    assert "n1 is at heat level 3" in approved.decision.reason


async def test_what_waits_for_no_person_is_not_approved(world: Any) -> None:
    await world.tell(world.registered())
    key = (await world.tell(world.degraded()))[0].workflow_key
    again = await _refused(world, key)
    assert again.endswith("waits for no person; it is waiting")

    await world.round()
    assert (await _refused(world, key)).endswith("waits for no person; it is running")

    world.pipelines.finish(key)
    await world.round()
    assert (await _refused(world, key)).endswith(
        "is already completed; there is nothing to approve"
    )


async def test_a_second_person_hears_that_it_is_approved_already(world: Any) -> None:
    key = await _awaiting(world)
    await world.tell(ApproveWorkflow(project="rain", workflow_key=key))

    assert (await _refused(world, key)).endswith("is approved already; it is waiting")


async def test_the_workflow_of_an_archived_project_is_not_approved(world: Any) -> None:
    key = await _awaiting(world)
    await world.tell(ProjectArchived(project="rain"))

    assert (await _refused(world, key)).endswith(
        "is already cancelled; there is nothing to approve"
    )


@pytest.mark.parametrize("how_far", ["awaits_approval", "waiting", "running"])
async def test_a_workflow_is_cancelled_wherever_it_is(world: Any, how_far: str) -> None:
    key = await _awaiting(world)
    if how_far != "awaits_approval":
        await world.tell(ApproveWorkflow(project="rain", workflow_key=key))
    if how_far == "running":
        await world.round()
    assert (await _why(world, key))["state"] == how_far
    command = CancelWorkflow(project="rain", workflow_key=key, reason="not today")

    (cancelled,) = await world.tell(command)

    assert (cancelled.type, cancelled.reason) == ("workflow.cancelled", "not today")
    assert cancelled.causation_id == command.id
    assert await world.round() == []
    assert world.pipelines.stopped == ([key] if how_far == "running" else [])


async def test_a_cancellation_that_comes_again_is_answered_the_same_and_another_is_refused(
    world: Any,
) -> None:
    key = await _awaiting(world)
    command = CancelWorkflow(project="rain", workflow_key=key)
    await world.tell(command)

    await _again(world, command)
    (refused,) = await world.tell(CancelWorkflow(project="rain", workflow_key=key))

    assert [m.type for m in world.bus.published].count("workflow.cancelled") == 1
    assert refused.reason.endswith("is already cancelled; there is nothing to cancel")


async def test_why_says_what_is_in_the_way_and_until_when(world: Any) -> None:
    await world.tell(world.registered(), world.registered_as("sun"), world.registered_as("fog"))
    queued = []
    for name in ("rain", "sun", "fog"):
        queued.append((await world.tell(StartWorkflow(project=name)))[0])
        world.now += timedelta(seconds=1)
    await world.round()
    *running, last = queued

    found = await _why(world, last.workflow_key)

    assert (found["project"], found["state"], found["waits"]) == ("fog", "waiting", True)
    assert found["reason"] == "the machine runs 2 of at most 2 at once"
    assert (found["place"], found["of"], found["ahead"]) == (1, 1, [])
    assert found["until"] is None  # nobody knows yet how long a workflow takes here
    assert found["workflow"]["decision"]["share_used_ratio"] == 0.0
    for one in running:
        assert "no longer waits" in (await _why(world, one.workflow_key))["reason"]


async def test_why_knows_when_a_place_will_be_free(world: Any) -> None:
    await world.tell(world.registered())
    for _ in range(2):
        key = (await world.tell(StartWorkflow(project="rain")))[0].workflow_key
        await world.round()
        world.now += timedelta(minutes=10)
        world.pipelines.finish(key)
        outcome = world.pipelines.outcomes[key]
        world.pipelines.outcomes[key] = replace(outcome, ended_at=world.now)
        await world.round()
    for model in ("rain", "hail"):
        await world.tell(StartWorkflow(project="rain", model=model))
    await world.round()
    waiting = (await world.tell(StartWorkflow(project="rain", model="snow")))[0].workflow_key

    found = await _why(world, waiting)

    assert datetime.fromisoformat(found["until"]) == world.now + timedelta(minutes=10)


async def test_who_waits_for_a_person_stands_in_nobodys_way(world: Any) -> None:
    awaiting = await _awaiting(world)
    await world.tell(world.registered_as("sun"))
    world.now += timedelta(seconds=1)
    waiting = (await world.tell(StartWorkflow(project="sun")))[0].workflow_key

    found, held = await _why(world, waiting), await _why(world, awaiting)

    assert (found["place"], found["of"], found["ahead"]) == (1, 1, [])
    assert (held["place"], held["ahead"], held["waits"]) == (None, [], True)


async def test_why_also_takes_the_message_that_asked(world: Any) -> None:
    await world.tell(world.registered(Consent.NEVER))
    trigger = world.degraded()
    await world.tell(trigger)
    wish = StartWorkflow(project="rain")
    key = (await world.tell(wish))[0].workflow_key

    declined, queued = await _why(world, trigger.id), await _why(world, wish.id)

    assert (declined["state"], declined["waits"]) == ("declined", False)
    assert "[retrain].mode is 'never'" in declined["reason"]
    assert queued["workflow"]["key"] == key


async def test_why_of_an_unknown_workflow_names_those_there_are(world: Any) -> None:
    key = await _awaiting(world)

    with pytest.raises(RejectedError, match=rf"no workflow 'nope'.*waiting or running: {key}"):
        await _why(world, "nope")
    with pytest.raises(RejectedError, match="no workflow is named"):
        await world.bus.ask("orchestration_bridge", "why", {})
    with pytest.raises(RejectedError, match=f"no workflow '{key}'"):
        await world.bus.ask(
            "orchestration_bridge", "why", {"workflow_key": key, "project": "other"}
        )


async def _again(world: Any, message: Message) -> None:
    await world.bus.publish_bytes(message.subject, message.encode(), f"again-{message.id}")
    await world.bus.settle()


async def _why(world: Any, key: str) -> dict[str, Any]:
    found: dict[str, Any] = await world.bus.ask(
        "orchestration_bridge", "why", {"workflow_key": key}
    )
    return found


async def _refused(world: Any, key: str) -> str:
    (refused,) = await world.tell(ApproveWorkflow(project="rain", workflow_key=key))
    assert refused.type == "command.refused"
    return str(refused.reason)
