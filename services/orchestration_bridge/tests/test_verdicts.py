# SPDX-License-Identifier: Apache-2.0
"""What a message would do now is what it does when it comes; asking changes nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from services.orchestration_bridge.tests.conftest import World

from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message
from mlops.contracts.monitoring import LATENCY_P95, DriftDetected, DriftKind, Severity
from mlops.contracts.orchestration_bridge import CancelWorkflow, StartWorkflow
from mlops.contracts.settings import Consent


async def verdict(world: World, message: Message) -> dict[str, Any]:
    question = {"event": json.dumps(message.envelope())}
    return await world.bus.ask("orchestration_bridge", "verdict", question)


def drift(severity: Severity) -> DriftDetected:
    return DriftDetected(
        project="rain",
        model="rain",
        version=1,
        kind=DriftKind.DATA,
        severity=severity,
        share_drifted_ratio=0.7,
        window=World.window(0),
    )


async def test_what_would_be_queued_is_queued_when_it_comes(world: World) -> None:
    await world.tell(world.registered())
    alarm = world.degraded()

    said = await verdict(world, alarm)

    assert said["verdict"] == "queued"
    assert "accuracy of rain 1 is 0.61" in said["reason"]
    assert [one.type for one in await world.tell(alarm)] == ["workflow.queued"]


async def test_asking_changes_nothing(world: World) -> None:
    await world.tell(world.registered())
    before = len(world.bus.published)

    await verdict(world, world.degraded())
    again = await verdict(world, world.degraded())

    assert again["verdict"] == "queued"
    assert len(world.bus.published) == before


async def test_a_decline_names_rule_and_time(world: World) -> None:
    await world.tell(world.registered(), world.degraded(0))
    key = world.last("workflow.queued").workflow_key
    await world.tell(CancelWorkflow(project="rain", workflow_key=key))

    said = await verdict(world, world.degraded(1))

    assert (said["verdict"], said["rule"]) == ("declined", "cooldown")
    assert said["retry_at"].startswith((world.now + timedelta(minutes=1)).isoformat()[:19])


async def test_a_message_that_was_decided_is_not_decided_again(world: World) -> None:
    alarm = world.degraded()
    await world.tell(world.registered(), alarm)

    said = await verdict(world, alarm)

    assert said["verdict"] == "decided already"
    assert world.last("workflow.queued").workflow_key in said["reason"]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (drift(Severity.WARNING), "asks for nothing"),
        (drift(Severity.CRITICAL), "waits for a person"),
        (World.measured(0), "asks for nothing"),
        (World.degraded().model_copy(update={"metric": LATENCY_P95}), "asks for nothing"),
        (World.degraded().model_copy(update={"against_version": 2}), "asks for nothing"),
        (StartWorkflow(project="rain"), "queued"),
    ],
)
async def test_each_message_that_may_ask_is_judged(
    world: World, message: Message, expected: str
) -> None:
    await world.tell(world.registered(Consent.APPROVE))

    assert (await verdict(world, message))["verdict"] == expected


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"event": "{"}, "cannot be read"),
        ({}, "cannot be read"),
        ({"event": json.dumps(World.registered().envelope())}, "asks for no workflow"),
        ({"event": json.dumps(World.degraded().envelope()), "project": "snow"}, "not of 'snow'"),
        ({"event": json.dumps(World.degraded().envelope())}, "is not registered"),
    ],
)
async def test_what_cannot_be_judged_is_refused_with_the_reason(
    world: World, question: dict[str, str], said: str
) -> None:
    with pytest.raises(RejectedError, match=said):
        await world.bus.ask("orchestration_bridge", "verdict", question)
