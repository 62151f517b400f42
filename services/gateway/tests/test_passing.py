# SPDX-License-Identifier: Apache-2.0
"""What passes through the one door: which paths, how much at once, how large, how slow, and what replicas say of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web
from services.gateway.tests.conftest import ROW, House, Replica, bearer, says

Replicas = Callable[[int], Awaitable[Replica]]
INFER = "/v2/models/rain/infer"
CHAT = "/models/rainfall/rain/v1/chat/completions"


def in_json(
    status: int, text: str, **headers: str
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(
            status=status, text=text, content_type="application/json", headers=named
        )

    return answer


async def echoes(request: web.Request) -> web.StreamResponse:
    return web.Response(body=await request.read(), content_type="application/octet-stream")


@pytest.mark.parametrize(
    ("method", "asked", "answered"),
    [
        ("POST", "/models/rainfall/rain/predict", "/predict"),
        ("POST", "/models/rainfall/rain/versions/1/predict", "/predict"),
        ("POST", "/models/rainfall/rain/invocations", "/invocations"),
        ("POST", CHAT, "/v1/chat/completions"),
        ("POST", "/models/rainfall/rain/v1/completions", "/v1/completions"),
        ("GET", "/models/rainfall/rain/v1/models", "/v1/models"),
        ("GET", "/models/rainfall/rain/openapi.json", "/openapi.json"),
        ("POST", "/api/v1/predict?model=rain", "/predict"),
        ("POST", "/api/v1/predict?model=rain&project=rainfall&version=1", "/predict"),
        ("POST", "/api/v1/predict?model=rainfall.rain", "/predict"),
    ],
)
async def test_what_a_replica_answers_is_reached_through_the_door(
    house: House, replica: Replicas, method: str, asked: str, answered: str
) -> None:
    one = await replica(1)
    await house.route("rainfall", "rain", (one, 1.0))

    answer = await house.client.request(method, asked, content=b"{}", headers=bearer("infer"))

    assert answer.status_code == 200
    assert answer.headers["mlops-model-version"] == "1"
    assert [path for path, _ in one.seen] == [answered]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/models/rainfall/rain/predict", 403),
        ("/models/rainfall/snow/predict", 404),
        ("/models/rainfall/rain/admin", 404),
        ("/models/rainfall/rain/../predict", 404),
        ("/models/rainfall/rain/versions/2/predict", 404),
        ("/api/v1/predict", 400),
        ("/api/v1/predict?version=1", 400),
        ("/v2/models/rain/infer/more", 404),
        ("/v2/models//infer", 404),
        ("/v2x", 404),
    ],
)
async def test_what_is_not_offered_reaches_no_replica(
    house: House, replica: Replicas, path: str, status: int
) -> None:
    one = await replica(1)
    await house.route("rainfall", "rain", (one, 1.0))
    headers = bearer("read") if status == 403 else {}

    answer = await house.client.post(path, content=b"{}", headers=headers)

    assert answer.status_code == status
    assert answer.json()["error"]
    assert one.seen == []


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", INFER, "POST"),
        ("DELETE", INFER, "POST"),
        ("POST", "/v2/models/rain", "GET"),
        ("PUT", "/v2", "GET"),
        ("GET", "/v2/repository/index", "POST"),
        ("GET", "/api/v1/predict?model=rain", "POST"),
        ("PATCH", CHAT, "POST"),
    ],
)
async def test_wrong_method_names_the_right_one(
    house: House, method: str, path: str, allowed: str
) -> None:
    answer = await house.client.request(method, path)

    assert answer.status_code == 405
    assert answer.headers["allow"] == allowed


async def test_errors_of_chat_are_worded_as_its_clients_read_them(house: House) -> None:
    answer = await house.client.post(CHAT, json={})

    assert answer.json()["error"]["type"] in ("invalid_request_error", "server_error")
    assert "rainfall.rain" in answer.json()["error"]["message"]


async def test_binary_tensors_pass_untouched(house: House, replica: Replicas) -> None:
    one = await replica(1)

    async def answers(request: web.Request) -> web.StreamResponse:
        headers = {"Inference-Header-Content-Length": "2"}
        return web.Response(body=await request.read(), headers=headers)

    one.answers.append(answers)
    await house.route("rainfall", "rain", (one, 1.0))
    body = b'{"x":\x00\xff\xfe not JSON'

    answer = await house.client.post(
        INFER, content=body, headers={"Inference-Header-Content-Length": "5"}
    )

    assert answer.content == body
    assert answer.headers["inference-header-content-length"] == "2"
    assert one.seen[0][1]["inference-header-content-length"] == "5"


async def test_long_answers_and_bodies_pass_whole(house: House, replica: Replicas) -> None:
    one = await replica(1)
    long = bytes(range(256)) * 20_000

    async def answers(_: web.Request) -> web.StreamResponse:
        return web.Response(body=long, content_type="application/octet-stream")

    one.answers += [answers, echoes]
    await house.route("rainfall", "rain", (one, 1.0))

    answer = await house.client.post("/models/rainfall/rain/predict", content=b"{}")
    echoed = await house.client.post("/models/rainfall/rain/predict", content=long[:99_000])

    assert answer.content == long
    assert echoed.content == long[:99_000]


@pytest.mark.parametrize("status", [429, 503])
async def test_a_replica_that_has_too_much_is_passed_on_with_its_words(
    house: House, replica: Replicas, status: int
) -> None:
    one = await replica(1)
    one.answers += [in_json(status, '{"error": "busy"}', Retry_After="7")] * 2
    await house.route("rainfall", "rain", (one, 1.0))

    answer = await house.client.post(INFER, json=ROW)
    traffic = await house.bus.ask("gateway", "traffic", {})

    assert answer.status_code == status
    assert answer.headers["retry-after"] == "7"
    assert answer.json() == {"error": "busy"}
    (told,) = traffic["versions"]
    assert (told["shed"], told["errors"]) == ((2, 0) if status == 429 else (0, 2))


async def test_a_page_of_the_ingress_is_no_answer_of_the_model(
    house: House, replica: Replicas
) -> None:
    one = await replica(1)
    one.answers += [says(503, "<html>No server is available</html>")] * 2
    await house.route("rainfall", "rain", (one, 1.0))

    answer = await house.client.post(INFER, json=ROW)

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    assert answer.json()["error"].startswith("no version is ready")


async def test_what_a_replica_itself_does_not_find_is_not_asked_again(
    house: House, replica: Replicas
) -> None:
    one = await replica(1)
    one.answers.append(in_json(404, '{"error": "this model does not chat"}'))
    await house.route("rainfall", "rain", (one, 1.0))

    answer = await house.client.post(CHAT, json={})

    assert answer.status_code == 404
    assert answer.json() == {"error": "this model does not chat"}
    assert len(one.seen) == 1


@pytest.mark.parametrize("status", [504, 507])
async def test_a_slow_or_full_replica_is_not_asked_again_and_counts_as_failed(
    house: House, replica: Replicas, status: int
) -> None:
    one = await replica(1)
    one.answers.append(in_json(status, '{"error": "the model took longer than 30 s"}'))
    await house.route("rainfall", "rain", (one, 1.0))

    answer = await house.client.post(INFER, json=ROW)
    traffic = await house.bus.ask("gateway", "traffic", {})

    assert answer.status_code == status
    assert answer.json() == {"error": "the model took longer than 30 s"}
    assert len(one.seen) == 1
    assert traffic["versions"][0]["errors"] == 1


async def test_slow_ingress_is_a_504(house: House, replica: Replicas) -> None:
    one = await replica(1)
    one.answers += [says(504, "<html>")] * 2
    await house.route("rainfall", "rain", (one, 1.0))

    answer = await house.client.post(INFER, json=ROW)

    assert answer.status_code == 504


async def test_requests_beyond_the_bound_are_turned_away_at_once(
    house: House, replica: Replicas
) -> None:
    one, other = await replica(1), await replica(1)
    free = asyncio.Event()

    async def waits(_: web.Request) -> web.StreamResponse:
        await free.wait()
        return web.json_response({})

    one.answers += [waits] * 40
    await house.route("rainfall", "rain", (one, 1.0))
    await house.route("tropics", "storm", (other, 1.0))

    under_way = [asyncio.create_task(house.client.post(INFER, json=ROW)) for _ in range(40)]
    async with asyncio.timeout(30):
        while len(one.seen) < 40:
            await asyncio.sleep(0.01)
    too_many = await house.client.post(INFER, json=ROW)
    of_another = await house.client.post("/v2/models/storm/infer", json=ROW)
    free.set()
    answers = await asyncio.gather(*under_way)
    after = await house.client.post(INFER, json=ROW)

    assert too_many.status_code == 429
    assert too_many.headers["retry-after"] == "1"
    assert of_another.status_code == 200
    assert {answer.status_code for answer in answers} == {200}
    assert after.status_code == 200


async def test_bodies_have_so_many_bytes_together(house: House, replica: Replicas) -> None:
    one = await replica(1)
    free = asyncio.Event()

    async def waits(_: web.Request) -> web.StreamResponse:
        await free.wait()
        return web.json_response({})

    one.answers += [waits] * 2
    await house.route("rainfall", "rain", (one, 1.0))
    path, body = "/models/rainfall/rain/predict", b"x" * 100_000

    under_way = [asyncio.create_task(house.client.post(path, content=body)) for _ in range(2)]
    async with asyncio.timeout(30):
        while len(one.seen) < 2:
            await asyncio.sleep(0.01)
    too_much = await house.client.post(path, content=body)
    small = asyncio.create_task(house.client.post(path, content=b"{}"))
    free.set()
    answers = await asyncio.gather(*under_way, small)
    after = [await house.client.post(path, content=body) for _ in range(5)]

    assert too_much.status_code == 429
    assert too_much.headers["retry-after"] == "1"
    assert "200000 of 250000" in too_much.json()["error"]
    assert {answer.status_code for answer in (*answers, *after)} == {200}


async def test_a_body_that_trickles_is_cut_off_and_holds_no_place(
    house: House, replica: Replicas
) -> None:
    one = await replica(1)
    await house.route("rainfall", "rain", (one, 1.0))

    async def trickles() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(0.02)

    slow = asyncio.create_task(house.client.post(INFER, content=trickles()))
    others = [await house.client.post(INFER, json=ROW) for _ in range(3)]
    answer = await slow

    assert [other.status_code for other in others] == [200] * 3
    assert answer.status_code == 408
    assert len(one.seen) == 3


async def test_bodies_that_were_only_announced_take_no_room_from_others(
    house: House, replica: Replicas
) -> None:
    one = await replica(1)
    await house.route("rainfall", "rain", (one, 1.0))
    path, announced = "/models/rainfall/rain/predict", {"Content-Length": "90000"}

    async def stalls() -> AsyncIterator[bytes]:
        yield b" "
        await asyncio.sleep(5)

    slow = [
        asyncio.create_task(house.client.post(path, content=stalls(), headers=announced))
        for _ in range(10)
    ]
    await asyncio.sleep(0)
    others = [await house.client.post(path, content=b"x" * 90_000) for _ in range(3)]
    answers = await asyncio.gather(*slow)

    assert [other.status_code for other in others] == [200] * 3
    assert {answer.status_code for answer in answers} == {408}


async def test_too_large_a_body_in_pieces_is_cut_off_at_the_bound(
    house: House, replica: Replicas
) -> None:
    one = await replica(1)
    await house.route("rainfall", "rain", (one, 1.0))
    sent = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            sent.append(1)
            yield b"x" * 50_000

    answer = await house.client.post(INFER, content=endless())
    after = [await house.client.post(INFER, json=ROW) for _ in range(3)]

    assert answer.status_code == 413
    assert answer.headers["connection"] == "close"
    assert len(sent) < 20
    assert [one.status_code for one in after] == [200] * 3
