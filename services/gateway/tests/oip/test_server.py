# SPDX-License-Identifier: Apache-2.0
"""A call over gRPC goes through the same door and routing as over HTTP, and is answered in gRPC's own words."""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import pytest
from aiohttp import web
from services.gateway.tests.conftest import TOKEN, House, hangs_up, says
from services.gateway.tests.oip.conftest import METADATA, Replicas, Send, echo, infer, refusal

from mlops.chassis.clock import utc_now
from mlops.chassis.tokens import Tokens
from mlops.gateway.adapters.oip import open_inference_grpc_pb2 as oip
from mlops.gateway.adapters.oip.inside import Call, Inside, Reply


async def test_typed_tensors_go_to_the_replica_and_come_back(
    house: House, replica: Replicas, call: Send
) -> None:
    one = await replica(3)
    one.answers.append(echo)
    await house.route("rainfall", "rain", (one, 1.0))

    answer = await call("ModelInfer", infer(1.5, -2.0))

    assert (answer.model_name, answer.model_version, answer.id) == ("rain", "3", "r-1")
    assert list(answer.outputs[0].contents.fp64_contents) == [1.5, -2.0]
    assert not answer.raw_output_contents
    assert one.seen[0][0] == "/v2/models/rain/infer"


async def test_bytes_are_answered_with_bytes(house: House, replica: Replicas, call: Send) -> None:
    one = await replica(3)
    one.answers.append(echo)
    await house.route("rainfall", "rain", (one, 1.0))
    raw = struct.pack("<3e", 0.5, 1.0, -2.0)
    asked = oip.ModelInferRequest(model_name="rain", raw_input_contents=[raw])
    asked.inputs.add(name="x", datatype="FP16", shape=[3])

    answer = await call("ModelInfer", asked)

    assert list(answer.raw_output_contents) == [raw]
    assert answer.outputs[0].datatype == "FP16"


async def test_traffic_retries_and_versions_are_those_of_http(
    house: House, replica: Replicas, call: Send
) -> None:
    bad, good = await replica(1), await replica(2)
    bad.answers.append(hangs_up)
    good.answers.append(echo)
    await house.route("rainfall", "rain", (bad, 1.0), (good, 0.0001))

    await call("ModelInfer", infer(1.0))

    traffic = await house.bus.ask("gateway", "traffic", {})
    counts = {one["version"]: (one["requests"], one["errors"]) for one in traffic["versions"]}
    assert counts == {1: (1, 1), 2: (1, 0)}


async def test_trailers_name_version_and_request(
    house: House, replica: Replicas, channel: grpc.aio.Channel
) -> None:
    one = await replica(3)
    one.answers.append(echo)
    await house.route("rainfall", "rain", (one, 1.0))
    multi = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

    call = multi(infer(1.0).SerializeToString(), metadata=(*METADATA, ("x-request-id", "mine-1")))

    await call
    trailers = dict(await call.trailing_metadata())
    assert (trailers["mlops-model-version"], trailers["x-request-id"]) == ("3", "mine-1")
    assert one.seen[0][1]["x-request-id"] == "mine-1"


async def test_named_version_is_asked(house: House, replica: Replicas, call: Send) -> None:
    old, new = await replica(1), await replica(2)
    new.answers.append(echo)
    await house.route("rainfall", "rain", (old, 1.0), (new, 0.0))

    await call("ModelInfer", infer(1.0, version="2"))

    assert (len(old.seen), len(new.seen)) == (0, 1)


async def test_health_and_metadata_answer(house: House, replica: Replicas, call: Send) -> None:
    one = await replica(3)

    async def metadata(_: web.Request) -> web.StreamResponse:
        inputs = [{"name": "x", "datatype": "FP64", "shape": [-1]}]
        return web.json_response({"name": "rain", "versions": ["3"], "inputs": inputs})

    one.answers.append(metadata)
    await house.route("rainfall", "rain", (one, 1.0))

    assert (await call("ServerLive", oip.ServerLiveRequest(), ())).live
    assert (await call("ServerReady", oip.ServerReadyRequest(), ())).ready
    assert (await call("ServerMetadata", oip.ServerMetadataRequest())).name == "mlops-gateway"
    found = await call("ModelMetadata", oip.ModelMetadataRequest(name="rain"))
    assert found.inputs[0].name == "x"
    assert (await call("ModelReady", oip.ModelReadyRequest(name="rain"))).ready


