# SPDX-License-Identifier: Apache-2.0
"""MQTT on the real bus: what arrives, what does not, and that nothing strange that comes in does harm."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from mlops.chassis.bus import DeadLetter
from mlops.chassis.bus_nats import NatsBus
from servers.programs import until

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]

TOPIC = "label/recorded/rainfall"


def label(id_: str, request_id: str, **changes: object) -> dict[str, object]:
    now = datetime.now(UTC).isoformat()
    return {
        "specversion": "1.0",
        "id": id_,
        "source": "/devices/test",
        "type": "label.recorded",
        "time": now,
        "project": "rainfall",
        "data": {"model": "rain", "labels": [{"request_id": request_id, "label": 1, "at": now}]},
        **changes,
    }


@contextmanager
def connected(
    platform: Any, user: str | None = "any", token: str | None = None, **more: Any
) -> Iterator[tuple[mqtt.Client, list[str]]]:
    """A client, and what became of its connection."""
    address = urlsplit(platform.endpoints["mqtt"])
    client = mqtt.Client(CallbackAPIVersion.VERSION2, **more)
    if user is not None:
        client.username_pw_set(user, token or platform.secrets["nats_token"])
    answers: list[str] = []
    client.on_connect = lambda _c, _d, _f, reason, _p: answers.append(str(reason))
    client.connect(str(address.hostname), int(address.port or 0))
    client.loop_start()
    until(lambda: answers != [], 10, lambda: "no answer")
    yield client, answers
    client.disconnect()
    client.loop_stop()


def say(client: mqtt.Client, topic: str, payload: object, *, retain: bool = False) -> None:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    sent = client.publish(topic, body, qos=1, retain=retain)
    sent.wait_for_publish(10)
    assert sent.is_published()


async def stored(bus: NatsBus) -> list[dict[str, Any]]:
    return [one.envelope async for one in bus.follow(["label.recorded"], live=False)]


async def buried(bus: NatsBus, known: int) -> list[DeadLetter]:
    async with asyncio.timeout(45):
        while len(found := await bus.list()) <= known:
            await asyncio.sleep(0.05)
    return found[known:]


@pytest.mark.parametrize(
    ("user", "token", "more"),
    [
        (None, None, {}),
        ("any", "a guess", {}),
        ("any", None, {"protocol": mqtt.MQTTv5}),
    ],
)
def test_without_the_token_or_with_another_protocol_nobody_gets_in(
    platform: Any, user: str | None, token: str | None, more: dict[str, Any]
) -> None:
    with connected(platform, user, token, **more) as (_, answers):
        assert answers[0] in {"Not authorized", "Unsupported protocol version"}


async def test_the_same_label_sent_twice_is_stored_twice_and_counts_once(
    platform: Any, bus: NatsBus, predicted: Callable[..., Any]
) -> None:
    before = platform.labelled()
    await predicted("twice", "after")
    twice = label("twice", "twice")

    with connected(platform) as (client, _):
        say(client, TOPIC, twice)
        say(client, TOPIC, twice)
        say(client, TOPIC, label("after", "after"))

    until(lambda: platform.labelled() == before + 2, 20, lambda: str(platform.labelled()))
    assert [one.get("id") for one in await stored(bus)].count("twice") == 2


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\x00\xff not JSON", "not JSON"),
        ([1, 2], "not a CloudEvent of specversion 1.0"),
        (label("bad", "x", type="label.invented"), "expected type 'label.recorded'"),
        (label("bad", "x", project="snowfall"), "'snowfall' disagree"),
        (label("", "x"), "`id`, `source` and `time` are required"),
        (label("bad", "x", time="yesterday"), "time: "),
        (label("bad", "x", data={"model": "rain"}), "labels: Field required"),
        (label("bad", "x" * 70_000), "65536 are allowed"),
    ],
    ids=["bytes", "list", "type", "project", "id", "time", "data", "size"],
)
async def test_what_is_no_message_is_a_dead_letter_with_its_reason_and_harms_nothing(
    platform: Any, bus: NatsBus, predicted: Callable[..., Any], payload: object, reason: str
) -> None:
    known, before = len(await bus.list()), platform.labelled()
    name = f"good-{known}"
    await predicted(name)

    with connected(platform) as (client, _):
        say(client, TOPIC, payload)
        say(client, TOPIC, label(name, name))

    (letter,) = await buried(bus, known)
    assert (letter.service, letter.subject) == ("monitoring", "label.recorded.rainfall")
    assert letter.deliveries == 1
    assert reason in letter.reason
    until(lambda: platform.labelled() == before + 1, 20, lambda: str(platform.labelled()))


async def test_a_dead_letter_is_seen_from_the_command_line(platform: Any, bus: NatsBus) -> None:
    known = len(await bus.list())
    with connected(platform) as (client, _):
        say(client, TOPIC, b"no event")
    (letter,) = await buried(bus, known)

    listed = json.loads(platform.mlops("events", "dlq", "list", "--json"))

    assert letter.reason in [one["reason"] for one in listed]


@pytest.mark.parametrize(
    "topic", ["label/invented/rainfall", "label/recorded", "label/recorded/rainfall/extra"]
)
async def test_a_topic_that_is_no_subject_is_acknowledged_and_forgotten(
    platform: Any, bus: NatsBus, topic: str
) -> None:
    known, told = len(await bus.list()), len(await stored(bus))

    with connected(platform) as (client, _):
        say(client, topic, label("nowhere", "nowhere"))
        say(client, TOPIC, label(f"marker-{topic.replace('/', '-')}", "marker"))

    assert [one.get("id") for one in (await stored(bus))[told:]] == [
        f"marker-{topic.replace('/', '-')}"
    ]
    assert len(await bus.list()) == known


async def test_a_retained_label_is_stored_once_whoever_listens_later(
    platform: Any, bus: NatsBus
) -> None:
    heard: list[bool] = []
    with connected(platform) as (client, _):
        say(client, TOPIC, label("retained", "retained"), retain=True)
    try:
        with connected(platform) as (client, _):
            client.on_message = lambda _c, _d, message: heard.append(message.retain)
            client.subscribe(TOPIC, qos=1)
            until(lambda: heard == [True], 10, lambda: str(heard))
        assert [one.get("id") for one in await stored(bus)].count("retained") == 1
    finally:
        with connected(platform) as (client, _):
            say(client, TOPIC, b"", retain=True)  # MQTT's way to forget what is retained


async def test_one_who_sends_too_much_at_once_is_thrown_out_alone(
    platform: Any, bus: NatsBus
) -> None:
    with connected(platform) as (greedy, answers), connected(platform) as (other, _):
        greedy.publish(TOPIC, b"x" * 1_100_000, qos=0)
        until(lambda: len(answers) > 1, 20, lambda: str(answers))  # it had to come back
        say(other, TOPIC, label("modest", "modest"))

    assert "modest" in [one.get("id") for one in await stored(bus)]
