# SPDX-License-Identifier: Apache-2.0
"""What becomes of a copy, and what travels with its follow-ups."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from mlops.chassis import metrics
from mlops.chassis.bus import Delivery
from mlops.chassis.deliver import Copy, Outcome, judge
from mlops.chassis.errors import UnavailableError
from mlops.contracts.message import Message
from mlops.contracts.monitoring import AlertAcknowledged, AlertResolved

PARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


def copy_of(message: Message, attempt: int = 1) -> Copy:
    return Copy(message.subject, message.encode(), attempt, "/services/tracking")


async def answering(_: AlertResolved) -> Sequence[Message]:
    return [AlertAcknowledged(project="rain", alert_id="a-1")]


async def failing(_: AlertResolved) -> Sequence[Message]:
    raise UnavailableError("mlflow")


async def test_delays_grow_and_jitter() -> None:
    delivery = Delivery(delays=(timedelta(seconds=1), timedelta(seconds=10)))
    message = AlertResolved(project="rain", alert_id="a-1")

    first = await judge(copy_of(message, 1), AlertResolved, failing, delivery)
    second = await judge(copy_of(message, 2), AlertResolved, failing, delivery)
    third = await judge(copy_of(message, 3), AlertResolved, failing, delivery)

    assert first.outcome is second.outcome is Outcome.RETRY
    assert 0.8 <= first.delay.total_seconds() <= 1.2
    assert 8 <= second.delay.total_seconds() <= 12
    assert third.outcome is Outcome.DEAD
    assert third.reason == "given up after 3 tries: mlflow"


async def test_a_redelivery_gives_the_same_follow_up_ids() -> None:
    message = AlertResolved(project="rain", alert_id="a-1")

    first = await judge(copy_of(message), AlertResolved, answering, Delivery())
    again = await judge(copy_of(message, 2), AlertResolved, answering, Delivery())

    assert [m.id for m in first.follow_ups] == [m.id for m in again.follow_ups]


async def test_a_trace_goes_on_without_a_collector() -> None:
    message = AlertResolved(project="rain", alert_id="a-1", traceparent=PARENT)

    verdict = await judge(copy_of(message), AlertResolved, answering, Delivery())

    assert (verdict.follow_ups[0].traceparent or "").split("-")[1] == "a" * 32


async def test_a_trace_goes_on_through_the_handlers_span() -> None:
    trace.set_tracer_provider(TracerProvider())
    message = AlertResolved(project="rain", alert_id="a-1", traceparent=PARENT)

    verdict = await judge(copy_of(message), AlertResolved, answering, Delivery())

    _, trace_id, span_id, _ = (verdict.follow_ups[0].traceparent or "").split("-")
    assert trace_id == "a" * 32
    assert span_id != "b" * 16


async def test_outcomes_are_counted() -> None:
    message = AlertResolved(project="rain", alert_id="a-1")

    await judge(copy_of(message), AlertResolved, answering, Delivery())

    line = (
        b'chassis_messages_handled_total{outcome="done",service="tracking",type="alert.resolved"}'
    )
    assert line in metrics.exposition()
