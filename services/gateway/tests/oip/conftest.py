# SPDX-License-Identifier: Apache-2.0
"""A real gRPC server before a gateway over the memory bus, and a caller."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any

import grpc.aio
import orjson
import pytest
from aiohttp import web
from services.gateway.tests.conftest import TOKEN, House, Replica

from mlops.chassis.clock import utc_now
from mlops.chassis.tokens import Tokens
from mlops.gateway.adapters.oip import open_inference_grpc_pb2 as oip
from mlops.gateway.adapters.oip.server import Bounds, GrpcServer

Replicas = Callable[[int], Awaitable[Replica]]
Send = Callable[..., Awaitable[Any]]
METADATA = (("authorization", f"Bearer {TOKEN}"),)
MOST = 100_000
READ = timedelta(seconds=0.5)
ALONE = (("grpc.use_local_subchannel_pool", 1),)  # channels of one process share a connection else


async def echo(request: web.Request) -> web.StreamResponse:
    """Answer with the tensors that came, as a replica with the binary extension does."""
    body = await request.read()
    end = int(request.headers["inference-header-content-length"])
    head = orjson.loads(body[:end])
    assert head["parameters"]["binary_data_output"] is True
    told = {"model_name": "rain", "model_version": "3", "outputs": head["inputs"]}
    told["id"] = head.get("id", "")
    said = orjson.dumps(told)
    headers = {"inference-header-content-length": str(len(said))}
    return web.Response(body=said + body[end:], headers=headers)


@pytest.fixture
async def server(house: House) -> AsyncIterator[GrpcServer]:
    bounds = Bounds(calls=2, most_bytes=MOST, longest_read=READ)
    one = GrpcServer(house.gateway.app, Tokens(TOKEN), utc_now, bounds)
    yield one
    await one.stop()


@pytest.fixture
async def channel(server: GrpcServer) -> AsyncIterator[grpc.aio.Channel]:
    port = await server.start("127.0.0.1", 0)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel


@pytest.fixture
def call(channel: grpc.aio.Channel) -> Send:
    async def send(method: str, asked: Any, metadata: Any = METADATA, **more: Any) -> Any:
        answered = getattr(oip, type(asked).__name__.replace("Request", "Response"))
        multi = channel.unary_unary(
            f"/inference.GRPCInferenceService/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=answered.FromString,
        )
        return await multi(asked, metadata=metadata, **more)

    return send


def infer(*values: float, model: str = "rain", version: str = "") -> oip.ModelInferRequest:
    asked = oip.ModelInferRequest(model_name=model, model_version=version, id="r-1")
    one = asked.inputs.add(name="x", datatype="FP64", shape=[len(values)])
    one.contents.fp64_contents.extend(values)
    return asked


async def refusal(call: Awaitable[Any]) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value
