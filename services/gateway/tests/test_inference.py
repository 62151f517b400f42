# SPDX-License-Identifier: Apache-2.0
"""Inference: bytes reach a version chosen by weight, trouble is tried once more, errors say what to do."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import web
from services.gateway.tests.conftest import ROW, TOKEN, House, Replica, hangs_up, says

from mlops.contracts.serving import DeploymentStarted

Replicas = Callable[[int], Awaitable[Replica]]
INFER = "/v2/models/rain/infer"


async def test_bytes_pass_both_ways_unchanged(house: House, replica: Replicas) -> None:
    one = await replica(3)
    bodies: list[bytes] = []

    async def echoes(request: web.Request) -> web.StreamResponse:
        bodies.append(await request.read())
        return web.Response(body=b'{"outputs": [ 1.50 ]}', content_type="application/json")

    one.answers.append(echoes)
    await house.route("rainfall", "rain", (one, 1.0))

    body = b'{"inputs" : [{"name":"x","shape":[1],"datatype":"FP64","data":[1.0]}]}'
    answer = await house.client.post(INFER, content=body, headers={"X-Request-ID": "mine-1"})

    assert answer.status_code == 200
    assert answer.content == b'{"outputs": [ 1.50 ]}'
    assert bodies == [body]
    assert answer.headers["mlops-model-version"] == "3"
    assert answer.headers["x-request-id"] == "mine-1"
    assert one.seen[0][0] == INFER
    assert one.seen[0][1]["x-request-id"] == "mine-1"
    assert one.seen[0][1]["traceparent"].startswith("00-")
    assert one.seen[0][1]["authorization"] == f"Bearer {TOKEN}"


async def test_callers_trace_continues_at_the_replica(house: House, replica: Replicas) -> None:
    one = await replica(1)
    await house.route("rainfall", "rain", (one, 1.0))
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    await house.client.post(INFER, json=ROW, headers={"traceparent": trace})

    assert one.seen[0][1]["traceparent"] == trace


async def test_weights_share_the_traffic(house: House, replica: Replicas) -> None:
    old, new = await replica(1), await replica(2)
    await house.route("rainfall", "rain", (old, 0.9), (new, 0.1))

    answers = [await house.client.post(INFER, json=ROW) for _ in range(300)]

    share = Counter(answer.headers["mlops-model-version"] for answer in answers)
    assert 5 < share["2"] < 70
    assert share["1"] + share["2"] == 300


async def test_version_without_weight_gets_no_traffic_unless_named(
    house: House, replica: Replicas
) -> None:
    old, new = await replica(1), await replica(2)
    await house.route("rainfall", "rain", (old, 1.0), (new, 0.0))

    by_weight = [await house.client.post(INFER, json=ROW) for _ in range(20)]
    named = await house.client.post("/v2/models/rain/versions/2/infer", json=ROW)

    assert {answer.headers["mlops-model-version"] for answer in by_weight} == {"1"}
    assert named.headers["mlops-model-version"] == "2"


async def test_new_weights_hold_at_once_after_a_deployment_event(
    house: House, replica: Replicas
) -> None:
    old, new = await replica(1), await replica(2)
    await house.route("rainfall", "rain", (old, 1.0), (new, 0.0))
    for entry in house.routes[0]["versions"]:
        entry["weight"] = 1.0 - entry["weight"]

    event = DeploymentStarted(
        project="rainfall", deployment_id="d", model="rain", version=2, endpoint="/v2"
    )
    await house.say(event)
    answer = await house.client.post(INFER, json=ROW)

    assert answer.headers["mlops-model-version"] == "2"


@pytest.mark.parametrize(
    "trouble", [hangs_up, says(500), says(502), says(503), says(504), says(404)]
)
async def test_trouble_is_tried_once_more_with_another_version(
    house: House, replica: Replicas, trouble: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> None:
    bad, good = await replica(1), await replica(2)
    bad.answers.extend([trouble] * 50)
    await house.route("rainfall", "rain", (bad, 1.0), (good, 0.0001))

    answer = await house.client.post(INFER, json=ROW)

    assert answer.status_code == 200
    assert answer.headers["mlops-model-version"] == "2"
    assert len(bad.seen) == 1
    assert house.metric("gateway_retries_total", project="rainfall", model="rain") == 1


async def test_who_is_turned_away_by_a_crowd_comes_once_more(
    house: House, replica: Replicas
) -> None:
    one = await replica(1)
    one.answers.append(says(429))
    await house.route("rainfall", "rain", (one, 1.0))

    answer = await house.client.post(INFER, json=ROW)
    told = (await house.bus.ask("gateway", "traffic", {}))["versions"][0]

    assert answer.status_code == 200
    assert len(one.seen) == 2
    assert (told["shed"], told["errors"]) == (1, 0)


async def test_who_is_turned_away_twice_is_told_by_the_replica(
    house: House, replica: Replicas
) -> None:
    one = await replica(1)
    one.answers.extend([says(429, '{"error": "too many requests"}')] * 3)
    await house.route("rainfall", "rain", (one, 1.0))

    answer = await house.client.post(INFER, json=ROW)

    assert answer.status_code == 429
    assert answer.json() == {"error": "too many requests"}
    assert len(one.seen) == 2


async def test_single_version_is_asked_again(house: House, replica: Replicas) -> None:
    one = await replica(1)
    one.answers.append(hangs_up)
    await house.route("rainfall", "rain", (one, 1.0))

    answer = await house.client.post(INFER, json=ROW)

    assert answer.status_code == 200
    assert len(one.seen) == 2


async def test_two_failures_are_a_502_that_names_the_model_and_its_words(
    house: House, replica: Replicas
) -> None:
    one = await replica(4)
    one.answers.extend([says(500, "column 'rain' is missing")] * 2)
    await house.route("rainfall", "rain", (one, 1.0))

    answer = await house.client.post(INFER, json=ROW)

    assert answer.status_code == 502
    assert "rainfall.rain version 4" in answer.json()["error"]
    assert "column 'rain' is missing" in answer.json()["error"]
    labels = {"project": "rainfall", "model": "rain", "version": "", "outcome": "failed"}
    assert house.metric("gateway_requests_total", **labels) == 1


async def test_retries_are_budgeted_so_that_an_outage_is_not_doubled(
    house: House, replica: Replicas
) -> None:
    one = await replica(1)
    one.answers.extend([says(503)] * 500)
    await house.route("rainfall", "rain", (one, 1.0))

    for _ in range(100):
        await house.client.post(INFER, json=ROW)

    assert len(one.seen) < 100 + 10 + 0.25 * 100


async def test_slow_model_is_a_504_and_not_asked_again(house: House, replica: Replicas) -> None:
    one = await replica(1)

    async def sleeps(_: web.Request) -> web.StreamResponse:
        await asyncio.sleep(4)
        return web.Response()

    one.answers.append(sleeps)
    await house.route("rainfall", "rain", (one, 1.0))

    answer = await house.client.post(INFER, json=ROW)

    assert answer.status_code == 504
    assert "GATEWAY_INFER_TIMEOUT_S" in answer.json()["error"]
    assert len(one.seen) == 1


async def test_callers_own_mistake_passes_through_and_is_no_error_of_the_version(
    house: House, replica: Replicas
) -> None:
    one = await replica(1)
    one.answers.append(says(400, '{"error": "unknown column"}'))
    await house.route("rainfall", "rain", (one, 1.0))

    answer = await house.client.post(INFER, json=ROW)
    traffic = await house.bus.ask("gateway", "traffic", {})

    assert answer.status_code == 400
    assert answer.json() == {"error": "unknown column"}
    assert traffic["versions"][0]["errors"] == 0


async def test_traffic_counts_every_try_against_its_version(
    house: House, replica: Replicas
) -> None:
    one = await replica(1)
    one.answers.append(says(500))
    await house.route("rainfall", "rain", (one, 1.0))

    await house.client.post(INFER, json=ROW)
    await house.client.get("/v2/models/rain")
    traffic = await house.bus.ask("gateway", "traffic", {})

    (told,) = traffic["versions"]
    assert (told["project"], told["model"], told["version"]) == ("rainfall", "rain", 1)
    assert (told["requests"], told["errors"]) == (2, 1)
    assert told["p50_ms"] > 0


async def test_unknown_model_names_the_known_ones(house: House, replica: Replicas) -> None:
    await house.route("rainfall", "rain", (await replica(1), 1.0))

    answer = await house.client.post("/v2/models/snow/infer", json=ROW)

    assert answer.status_code == 404
    assert answer.json()["error"] == "no such model: snow; ask for one of: rain"


async def test_same_name_in_two_projects_asks_for_the_full_name(
    house: House, replica: Replicas
) -> None:
    mine, theirs = await replica(1), await replica(2)
    await house.route("rainfall", "rain", (mine, 1.0))
    await house.route("tropics", "rain", (theirs, 1.0))

    bare = await house.client.post(INFER, json=ROW)
    full = await house.client.post("/v2/models/tropics.rain/infer", json=ROW)

    assert bare.status_code == 409
    assert "rainfall.rain, tropics.rain" in bare.json()["error"]
    assert full.headers["mlops-model-version"] == "2"
    assert theirs.seen[0][0] == INFER


async def test_without_a_ready_version_callers_are_told_when_to_come_back(house: House) -> None:
    await house.route("rainfall", "rain")

    answer = await house.client.post(INFER, json=ROW)

    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "2"
    assert "rainfall.rain" in answer.json()["error"]


async def test_model_whose_first_rollout_runs_is_not_called_unknown(house: House) -> None:
    event = DeploymentStarted(
        project="rainfall", deployment_id="d", model="rain", version=1, endpoint="/v2"
    )
    await house.say(event)

    answer = await house.client.post(INFER, json=ROW)

    assert answer.status_code == 503


async def test_version_that_does_not_run_names_those_that_do(
    house: House, replica: Replicas
) -> None:
    await house.route("rainfall", "rain", (await replica(7), 1.0))

    answer = await house.client.post("/v2/models/rain/versions/6/infer", json=ROW)

    assert answer.status_code == 404
    assert "running: 7" in answer.json()["error"]


@pytest.mark.parametrize("version", ["9" * 5000, "9" * 30, "-1", "x", "²"])
async def test_version_that_is_no_version_does_not_run(
    house: House, replica: Replicas, version: str
) -> None:
    await house.route("rainfall", "rain", (await replica(7), 1.0))

    answer = await house.client.post(f"/v2/models/rain/versions/{version}/infer", json=ROW)

    assert answer.status_code == 404
    assert "running: 7" in answer.json()["error"]


@pytest.mark.parametrize("body", [b"", b"not json", b"[]", b'{"inputs": []}', b'{"inputs": 3}'])
async def test_malformed_request_reaches_no_replica(
    house: House, replica: Replicas, body: bytes
) -> None:
    one = await replica(1)
    await house.route("rainfall", "rain", (one, 1.0))

    answer = await house.client.post(INFER, content=body)

    assert answer.status_code == 400
    assert "inputs" in answer.json()["error"]
    assert one.seen == []


async def test_oversized_body_is_refused(house: House, replica: Replicas) -> None:
    one = await replica(1)
    await house.route("rainfall", "rain", (one, 1.0))

    answer = await house.client.post(INFER, content=b"x" * 100_001)

    assert answer.status_code == 413
    assert "100000 bytes" in answer.json()["error"]
    assert one.seen == []


async def test_metadata_and_readiness_come_from_the_replica(
    house: House, replica: Replicas
) -> None:
    one = await replica(1)
    await house.route("rainfall", "rain", (one, 1.0))

    metadata = await house.client.get("/v2/models/rain")
    ready = await house.client.get("/v2/models/rain/versions/1/ready")

    assert (metadata.status_code, ready.status_code) == (200, 200)
    assert [path for path, _ in one.seen] == ["/v2/models/rain"]
    assert one.looks == 1


async def test_repository_index_lists_every_version(house: House, replica: Replicas) -> None:
    await house.route("rainfall", "rain", (await replica(1), 0.5), (await replica(2), 0.5))

    answer = await house.client.post("/v2/repository/index", json={})

    assert [(row["name"], row["version"], row["state"]) for row in answer.json()] == [
        ("rain", "1", "READY"),
        ("rain", "2", "READY"),
    ]


async def test_old_routes_stay_while_serving_is_away(house: House, replica: Replicas) -> None:
    one = await replica(1)
    await house.route("rainfall", "rain", (one, 1.0))

    async def breaks(_: object) -> dict[str, object]:
        raise TimeoutError

    house.bus.answer("serving", "routes", breaks)
    house.gateway.routes.refresh()
    await asyncio.sleep(0.01)
    answer = await house.client.post(INFER, json=ROW)

    assert answer.status_code == 200
