# SPDX-License-Identifier: Apache-2.0
"""The gateway's second port, in its own process: there where it is wanted, and the last call is answered at the end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import orjson
import pytest
from aiohttp import web

from mlops.chassis.bus_nats import NatsBus
from mlops.gateway.adapters.oip import open_inference_grpc_pb2 as oip
from servers.programs import end, free_port

pytestmark = pytest.mark.server
TOKEN = "a-token-of-this-installation"
METADATA = (("authorization", f"Bearer {TOKEN}"),)


class Replica:
    """A model that answers when it is told to, with the tensors that it got."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.may_answer = asyncio.Event()

    async def infer(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        end = int(request.headers["inference-header-content-length"])
        self.asked.set()
        await self.may_answer.wait()
        told = {"model_name": "rain", "outputs": orjson.loads(body[:end])["inputs"]}
        said = orjson.dumps(told)
        headers = {"inference-header-content-length": str(len(said))}
        return web.Response(body=said + body[end:], headers=headers)


@pytest.fixture
async def replica(bus: NatsBus) -> AsyncIterator[Replica]:
    """A replica that the bus knows as version 1 of rain."""
    one, app = Replica(), web.Application()
    app.router.add_post("/v2/models/rain/infer", one.infer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    versions = [{"version": 1, "url": url, "weight": 1.0}]

    async def tell_routes(_: Mapping[str, Any]) -> dict[str, Any]:
        return {"routes": [{"project": "rainfall", "model": "rain", "versions": versions}]}

    bus.answer("serving", "routes", tell_routes)
    await bus.start()
    yield one
    await runner.cleanup()


@pytest.fixture
def gateway(
    replica: Replica,  # noqa: ARG001 - it must be known first
    nats_server: Any,
    tmp_path: Path,
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A gateway's process, and where it speaks gRPC."""
    port = free_port()
    env = {
        "MLOPS_HOME": str(tmp_path),
        "NATS_URL": nats_server.url,
        "NATS_TOKEN": nats_server.token,
        "GATEWAY_TOKEN": TOKEN,
        "GATEWAY_GRPC_PORT": str(port),
    }
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlops.gateway"], env=os.environ | env, stdout=log, stderr=log
        )
    yield process, f"127.0.0.1:{port}"
    end(process)


def infer(channel: grpc.aio.Channel) -> Any:
    asked = oip.ModelInferRequest(model_name="rain")
    one = asked.inputs.add(name="x", datatype="FP64", shape=[1])
    one.contents.fp64_contents.append(4.5)
    multi = channel.unary_unary(
        "/inference.GRPCInferenceService/ModelInfer",
        request_serializer=oip.ModelInferRequest.SerializeToString,
        response_deserializer=oip.ModelInferResponse.FromString,
    )
    return multi(asked, metadata=METADATA, timeout=20)


async def until_ready(channel: grpc.aio.Channel) -> None:
    multi = channel.unary_unary(
        "/inference.GRPCInferenceService/ServerReady",
        response_deserializer=oip.ServerReadyResponse.FromString,
    )
    async with asyncio.timeout(30):
        while not (await multi(b"", wait_for_ready=True)).ready:
            await asyncio.sleep(0.05)


async def test_call_that_has_begun_is_answered_while_the_gateway_stops(
    replica: Replica, gateway: tuple[subprocess.Popen[bytes], str]
) -> None:
    process, address = gateway
    async with grpc.aio.insecure_channel(address) as channel:
        await until_ready(channel)
        call = infer(channel)
        await asyncio.wait_for(replica.asked.wait(), 20)

        process.send_signal(signal.SIGTERM)
        replica.may_answer.set()
        answer = await call

    assert list(answer.outputs[0].contents.fp64_contents) == [4.5]
    assert await asyncio.to_thread(process.wait, 30) == 0


def test_without_the_port_nothing_of_grpc_is_loaded() -> None:
    look = "import sys, mlops.gateway.app; print([m for m in sys.modules if m in ('grpc', 'google.protobuf')])"

    found = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, timeout=60, check=True
    )

    assert found.stdout.strip() == "[]"
