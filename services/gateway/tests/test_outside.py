# SPDX-License-Identifier: Apache-2.0
"""Events of other tools, in the three modes of the CloudEvents HTTP binding."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from services.gateway.tests.conftest import House

from mlops.chassis.errors import RejectedError
from mlops.contracts.workspaces import ProjectRegistered

BATCH = "application/cloudevents-batch+json"
DATA = {"suite": "mnist", "check": "accuracy", "outcome": "passed"}


def event(name: str = "check-1", **changes: Any) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": name,
        "source": "/tools/checker",
        "type": "validation.finished",
        "time": "2026-05-01T12:00:00Z",
        "project": "rainfall",
        "data": DATA,
        **changes,
    }


@pytest.fixture(autouse=True)
async def registered(house: House) -> None:
    settings = {"name": "rainfall"}
    told = {"project": "rainfall", "settings": settings, "path": "/p", "revision": 1}
    await house.say(ProjectRegistered.model_validate(told))
    house.bus.published.clear()


async def send(house: House, body: object, kind: str, **headers: str) -> httpx.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {"content-type": kind, **{f"ce-{name}": value for name, value in headers.items()}}
    return await house.client.post("/api/v1/events", content=content, headers=named)


BINARY = {name: str(value) for name, value in event().items() if name != "data"}


async def test_binary_event_is_stored_as_the_structured_one_is(house: House) -> None:
    structured = await send(house, event("a"), "application/cloudevents+json; charset=utf-8")
    binary = await send(house, DATA, "application/json", **{**BINARY, "id": "b"})

    one, other = house.bus.published
    assert (structured.status_code, binary.status_code) == (202, 202)
    assert binary.json() == {"id": "b"}
    assert one.model_copy(update={"id": "b"}) == other


async def test_headers_may_be_percent_encoded_or_quoted(house: House) -> None:
    headers = {**BINARY, "source": "/tools/regen%20pr%C3%BCfer", "id": '"a \\"b\\""'}

    await send(house, DATA, "application/json", **headers)

    (stored,) = house.bus.published
    assert (stored.source, stored.id) == ("/tools/regen prüfer", 'a "b"')


async def test_attributes_of_the_story_come_along(house: House) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    headers = {**BINARY, "correlationid": "s-1", "causationid": "c-1", "traceparent": trace}

    await send(house, DATA, "application/json", **headers)

    (stored,) = house.bus.published
    assert (stored.correlation_id, stored.causation_id, stored.traceparent) == ("s-1", "c-1", trace)


async def test_a_batch_is_stored_in_its_order(house: House) -> None:
    answer = await send(house, [event("a"), event("b"), event("c")], BATCH)

    assert (answer.status_code, answer.json()) == (202, {"ids": ["a", "b", "c"]})
    assert [one.id for one in house.bus.published] == ["a", "b", "c"]


async def test_an_empty_batch_is_fine(house: House) -> None:
    assert (await send(house, [], BATCH)).json() == {"ids": []}


async def test_of_a_batch_with_a_wrong_event_nothing_is_stored(house: House) -> None:
    answer = await send(house, [event("a"), event("b", type="model.promoted")], BATCH)

    assert answer.status_code == 422
    assert "event 1 of the batch" in answer.json()["error"]["which"]
    assert house.bus.published == []


@pytest.mark.parametrize(
    ("body", "kind", "headers", "status", "word"),
    [
        (event(), BATCH, {}, 400, "array"),
        ([event()] * 1001, BATCH, {}, 413, "1000"),
        (["x"], BATCH, {}, 400, "event 0"),
        ([event("a"), event("b"), event("a")], BATCH, {}, 422, "event 2 of the batch: a"),
        (DATA, "application/json", {**BINARY, "source": "/tools/%FF"}, 400, "ce-source"),
        (b"x", BATCH, {}, 400, "JSON"),
        (event(), "application/cloudevents+xml", {}, 415, "cloudevents+json"),
        (b"x", "application/cloudevents-batch+avro", {}, 415, "cloudevents+json"),
        (DATA, "text/csv", BINARY, 415, "application/json"),
        (b"x", "application/json", BINARY, 400, "JSON"),
        ([1], "application/json", BINARY, 422, "object"),
        (DATA, "application/json", {**BINARY, "specversion": "0.3"}, 422, "1.0"),
        (DATA, "application/json", {**BINARY, "project": "../x"}, 422, "project"),
        (DATA, "application/json", {**BINARY, "id": ""}, 422, "id"),
        ({**DATA, "x": 1}, "application/json", BINARY, 422, "x"),
        ({**DATA, "project": "a"}, "application/json", BINARY, 422, "beside"),
        (event(source="/Services/tracking"), "application/json", {}, 422, "own"),
        (event(source="//services"), "application/json", {}, 422, "own"),
        (event(source="/unknown"), "application/json", {}, 422, "own"),
    ],
)
async def test_what_does_not_fit_is_refused(
    house: House, body: object, kind: str, headers: dict[str, str], status: int, word: str
) -> None:
    answer = await send(house, body, kind, **headers)

    assert answer.status_code == status
    assert word in answer.text
    assert set(answer.json()["error"]) <= {"what", "which", "fix", "problems"}
    assert house.bus.published == []


async def test_an_event_from_the_future_is_refused(house: House) -> None:
    now = datetime.now(UTC)
    soon, later = (now + timedelta(minutes=m) for m in (4, 6))

    taken = await send(house, event("a", time=soon.isoformat()), "application/json")
    refused = await send(house, event("b", time=later.isoformat()), "application/json")

    assert (taken.status_code, refused.status_code) == (202, 422)
    assert "clock" in refused.json()["error"]["fix"]


async def test_a_project_that_nobody_registered_is_named(house: House) -> None:
    async def refuses(_: Any) -> dict[str, Any]:

        raise RejectedError("no such project")

    house.bus.answer("workspaces", "get", refuses)

    answer = await send(house, [event("a", project="rainfal")], BATCH)

    assert answer.status_code == 404
    assert "event 0 of the batch: rainfal" in answer.json()["error"]["which"]


async def test_letters_that_are_not_percent_encoded_are_refused_not_guessed(house: House) -> None:
    headers = [
        (b"content-type", b"application/json"),
        *((f"ce-{name}".encode(), value.encode()) for name, value in BINARY.items()),
        (b"ce-subject", "prüfer".encode()),
    ]

    answer = await house.client.post("/api/v1/events", content=json.dumps(DATA), headers=headers)

    assert answer.status_code == 400
    assert "ce-subject" in answer.json()["error"]["which"]
    assert house.bus.published == []


async def test_the_project_of_a_batch_is_asked_for_once(house: House) -> None:
    asked: list[Any] = []

    async def knows(question: Any) -> dict[str, Any]:
        asked.append(question)
        return {}

    house.bus.answer("workspaces", "get", knows)

    await send(house, [event(str(i), project="new") for i in range(50)], BATCH)

    assert len(asked) == 1
    assert len(house.bus.published) == 50
