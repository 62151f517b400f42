# SPDX-License-Identifier: Apache-2.0
"""What a running workflow is asked and how often it was started, as the gateway shows and tells it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from services.gateway.tests.conftest import House

from mlops.chassis.clock import utc_now
from mlops.contracts.message import Message
from mlops.contracts.orchestration_bridge import (
    Ask,
    CheckpointRequested,
    WorkflowCompleted,
    WorkflowKind,
    WorkflowRescheduled,
    WorkflowStarted,
)

ABOUT: dict[str, Any] = {
    "project": "rain",
    "workflow_key": "w-1",
    "kind": WorkflowKind.TRAIN,
    "correlation_id": "s",
}
RUN = {"dag_id": "rain__train", "dag_run_id": "w-1"}


def started(attempt: int = 1, node: str = "n1") -> Message:
    return WorkflowStarted(**ABOUT, **RUN, node=node, waited_s=0, attempt=attempt)


def asked(ask: Ask = Ask.LEAVE, attempt: int = 1, **more: Any) -> Message:
    return CheckpointRequested(
        **ABOUT, ask=ask, reason="n1 is hot", node="n1", attempt=attempt, request=attempt, **more
    )


def parted(attempt: int = 1, *, saved: bool | None = True) -> Message:
    return WorkflowRescheduled(
        **ABOUT,
        reason="n2 is cooler",
        from_node="n1",
        to_node="n2",
        attempt=attempt,
        from_checkpoint=saved,
    )


async def shown(house: House, *messages: Message) -> dict[str, Any]:
    await house.say(*messages)
    answer = await house.client.get("/api/v1/workflows/w-1")
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_what_is_asked_is_shown_with_its_age(house: House) -> None:
    found = await shown(house, started(), asked(time=utc_now() - timedelta(seconds=40)))

    told = found["asked"]
    assert (found["attempt"], found["node"]) == (1, "n1")
    assert (told["ask"], told["request"], told["attempt"]) == ("leave", 1, 1)
    assert told["reason"] == "n1 is hot"
    assert 39 < told["age_s"] < 60


async def test_a_parted_attempt_is_asked_nothing_and_the_next_one_is_the_newest(
    house: House,
) -> None:
    found = await shown(house, started(), asked(), parted())

    assert (found["state"], found["attempt"], found["asked"]) == ("queued", 2, None)
    again = await shown(house, started(2, "n2"))
    assert (again["state"], again["attempt"], again["node"]) == ("started", 2, "n2")


async def test_a_hold_of_what_has_not_started_makes_no_new_attempt(house: House) -> None:
    found = await shown(house, parted(saved=None), started())

    assert found["attempt"] == 1


async def test_a_request_to_an_attempt_that_has_parted_changes_nothing(house: House) -> None:
    found = await shown(house, started(), parted(), started(2), asked(Ask.STOP, attempt=1))

    assert found["asked"] is None


async def test_what_has_ended_is_asked_nothing(house: House) -> None:
    ended = WorkflowCompleted(**ABOUT, **RUN, duration_s=1)

    assert (await shown(house, started(), asked(), ended))["asked"] is None
    assert (await shown(house, asked(Ask.SAVE, 2)))["asked"] is None


async def test_the_story_tells_the_move(house: House) -> None:
    await house.say(started(), asked(), parted(), started(2, "n2"))
    await house.say(parted(2, saved=False))

    events = (await house.client.get("/api/v1/events", params={"summary": "true"})).json()

    assert [one["summary"] for one in events] == [
        "train w-1 started on n1, waited 0 s",
        "train w-1 asked to leave: n1 is hot",
        "train w-1 moves from n1 to n2, with what it saved: n2 is cooler",
        "train w-1 started again (2) on n2, waited 0 s",
        "train w-1 moves from n1 to n2, to begin anew: n2 is cooler",
    ]


async def test_the_page_tells_what_is_asked(house: House) -> None:
    await house.say(started(), asked())

    assert "asked to leave: n1 is hot" in (await house.client.get("/")).text
