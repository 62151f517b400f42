# SPDX-License-Identifier: Apache-2.0
"""A model whose only replica has died: its callers wait until it is back, and are let in a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx
from aiohttp import web
from services.gateway.tests.conftest import ROW, House, Replica, hangs_up, says

Replicas = Callable[[int], Awaitable[Replica]]
INFER = "/v2/models/rain/infer"


async def dead(house: House, replica: Replicas) -> Replica:
    """Return the only replica of a model, which takes its next request with it."""
    one = await replica(1)
    one.answers.append(hangs_up)
    one.is_away = True
    await house.route("rainfall", "rain", (one, 1.0))
    return one


def ask(house: House) -> asyncio.Task[httpx.Response]:
    return asyncio.create_task(house.client.post(INFER, json=ROW))


async def looked(one: Replica, times: int) -> None:
    async with asyncio.timeout(30):
        while one.looks < times:
            await asyncio.sleep(0.01)


async def test_a_request_waits_until_its_replica_is_back(house: House, replica: Replicas) -> None:
    one = await dead(house, replica)

    sent = ask(house)
    await looked(one, 2)
    one.is_away = False
    answer = await sent

    assert answer.status_code == 200
    assert len(one.seen) == 2


async def test_what_comes_meanwhile_waits_unsent_and_costs_no_retry(
    house: House, replica: Replicas
) -> None:
    one = await dead(house, replica)
    first = ask(house)
    await looked(one, 1)

    others = [ask(house) for _ in range(20)]
    await looked(one, 3)
    sent_meanwhile = len(one.seen)
    one.is_away = False
    answers = await asyncio.gather(first, *others)

    assert sent_meanwhile == 1
    assert [answer.status_code for answer in answers] == [200] * 21
    assert house.metric("gateway_retries_total", project="rainfall", model="rain") == 1


async def test_those_who_waited_are_let_in_a_few_at_a_time(house: House, replica: Replicas) -> None:
    one = await dead(house, replica)
    inside: list[int] = []
    most = 0

    async def slow(_: web.Request) -> web.StreamResponse:
        nonlocal most
        inside.append(1)
        most = max(most, len(inside))
        await asyncio.sleep(0.01)
        inside.pop()
        return web.json_response({"outputs": []})

    one.answers.extend([slow] * 39)
    sent = [ask(house)]
    await looked(one, 1)
    sent += [ask(house) for _ in range(38)]
    await looked(one, 3)
    one.is_away = False
    answers = await asyncio.gather(*sent)

    assert [answer.status_code for answer in answers] == [200] * 39
    assert 1 < most <= 16


async def test_another_version_stands_in_without_waiting(house: House, replica: Replicas) -> None:
    one, two = await dead(house, replica), await replica(2)
    await house.route("rainfall", "rain", (one, 0.999), (two, 0.001))

    answers = [await house.client.post(INFER, json=ROW) for _ in range(5)]

    assert [answer.status_code for answer in answers] == [200] * 5
    assert len(one.seen) == 1


async def test_a_version_that_is_routed_to_no_more_is_waited_for_no_longer(
    house: House, replica: Replicas
) -> None:
    one, two = await dead(house, replica), await replica(2)
    sent = ask(house)
    await looked(one, 2)

    await house.route("rainfall", "rain", (two, 1.0))
    answer = await sent

    assert answer.status_code == 200
    assert answer.headers["mlops-model-version"] == "2"


async def test_patience_has_an_end_and_says_when_to_come_back(
    house: House, replica: Replicas
) -> None:
    one = await dead(house, replica)
    one.answers.append(says(503))

    answer = await ask(house)

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"


async def test_whether_a_model_is_ready_is_answered_at_once(
    house: House, replica: Replicas
) -> None:
    one = await dead(house, replica)
    sent = ask(house)
    await looked(one, 1)

    ready = await house.client.get("/v2/models/rain/ready")
    one.is_away = False

    assert ready.status_code == 503
    assert (await sent).status_code == 200


async def test_the_second_try_waits_where_the_door_to_all_versions_is_shut(
    house: House, replica: Replicas
) -> None:
    one, two = await dead(house, replica), await replica(2)
    two.answers.append(hangs_up)
    two.is_away = True
    await house.route("rainfall", "rain", (one, 0.999), (two, 0.001))

    sent = ask(house)
    await looked(two, 2)
    two.answers.clear()
    two.is_away = False
    answer = await sent

    assert answer.status_code == 200
    assert answer.headers["mlops-model-version"] == "2"
    assert (len(one.seen), len(two.seen)) == (1, 1)