async def test_model_without_a_version_that_answers_is_not_ready(house: House, call: Send) -> None:
    await house.route("rainfall", "rain")

    found = await call("ModelReady", oip.ModelReadyRequest(name="rain"))

    assert not found.ready


@pytest.mark.parametrize(
    ("trouble", "code"),
    [
        (says(400, '{"error": "unknown column"}'), "INVALID_ARGUMENT"),
        (says(429, '{"error": "full"}'), "RESOURCE_EXHAUSTED"),
        (says(500, "broken"), "INTERNAL"),
        (says(200, "no json"), "INTERNAL"),
    ],
)
async def test_replicas_refusal_becomes_a_status(
    house: House,
    replica: Replicas,
    call: Send,
    trouble: Callable[[web.Request], Awaitable[web.StreamResponse]],
    code: str,
) -> None:
    one = await replica(1)
    one.answers.extend([trouble] * 2)
    await house.route("rainfall", "rain", (one, 1.0))

    error = await refusal(call("ModelInfer", infer(1.0)))

    assert error.code().name == code


async def test_unknown_model_is_not_found_and_known_ones_are_named(
    house: House, replica: Replicas, call: Send
) -> None:
    await house.route("rainfall", "rain", (await replica(1), 1.0))

    error = await refusal(call("ModelInfer", infer(1.0, model="snow")))

    assert error.code() is grpc.StatusCode.NOT_FOUND
    assert "rain" in str(error.details())


async def test_without_a_version_callers_are_told_when_to_come_back(
    house: House, call: Send
) -> None:
    await house.route("rainfall", "rain")

    error = await refusal(call("ModelInfer", infer(1.0)))

    assert error.code() is grpc.StatusCode.UNAVAILABLE
    trailers = dict(error.trailing_metadata())
    assert int(trailers["retry-after"]) * 1000 == int(trailers["grpc-retry-pushback-ms"])


@pytest.mark.parametrize(
    "metadata",
    [(), (("authorization", "Bearer wrong-token"),), (("authorization", f"Basic {TOKEN}"),)],
)
async def test_nobody_enters_without_the_token(
    house: House, replica: Replicas, call: Send, metadata: Any
) -> None:
    one = await replica(1)
    await house.route("rainfall", "rain", (one, 1.0))

    error = await refusal(call("ModelInfer", infer(1.0), metadata))

    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert one.seen == []


async def test_token_of_another_project_is_refused(
    house: House, replica: Replicas, call: Send
) -> None:
    one = await replica(1)
    await house.route("rainfall", "rain", (one, 1.0))
    other = Tokens(TOKEN).sign("ann", ["tropics"], ["infer"], utc_now(), timedelta(hours=1))

    error = await refusal(call("ModelInfer", infer(1.0), (("authorization", f"Bearer {other}"),)))

    assert error.code() in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND)
    assert one.seen == []


async def test_application_that_breaks_is_an_internal_error() -> None:
    async def breaks(*_: object) -> None:
        raise ZeroDivisionError

    reply = await Inside(breaks).send(Call("GET", "/v2", {}), {})

    assert reply == Reply(500, {}, b"")


async def test_broken_message_is_the_callers_mistake(channel: grpc.aio.Channel) -> None:
    multi = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

    error = await refusal(multi(b"\xff\xff\xff", metadata=METADATA))

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_unknown_method_is_unimplemented(channel: grpc.aio.Channel) -> None:
    multi = channel.unary_unary("/inference.GRPCInferenceService/RepositoryIndex")

    error = await refusal(multi(b"", metadata=METADATA))

    assert error.code() is grpc.StatusCode.UNIMPLEMENTED
