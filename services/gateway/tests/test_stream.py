# SPDX-License-Identifier: Apache-2.0
"""Live events over a real HTTP server: filtered, resumed without gap or repeat, ended at stop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from services.gateway.tests.conftest import BEARER, House, bearer, drain

from mlops.chassis.health import HealthServer
from mlops.chassis.tokens import LEEWAY
from mlops.contracts.message import Message
from mlops.contracts.tracking import RunStarted
from mlops.contracts.workspaces import ProjectArchived


@pytest.fixture
async def door(house: House) -> AsyncIterator[str]:
    server = HealthServer("127.0.0.1", 0, {}, house.gateway.app)
    await server.start()
    yield f"http://127.0.0.1:{server.port}"
    await server.stop()


@asynccontextmanager
async def listening(
    url: str, last_id: str = "", caller: Mapping[str, str] = BEARER, **params: str
) -> AsyncIterator[AsyncIterator[str]]:
    headers = {**caller, **({"Last-Event-ID": last_id} if last_id else {})}
    async with (
        httpx.AsyncClient(base_url=url, headers=headers, timeout=5) as client,
        client.stream("GET", "/api/v1/events/stream", params=params) as answer,
    ):
        assert answer.status_code == 200
        yield answer.aiter_lines()


async def next_event(lines: AsyncIterator[str]) -> tuple[str, dict[str, Any]]:
    event_id = ""
    async for line in lines:
        if line.startswith("id: "):
            event_id = line.removeprefix("id: ")
        if line.startswith("data: "):
            return event_id, json.loads(line.removeprefix("data: "))
    raise AssertionError("the stream ended")


def run(run_id: str, project: str = "rainfall") -> Message:
    return RunStarted(project=project, run_id=run_id, experiment_id="1", run_name=run_id)


async def test_only_wanted_events_arrive_in_order(house: House, door: str) -> None:
    async with listening(door, type="run.*", project="rainfall", summary="true") as lines:
        await house.say(run("a"), run("b", "other"), ProjectArchived(project="rainfall"), run("c"))
        first, second = await next_event(lines), await next_event(lines)

    assert first[1]["data"]["run_id"] == "a"
    assert first[1]["summary"] == "run a started"
    assert second[1]["data"]["run_id"] == "c"


async def test_listener_who_was_cut_off_misses_nothing_and_hears_nothing_twice(
    house: House, door: str
) -> None:
    async with listening(door) as lines:
        await house.say(run("a"))
        last_id, _ = await next_event(lines)
    await house.say(run("b"), run("c"))

    async with listening(door, last_id) as lines:
        heard = [(await next_event(lines))[1]["data"]["run_id"] for _ in range(2)]

    assert heard == ["b", "c"]


async def test_new_listener_hears_only_what_comes(house: House, door: str) -> None:
    await house.say(run("old"))

    async with listening(door) as lines:
        await house.say(run("new"))
        _, event = await next_event(lines)

    assert event["data"]["run_id"] == "new"


@pytest.mark.parametrize("place", ["9" * 30 + "-x", "9" * 5000 + "-x", "-x", "soon-x", "1"])
async def test_place_that_never_was_is_no_place(house: House, door: str, place: str) -> None:
    await house.say(run("old"))

    async with listening(door, place) as lines:
        await house.say(run("new"))
        _, event = await next_event(lines)

    assert event["data"]["run_id"] == "new"


async def test_listeners_are_let_go_when_the_service_stops(house: House, door: str) -> None:
    async with listening(door) as lines:
        closing = asyncio.create_task(drain(house.gateway.streams.close_at_stop()))
        await asyncio.sleep(0.01)
        closing.cancel()
        async with asyncio.timeout(30):
            rest = [line async for line in lines]

    assert not any(line.startswith("data: ") for line in rest)


async def test_a_stream_ends_with_its_callers_token(house: House, door: str) -> None:
    # Tokens end on whole seconds: this one lets its caller in for one more second or two.
    lasts = 2 - LEEWAY.total_seconds()

    async with listening(door, caller=bearer("read", lasts=lasts)) as lines:
        async with asyncio.timeout(30):
            rest = [line async for line in lines]
    await house.say(run("late"))

    assert not any(line.startswith("data: ") for line in rest)


async def test_unknown_type_is_refused_before_the_stream_begins(door: str) -> None:
    async with httpx.AsyncClient(base_url=door, headers=BEARER) as client:
        answer = await client.get("/api/v1/events/stream", params={"type": "nothing.*"})

    assert answer.status_code == 422


async def test_the_chassis_answers_health_beside_the_application(door: str) -> None:
    async with httpx.AsyncClient(base_url=door) as client:
        alive = await client.get("/healthz")
        page = await client.get("/")

    assert alive.status_code == 200
    assert page.status_code == 401
