# SPDX-License-Identifier: Apache-2.0
"""The promises of mlops.chassis.bus, kept by the memory bus and by NATS alike."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest

from mlops.chassis.bus import Delivery, Recorded
from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.contracts.commands import CommandRefused
from mlops.contracts.message import Message
from mlops.contracts.monitoring import AlertAcknowledged, AlertResolved
from mlops.contracts.orchestration_bridge import CancelWorkflow, WorkflowCancelled
from servers.buses import Harness

QUICK = Delivery(delays=(timedelta(milliseconds=50),) * 2, ack_wait=timedelta(seconds=2))


def alert(project: str = "rain", **changes: Any) -> AlertResolved:
    return AlertResolved(project=project, alert_id="a-1", reason="over", **changes)


class Ear:
    """A handler that remembers, and fails as it is told."""

    def __init__(self, *failures: Exception, returns: Sequence[Message] = ()) -> None:
        self.heard: list[Message] = []
        self.tries = 0
        self._failures = list(failures)
        self._returns = returns

    async def __call__(self, message: Message) -> Sequence[Message]:
        self.tries += 1
        if self._failures:
            raise self._failures.pop(0)
        self.heard.append(message)
        return self._returns


async def recorded(harness: Harness, *types: str) -> list[Recorded]:
    return [item async for item in harness.bus.follow(types, live=False)]


async def test_a_message_survives_the_wire(harness: Harness) -> None:
    ear = Ear()
    harness.bus.on("tracking", AlertResolved, ear)
    await harness.start()
    sent = alert(source="/services/test", traceparent="00-" + "1" * 32 + "-" + "2" * 16 + "-01")

    await harness.bus.publish(sent)

    await harness.settle(lambda: bool(ear.heard))
    assert ear.heard == [sent]


async def test_each_service_gets_its_copy_and_replicas_share_one(harness: Harness) -> None:
    tracking, twin, serving = Ear(), Ear(), Ear()
    harness.bus.on("tracking", AlertResolved, tracking)
    harness.bus.on("tracking", AlertResolved, twin)
    harness.bus.on("serving", AlertResolved, serving)
    await harness.start()

    await harness.bus.publish(alert())

    await harness.settle(lambda: bool(serving.heard) and bool(tracking.heard or twin.heard))
    await asyncio.sleep(0.2)
    assert len(tracking.heard) + len(twin.heard) == 1
    assert len(serving.heard) == 1


async def test_the_same_id_is_stored_once(harness: Harness) -> None:
    ear = Ear()
    harness.bus.on("tracking", AlertResolved, ear)
    await harness.start()
    once = alert(id="one", source="/t")

    await harness.bus.publish(once)
    await harness.bus.publish(once)
    await harness.bus.publish(alert(id="two", source="/t"))

    await harness.settle(lambda: len(ear.heard) >= 2)
    assert sorted(message.id for message in ear.heard) == ["one", "two"]


async def test_a_failure_is_tried_again(harness: Harness) -> None:
    ear = Ear(UnavailableError("store is away"), ValueError("a bug"))
    harness.bus.on("tracking", AlertResolved, ear, QUICK)
    await harness.start()

    await harness.bus.publish(alert())

    await harness.settle(lambda: bool(ear.heard))
    assert ear.tries == 3
    assert await harness.bus.list() == []


async def test_a_rejection_is_dead_at_once(harness: Harness) -> None:
    ear = Ear(RejectedError("no such alert"), UnavailableError("must not be reached"))
    other = Ear()
    harness.bus.on("tracking", AlertResolved, ear, QUICK)
    harness.bus.on("tracking", AlertAcknowledged, other)
    await harness.start()

    await harness.bus.publish(alert())
    await harness.bus.publish(AlertAcknowledged(project="rain", alert_id="a-1"))

    await harness.settle(lambda: ear.tries > 0 and bool(other.heard))
    await asyncio.sleep(0.2)
    letters = await harness.bus.list()
    assert ear.tries == 1
    assert [(letter.subject, letter.service, letter.deliveries) for letter in letters] == [
        ("alert.resolved.rain", "tracking", 1)
    ]
    assert "no such alert" in letters[0].reason


async def test_poison_is_given_up_after_max_deliver(harness: Harness) -> None:
    ear = Ear(*[ValueError("always")] * 10)
    harness.bus.on("tracking", AlertResolved, ear, QUICK)
    await harness.start()

    await harness.bus.publish(alert())

    await harness.settle(lambda: ear.tries == QUICK.max_deliver)
    await asyncio.sleep(0.3)
    letters = await harness.bus.list()
    assert ear.tries == 3
    assert len(letters) == 1
    assert "given up after 3 tries: ValueError: always" in letters[0].reason


async def test_bytes_that_cannot_be_read_are_dead_at_once(harness: Harness) -> None:
    ear = Ear()
    harness.bus.on("tracking", AlertResolved, ear, QUICK)
    await harness.start()

    await harness.bus.publish_bytes("alert.resolved.rain", b"not json", "stranger-1")
    await harness.bus.publish(alert())

    await harness.settle(lambda: bool(ear.heard))
    await asyncio.sleep(0.2)
    letters = await harness.bus.list()
    assert [letter.payload for letter in letters] == [b"not json"]
    assert letters[0].deliveries == 1
    assert ear.tries == 1


async def test_a_message_whose_project_and_subject_disagree_is_refused(harness: Harness) -> None:
    ear = Ear()
    harness.bus.on("tracking", AlertResolved, ear, QUICK)
    await harness.start()

    await harness.bus.publish_bytes("alert.resolved.rain", alert("other").encode(), "stranger-2")
    await harness.bus.publish(alert())

    await harness.settle(lambda: bool(ear.heard))
    await asyncio.sleep(0.2)
    assert [message.scope for message in ear.heard] == ["rain"]
    assert "disagree" in (await harness.bus.list())[0].reason


async def test_follow_ups_carry_cause_and_story(harness: Harness) -> None:
    follow_up = AlertAcknowledged(project="rain", alert_id="a-1")
    second = Ear()
    harness.bus.on("tracking", AlertResolved, Ear(returns=[follow_up, follow_up]))
    harness.bus.on("serving", AlertAcknowledged, second)
    await harness.start()
    cause = alert(correlation_id="story")

    await harness.bus.publish(cause)

    await harness.settle(lambda: len(second.heard) == 2)
    assert {message.correlation_id for message in second.heard} == {"story"}
    assert {message.causation_id for message in second.heard} == {cause.id}
    assert {message.source for message in second.heard} == {"/services/tracking"}
    assert {message.id for message in second.heard} == {
        follow_up.caused_by(cause, 0).id,
        follow_up.caused_by(cause, 1).id,
    }


async def test_another_version_is_another_queue(harness: Harness) -> None:
    ear = Ear()
    harness.bus.on("tracking", AlertResolved, ear)
    await harness.start()

    body = alert(id="v2").encode()
    await harness.bus.publish_bytes("alert.acknowledged.rain", body, "v2")
    await harness.bus.publish(alert(id="v1", source="/t"))

    await harness.settle(lambda: bool(ear.heard))
    await asyncio.sleep(0.2)
    assert [message.id for message in ear.heard] == ["v1"]
    assert await harness.bus.list() == []


async def test_every_project_arrives(harness: Harness) -> None:
    ear = Ear()
    harness.bus.on("tracking", AlertResolved, ear)
    await harness.start()

    await harness.bus.publish(alert("rain"))
    await harness.bus.publish(alert("snow"))

    await harness.settle(lambda: len(ear.heard) == 2)
    assert {message.scope for message in ear.heard} == {"rain", "snow"}


async def test_a_rejected_command_is_answered(harness: Harness) -> None:
    answer = Ear()
    harness.bus.on("orchestration_bridge", CancelWorkflow, Ear(RejectedError("no workflow w-9")))
    harness.bus.on("cli", CommandRefused, answer)
    await harness.start()
    command = CancelWorkflow(project="rain", workflow_key="w-9")

    await harness.bus.publish(command)

    await harness.settle(lambda: bool(answer.heard))
    refused = answer.heard[0]
    assert isinstance(refused, CommandRefused)
    assert (refused.command_id, refused.reason) == (command.id, "no workflow w-9")
    assert refused.causation_id == command.id


async def test_a_command_that_is_given_up_is_answered_too(harness: Harness) -> None:
    answer = Ear()
    away = UnavailableError("Airflow is away")
    harness.bus.on("orchestration_bridge", CancelWorkflow, Ear(away, away, away), QUICK)
    harness.bus.on("cli", CommandRefused, answer)
    await harness.start()
    command = CancelWorkflow(project="rain", workflow_key="w-9")

    await harness.bus.publish(command)

    await harness.settle(lambda: bool(answer.heard))
    (refused,) = answer.heard
    assert isinstance(refused, CommandRefused)
    assert refused.command_id == command.id
    assert refused.reason == "given up after 3 tries: Airflow is away"


async def test_a_dead_letter_comes_back_to_its_service_only(harness: Harness) -> None:
    ear, other = Ear(RejectedError("not yet")), Ear()
    harness.bus.on("tracking", AlertResolved, ear, QUICK)
    harness.bus.on("serving", AlertResolved, other)
    await harness.start()
    await harness.bus.publish(alert(id="again", source="/t"))
    await harness.settle(lambda: ear.tries == 1 and len(other.heard) == 1)
    await asyncio.sleep(0.2)

    await harness.bus.replay((await harness.bus.list())[0].sequence)

    await harness.settle(lambda: bool(ear.heard))
    assert [message.id for message in ear.heard] == ["again"]
    assert len(other.heard) == 1
    assert await harness.bus.list() == []


async def test_the_mark_of_dead_letters_changes_when_one_comes_or_goes(harness: Harness) -> None:
    ear = Ear(*[RejectedError("no such alert")] * 2)
    harness.bus.on("tracking", AlertResolved, ear, QUICK)
    await harness.start()
    marks = [await harness.bus.mark()]
    for name in ("one", "two"):
        tries = ear.tries
        await harness.bus.publish(alert(id=name))
        await harness.settle(lambda: ear.tries > tries)  # noqa: B023 - it is over before the next one
        await asyncio.sleep(0.2)
        marks.append(await harness.bus.mark())

    same = await harness.bus.mark()
    for letter in await harness.bus.list():
        await harness.bus.discard(letter.sequence)
        marks.append(await harness.bus.mark())

    assert same == marks[2]
    assert len(set(marks[:4])) == 4
    assert marks[4] not in marks[1:4]


async def test_questions_are_answered(harness: Harness) -> None:
    async def answer(question: Any) -> dict[str, Any]:
        if question.get("bad"):
            raise RejectedError("cannot say")
        return {"twice": question["n"] * 2}

    harness.bus.answer("tracking", "double", answer)
    await harness.start()

    assert await harness.bus.ask("tracking", "double", {"n": 4}) == {"twice": 8}
    with pytest.raises(RejectedError, match="cannot say"):
        await harness.bus.ask("tracking", "double", {"bad": True})
    with pytest.raises(UnavailableError, match="nobody answers"):
        await harness.bus.ask("nobody", "double", {})


async def test_history_is_read_in_order_and_filtered(harness: Harness) -> None:
    await harness.start()
    await harness.bus.publish(alert("rain", id="1", source="/t"))
    await harness.bus.publish(CancelWorkflow(project="rain", workflow_key="w", id="2"))
    await harness.bus.publish(
        WorkflowCancelled(project="snow", workflow_key="w", kind="train", reason="", id="3")
    )

    every = await recorded(harness)
    cancelled = await recorded(harness, "workflow.cancelled")
    of_rain = [item async for item in harness.bus.follow(scope="rain", live=False)]

    assert [item.envelope["id"] for item in every] == ["1", "2", "3"]
    assert [item.envelope["id"] for item in cancelled] == ["3"]
    assert [item.envelope["id"] for item in of_rain] == ["1", "2"]


async def test_history_goes_on_live(harness: Harness) -> None:
    await harness.start()
    await harness.bus.publish(alert(id="before", source="/t"))
    seen: list[str] = []

    async def read() -> None:
        async for item in harness.bus.follow(["alert.resolved"]):
            seen.append(item.envelope["id"])
            if len(seen) == 2:
                return

    reading = asyncio.create_task(read())
    await asyncio.sleep(0.1)
    await harness.bus.publish(alert(id="after", source="/t"))

    await asyncio.wait_for(reading, 10)
    assert seen == ["before", "after"]
