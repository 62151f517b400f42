# SPDX-License-Identifier: Apache-2.0
"""MLflow behind the door, on the wire: what callers and MLflow do to a connection halfway."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from aiohttp import web
from services.gateway.tests.conftest import BEARER, House, Replica

from mlops.chassis.health import HealthServer
from mlops.gateway.adapters.aiohttp_upstream import AiohttpUpstream
from mlops.gateway.ports import LostReplicaError

PIECE = b"x" * 65_536


@pytest.fixture
async def wire(house: House) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of the gateway on a real port."""
    door = HealthServer("127.0.0.1", 0, {}, house.gateway.app)
    await door.start()
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{door.port}", headers=BEARER, timeout=10
    ) as client:
        yield client
    await door.stop()


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body_end(
    house: House, wire: httpx.AsyncClient, status: int
) -> None:
    async def empty(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, headers={"ETag": "x"})

    house.mlflow.answers.extend([empty, empty])

    first = await wire.get("/mlflow/static-files/a.js")
    second = await wire.get("/mlflow/static-files/a.js")

    assert (first.status_code, second.status_code, first.content) == (status, status, b"")
    assert first.headers["etag"] == "x"


async def test_head_tells_the_length_and_sends_nothing(
    house: House, wire: httpx.AsyncClient
) -> None:
    async def large(_: web.Request) -> web.StreamResponse:
        return web.Response(body=PIECE)

    house.mlflow.answers.append(large)

    answer = await wire.head("/mlflow/get-artifact?path=a")
    after = await wire.get("/mlflow/version")

    assert (answer.status_code, answer.headers["content-length"]) == (200, "65536")
    assert (answer.content, after.status_code) == (b"", 200)


async def test_a_caller_that_leaves_a_download_frees_mlflow(
    house: House, wire: httpx.AsyncClient
) -> None:
    left = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(PIECE)
                await asyncio.sleep(0)
        except ConnectionError:
            left.set()
        return response

    house.mlflow.answers.append(endless)

    async with wire.stream("GET", "/mlflow/get-artifact?path=a") as answer:
        await anext(answer.aiter_bytes())

    async with asyncio.timeout(30):
        await left.wait()


async def test_a_caller_that_leaves_an_upload_is_no_end_of_it(
    house: House, wire: httpx.AsyncClient
) -> None:
    whole: list[bool] = []
    over = asyncio.Event()

    async def takes(request: web.Request) -> web.StreamResponse:
        try:
            await request.read()
            whole.append(True)
        finally:
            over.set()
        return web.Response()

    house.mlflow.answers.append(takes)

    async def halfway() -> AsyncIterator[bytes]:
        yield PIECE
        await asyncio.sleep(0.2)
        raise ValueError("given up")

    with pytest.raises(ValueError, match="given up"):
        await wire.put("/mlflow/api/2.0/mlflow-artifacts/artifacts/a", content=halfway())
    async with asyncio.timeout(30):
        await over.wait()

    assert whole == []


async def test_an_answer_that_begins_before_the_upload_ends_loses_nothing_of_it(
    house: House, wire: httpx.AsyncClient
) -> None:
    size = 8 * 1024 * 1024
    got = 0

    async def eager(request: web.Request) -> web.StreamResponse:
        nonlocal got
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"well ")
        async for piece in request.content.iter_chunked(256 * 1024):
            got += len(piece)
            await asyncio.sleep(0.02)  # slower than the caller sends
        await response.write(b"done")
        return response

    house.mlflow.answers.append(eager)

    async def all_at_once() -> AsyncIterator[bytes]:
        for _ in range(size // len(PIECE)):
            yield PIECE

    answer = await wire.put("/mlflow/api/2.0/mlflow-artifacts/artifacts/a", content=all_at_once())

    assert (answer.content, got) == (b"well done", size)


async def test_an_upload_may_take_longer_than_mlflow_may_be_quiet(
    house: House, wire: httpx.AsyncClient
) -> None:
    async def echo(request: web.Request) -> web.StreamResponse:
        return web.Response(text=str(len(await request.read())))

    house.mlflow.answers.append(echo)

    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield PIECE
            await asyncio.sleep(0.4)

    answer = await wire.put("/mlflow/api/2.0/mlflow-artifacts/artifacts/a", content=slowly())

    assert answer.text == str(4 * len(PIECE))


async def test_who_finds_all_connections_taken_is_told_so_soon() -> None:
    mlflow = Replica(0)
    await mlflow.start()
    upstream = AiohttpUpstream(
        mlflow.url, timedelta(seconds=30), connect=timedelta(seconds=0.2), connections=1
    )

    async def held(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await asyncio.sleep(2)
        return response

    mlflow.answers.append(held)

    async with asyncio.timeout(30), upstream.open("GET", "/a", [], None):
        with pytest.raises(LostReplicaError, match=r"no connection within 0\.2 s"):
            async with upstream.open("GET", "/b", [], None):
                raise AssertionError("there is one connection only")

    await upstream.close()
    await mlflow.stop()
