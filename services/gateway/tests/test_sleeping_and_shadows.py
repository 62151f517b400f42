# SPDX-License-Identifier: Apache-2.0
"""Sleeping models are woken while requests wait; shadows get copies that no caller feels."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httpx
import pytest
from aiohttp import web
from services.gateway.tests.conftest import ROW, House, Replica, says

from mlops.chassis.errors import RejectedError

Replicas = Callable[[int], Awaitable[Replica]]
INFER = "/v2/models/rain/infer"
SHADOWED = {"project": "rainfall", "model": "rain"}


def numbers(*values: float, version: int = 1) -> str:
    """Return an answer of the protocol."""
    data = ", ".join(map(str, values))
    outputs = f'[{{"name": "y", "shape": [{len(values)}], "datatype": "FP64", "data": [{data}]}}]'
    return f'{{"model_version": "{version}", "outputs": {outputs}}}'


def tells(text: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, content_type="application/json")

    return answer


@pytest.fixture
def wakes(house: House) -> list[Mapping[str, Any]]:
    """Serving that only notes who is to be woken."""
    asked: list[Mapping[str, Any]] = []

    async def wake(question: Mapping[str, Any]) -> dict[str, Any]:
        asked.append(question)
        return {}

    house.bus.answer("serving", "wake", wake)
    return asked


async def held(house: House, count: int) -> list[asyncio.Task[httpx.Response]]:
    """Send requests, and return them once they are held."""
    sent = [asyncio.create_task(house.client.post(INFER, json=ROW)) for _ in range(count)]
    async with asyncio.timeout(30):
        while await waiting(house) != count:
            await asyncio.sleep(0)
    return sent


async def waiting(house: House) -> int:
    told = (await house.bus.ask("gateway", "traffic", {}))["waiting"]
    return sum(int(one["requests"]) for one in told)


async def compared(house: House, requests: int) -> dict[str, Any]:
    """Return the comparison once so many copies are judged."""
    async with asyncio.timeout(30):
        while True:
            found = (await house.bus.ask("gateway", "comparison", SHADOWED))["comparisons"]
            if found and found[0]["requests"] + found[0]["dropped"] >= requests:
                return dict(found[0])
            await asyncio.sleep(0.01)


async def test_requests_wait_for_a_sleeping_model_and_wake_it_once(
    house: House, replica: Replicas, wakes: list[Mapping[str, Any]]
) -> None:
    one = await replica(1)
    await house.route("rainfall", "rain", asleep=True)

    sent = await held(house, 5)
    told = (await house.bus.ask("gateway", "traffic", {}))["waiting"]
    await house.route("rainfall", "rain", (one, 1.0))
    answers = await asyncio.gather(*sent)

    assert told == [{"project": "rainfall", "model": "rain", "requests": 5}]
    assert [answer.status_code for answer in answers] == [200] * 5
    assert wakes == [{"project": "rainfall", "model": "rain"}]
    assert (await house.bus.ask("gateway", "traffic", {}))["waiting"] == []


@pytest.mark.usefixtures("wakes")
async def test_requests_wait_for_the_address_of_a_model_that_woke(
    house: House, replica: Replicas
) -> None:
    one = await replica(1)
    await house.route("rainfall", "rain", asleep=True)

    sent = await held(house, 2)
    await house.route("rainfall", "rain")
    still = await waiting(house)
    await house.route("rainfall", "rain", (one, 1.0))
    answers = await asyncio.gather(*sent)

    assert still == 2
    assert [answer.status_code for answer in answers] == [200, 200]


@pytest.mark.usefixtures("wakes")
async def test_every_model_that_wakes_may_meet_a_proxy_that_does_not_know_it_yet(
    house: House, replica: Replicas
) -> None:
    one, answers = await replica(1), []
    for _ in range(20):
        await house.route("rainfall", "rain", asleep=True)
        [sent] = await held(house, 1)
        one.answers += [says(503, "<html>No server is available</html>")] * 2
        await house.route("rainfall", "rain", (one, 1.0))
        answers.append((await sent).status_code)

    assert answers == [200] * 20


@pytest.mark.usefixtures("wakes")
async def test_a_model_that_wakes_and_never_answers_is_given_up(
    house: House, replica: Replicas
) -> None:
    one = await replica(1)
    await house.route("rainfall", "rain", asleep=True)
    [sent] = await held(house, 1)
    one.answers += [says(503, "<html>No server is available</html>")] * 20
    await house.route("rainfall", "rain", (one, 1.0))

    assert (await sent).status_code == 503
    assert len(one.answers) == 16


@pytest.mark.usefixtures("wakes")
async def test_too_many_waiting_are_turned_away(house: House, replica: Replicas) -> None:
    one = await replica(1)
    await house.route("rainfall", "rain", asleep=True)
    sent = await held(house, 5)

    answer = await house.client.post(INFER, json=ROW)
    await house.route("rainfall", "rain", (one, 1.0))
    answers = await asyncio.gather(*sent)

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    assert [one.status_code for one in answers] == [200] * 5


@pytest.mark.usefixtures("wakes")
async def test_a_model_that_does_not_wake_in_time_says_when_to_come_back(house: House) -> None:
    await house.route("rainfall", "rain", asleep=True)

    answer = await house.client.post(INFER, json=ROW)

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    assert "asleep" in answer.json()["error"]
    assert (await house.bus.ask("gateway", "traffic", {}))["waiting"] == []


async def test_what_serving_says_against_waking_is_told(house: House) -> None:
    async def refuses(_: Mapping[str, Any]) -> dict[str, Any]:
        raise RejectedError("rain needs 3.1 GB, 0.4 GB are free")

    house.bus.answer("serving", "wake", refuses)
    await house.route("rainfall", "rain", asleep=True)

    answer = await house.client.post(INFER, json=ROW)

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "30"
    assert "rain needs 3.1 GB, 0.4 GB are free" in answer.json()["error"]


async def test_a_wish_to_wake_that_nobody_hears_is_said_again(
    house: House, replica: Replicas
) -> None:
    one = await replica(1)
    await house.route("rainfall", "rain", asleep=True)
    asked = []

    async def wake(_: Mapping[str, Any]) -> dict[str, Any]:
        asked.append(1)
        if len(asked) == 1:
            raise TimeoutError
        await house.route("rainfall", "rain", (one, 1.0))
        return {}

    house.bus.answer("serving", "wake", wake)

    answer = await house.client.post(INFER, json=ROW)

    assert answer.status_code == 200


async def test_a_sleeping_model_says_that_it_is_ready_and_stays_asleep(
    house: House, wakes: list[Mapping[str, Any]]
) -> None:
    await house.route("rainfall", "rain", asleep=True)

    ready = await house.client.get("/v2/models/rain/ready")
    index = await house.client.post("/v2/repository/index", json={})

    assert ready.json() == {"name": "rain", "ready": True}
    assert index.json()[0]["reason"].startswith("asleep")
    assert wakes == []


async def test_shadow_gets_a_copy_and_its_agreement_is_counted(
    house: House, replica: Replicas
) -> None:
    live, shadow = await replica(1), await replica(2)
    live.answers += [tells(numbers(1.0, 2.0)), tells(numbers(1.0, 2.0))]
    shadow.answers += [tells(numbers(1.0, 2.0, version=2)), tells(numbers(1.0, 2.5, version=2))]
    told = {"version": 2, "url": shadow.url, "share": 1.0}
    await house.route("rainfall", "rain", (live, 1.0), shadow=told)

    answers = [await house.client.post(INFER, json=ROW) for _ in range(2)]
    found = await compared(house, 2)

    assert {answer.headers["mlops-model-version"] for answer in answers} == {"1"}
    assert (found["version"], found["against_version"], found["requests"]) == (2, 1, 2)
    assert found["agreement_ratio"] == 0.5
    assert found["mean_difference"] == pytest.approx(0.125)
    assert found["latency_p95_ms"] > 0
    assert found["against_latency_p95_ms"] > 0
    assert "mlops-shadow" in shadow.seen[0][1]
    assert "mlops-shadow" not in live.seen[0][1]


async def test_another_rollout_of_the_same_shadow_counts_from_zero(
    house: House, replica: Replicas
) -> None:
    live, shadow = await replica(1), await replica(2)
    told = {"version": 2, "url": shadow.url, "share": 1.0}
    await house.route("rainfall", "rain", (live, 1.0), shadow=told)
    for _ in range(3):
        await house.client.post(INFER, json=ROW)
    await compared(house, 3)

    await house.route("rainfall", "rain", (live, 1.0), shadow=None)
    over = (await house.bus.ask("gateway", "comparison", SHADOWED))["comparisons"]
    await house.route("rainfall", "rain", (live, 1.0), shadow=told)
    await house.client.post(INFER, json=ROW)
    again = await compared(house, 1)

    assert over[0]["requests"] == 3
    assert again["requests"] == 1


async def test_shadow_that_fails_is_counted_and_callers_feel_nothing(
    house: House, replica: Replicas
) -> None:
    live, shadow = await replica(1), await replica(2)
    live.answers += [tells(numbers(1.0)), tells(numbers(1.0))]
    shadow.answers += [says(500), tells("no JSON")]
    told = {"version": 2, "url": shadow.url, "share": 1.0}
    await house.route("rainfall", "rain", (live, 1.0), shadow=told)

    answers = [await house.client.post(INFER, json=ROW) for _ in range(2)]
    found = await compared(house, 2)

    assert [answer.status_code for answer in answers] == [200, 200]
    assert (found["failed"], found["agreement_ratio"]) == (2, None)
    traffic = await house.bus.ask("gateway", "traffic", {})
    assert [one["version"] for one in traffic["versions"]] == [1]


async def test_shadow_that_hangs_holds_up_no_caller_and_copies_are_dropped(
    house: House, replica: Replicas
) -> None:
    live, shadow = await replica(1), await replica(2)
    told = {"version": 2, "url": shadow.url, "share": 1.0}
    free = asyncio.Event()

    async def hangs(_: web.Request) -> web.StreamResponse:
        await free.wait()
        return web.Response()

    shadow.answers += [hangs] * 32
    await house.route("rainfall", "rain", (live, 1.0), shadow=told)

    answers = [await house.client.post(INFER, json=ROW) for _ in range(40)]
    found = await compared(house, 8)
    free.set()

    assert {answer.status_code for answer in answers} == {200}
    assert (found["requests"], found["dropped"]) == (0, 8)


async def test_share_of_the_requests_is_copied(house: House, replica: Replicas) -> None:
    live, shadow = await replica(1), await replica(2)
    told = {"version": 2, "url": shadow.url, "share": 0.2}
    await house.route("rainfall", "rain", (live, 1.0), shadow=told)

    for _ in range(100):
        await house.client.post(INFER, json=ROW)

    assert 2 < len(shadow.seen) < 50


async def test_refused_requests_are_not_copied(house: House, replica: Replicas) -> None:
    live, shadow = await replica(1), await replica(2)
    live.answers.append(says(400))
    told = {"version": 2, "url": shadow.url, "share": 1.0}
    await house.route("rainfall", "rain", (live, 1.0), shadow=told)

    await house.client.post(INFER, json=ROW)
    await house.client.get("/v2/models/rain")

    assert shadow.seen == []
