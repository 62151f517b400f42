# SPDX-License-Identifier: Apache-2.0
"""How much a gRPC server takes on: bytes, calls, slow callers; and how it ends."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import grpc
import grpc.aio
import pytest
from aiohttp import web
from services.gateway.tests.conftest import TOKEN, House
from services.gateway.tests.oip.conftest import (
    ALONE,
    METADATA,
    MOST,
    Replicas,
    Send,
    echo,
    infer,
    refusal,
)

from mlops.chassis.clock import utc_now
from mlops.chassis.tokens import Tokens
from mlops.gateway.adapters.oip import open_inference_grpc_pb2 as oip
from mlops.gateway.adapters.oip.reading import Reading, SlowCallerError
from mlops.gateway.adapters.oip.server import Bounds, GrpcServer


async def test_message_over_the_limit_is_refused(call: Send) -> None:
    error = await refusal(call("ModelInfer", infer(*[0.5] * 30_000)))

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_packed_message_is_refused_before_it_is_unpacked(call: Send) -> None:
    bomb = infer(*[0.0] * 10_000)

    error = await refusal(call("ModelInfer", bomb, compression=grpc.Compression.Gzip))

    assert error.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_more_calls_than_there_is_room_for_are_shed(
    house: House, replica: Replicas, server: GrpcServer, call: Send
) -> None:
    one = await replica(1)
    release = asyncio.Event()
    arrived = asyncio.Semaphore(0)

    async def waits(request: web.Request) -> web.StreamResponse:
        arrived.release()
        await release.wait()
        return await echo(request)

    one.answers.extend([waits] * 2)
    await house.route("rainfall", "rain", (one, 1.0))
    busy = [asyncio.ensure_future(call("ModelInfer", infer(1.0))) for _ in range(2)]
    await arrived.acquire()
    await arrived.acquire()
    # Another connection, because one holds no more calls than there is room for.
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}", ALONE) as second:
        multi = second.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        error = await refusal(multi(infer(1.0).SerializeToString(), metadata=METADATA))
    release.set()
    answers = await asyncio.gather(*busy)

    assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "retry-after" in {name for name, _ in error.trailing_metadata()}
    assert len(answers) == 2


async def test_caller_without_a_token_holds_no_place_while_it_sends(
    house: House, replica: Replicas, server: GrpcServer, channel: grpc.aio.Channel
) -> None:
    one = await replica(1)
    await house.route("rainfall", "rain", (one, 1.0))
    multi = channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")

    silent = multi()  # its message never comes
    error = await refusal(silent)

    assert error.code() is grpc.StatusCode.UNAUTHENTICATED
    assert server.reading == 0


async def test_health_is_told_to_a_stranger_who_sends_nothing(
    server: GrpcServer, channel: grpc.aio.Channel
) -> None:
    multi = channel.stream_unary(
        "/inference.GRPCInferenceService/ServerLive",
        response_deserializer=oip.ServerLiveResponse.FromString,
    )

    answer = await multi()

    assert answer.live
    assert server.reading == 0


async def test_message_that_does_not_come_is_given_up(
    server: GrpcServer, channel: grpc.aio.Channel
) -> None:
    multi = channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")

    error = await refusal(multi(metadata=METADATA))

    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert server.reading == 0


async def test_slowest_message_gives_way_to_the_next() -> None:
    reading = Reading(2, timedelta(hours=1))
    began: list[int] = []

    async def never_comes(number: int) -> None:
        async with reading.turn():
            began.append(number)
            await asyncio.Event().wait()

    first, second = (asyncio.ensure_future(never_comes(number)) for number in (1, 2))
    await asyncio.sleep(0)
    async with reading.turn():
        (ended, _) = await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)

    assert began == [1, 2]
    assert ended == {first}
    assert isinstance(first.exception(), SlowCallerError)
    assert reading.count == 0


async def test_callers_deadline_ends_the_work(
    house: House, replica: Replicas, server: GrpcServer, call: Send
) -> None:
    one = await replica(1)
    release = asyncio.Event()

    async def waits(request: web.Request) -> web.StreamResponse:
        await release.wait()
        return await echo(request)

    one.answers.append(waits)
    await house.route("rainfall", "rain", (one, 1.0))

    error = await refusal(call("ModelInfer", infer(1.0), timeout=0.3))
    async with asyncio.timeout(30):
        while server.under_way:
            await asyncio.sleep(0.01)
    release.set()

    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_stop_finishes_what_has_begun(
    house: House, replica: Replicas, server: GrpcServer, call: Send
) -> None:
    one = await replica(1)
    release, arrived = asyncio.Event(), asyncio.Event()

    async def waits(request: web.Request) -> web.StreamResponse:
        arrived.set()
        await release.wait()
        return await echo(request)

    one.answers.append(waits)
    await house.route("rainfall", "rain", (one, 1.0))
    begun = asyncio.ensure_future(call("ModelInfer", infer(7.0)))
    await arrived.wait()

    stopping = asyncio.ensure_future(server.stop())
    await asyncio.sleep(0)
    release.set()
    answer = await begun
    await stopping

    assert list(answer.outputs[0].contents.fp64_contents) == [7.0]


async def test_taken_port_is_said_with_the_fix(
    house: House, server: GrpcServer, channel: grpc.aio.Channel
) -> None:
    second = GrpcServer(house.gateway.app, Tokens(TOKEN), utc_now, Bounds(2, MOST))

    with pytest.raises(OSError, match="set GATEWAY_GRPC_PORT"):
        await second.start("127.0.0.1", server.port)

    await second.stop()
    await channel.channel_ready()
