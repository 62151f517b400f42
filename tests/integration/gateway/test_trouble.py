# SPDX-License-Identifier: Apache-2.0
"""Callers who send too much, too slowly, or nothing at all: a real gateway stays small, and serves the others."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from integration.gateway.conftest import Platform, Server
from mlops.chassis.bus_nats import NatsBus

pytestmark = pytest.mark.server

MIB = 1024 * 1024
PATH = "/v2/models/rain/infer"
ROW = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
BESIDE = "/models/rainfall/rain/predict"


@pytest.fixture
def gateway(nats_server: Server, tmp_path: Path) -> Iterator[Platform]:
    """A gateway on a bus, without any other service."""
    home = tmp_path / "home"
    home.mkdir()
    found = Platform(nats_server, home)
    found.start_gateway()
    yield found
    found.stop()


@pytest.fixture
async def door(gateway: Platform, bus: NatsBus) -> AsyncIterator[Platform]:
    """A gateway that sends requests to a replica, which counts the bytes of each and streams words."""

    async def counts(request: web.Request) -> web.StreamResponse:
        size = 0
        async for piece in request.content.iter_any():
            size += len(piece)
        await asyncio.sleep(0.05)
        return web.json_response({"outputs": [], "bytes": size})

    async def talks(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        for word in range(3):
            await answer.write(f"data: {word}\n\n".encode())
            await asyncio.sleep(0.3)
        return answer

    app = web.Application(client_max_size=64 * MIB)
    app.router.add_post("/v1/chat/completions", talks)
    app.router.add_route("*", "/{path:.*}", counts)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    async def routes(_: Mapping[str, Any]) -> dict[str, Any]:
        versions = [{"version": 1, "url": url, "weight": 1.0}]
        return {"routes": [{"project": "rainfall", "model": "rain", "versions": versions}]}

    bus.answer("serving", "routes", routes)
    await bus.start()
    async with caller(gateway) as session:
        await until_served(session)
    yield gateway
    await runner.cleanup()


def caller(platform: Platform, **more: Any) -> aiohttp.ClientSession:
    headers = {"Authorization": f"Bearer {platform.token}"}
    connector = aiohttp.TCPConnector(limit=0)
    return aiohttp.ClientSession(platform.url, headers=headers, connector=connector, **more)


async def until_served(session: aiohttp.ClientSession) -> None:
    async with asyncio.timeout(45):
        while True:
            async with session.post(PATH, json=ROW) as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.05)


async def served(session: aiohttp.ClientSession, requests: int = 20) -> set[int]:
    found = set()
    for _ in range(requests):
        async with session.post(PATH, json=ROW) as answer:
            found.add(answer.status)
    return found


def resident(platform: Platform) -> int:
    status = Path(f"/proc/{platform.processes['gateway'].pid}/status").read_text()
    return 1024 * int(status.split("VmRSS:")[1].split()[0])


def peak(platform: Platform) -> int:
    status = Path(f"/proc/{platform.processes['gateway'].pid}/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])


async def talk(platform: Platform, *parts: bytes) -> bytes:
    """Write raw bytes, and return what comes until the gateway closes or a second passes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", platform.port)
    coming = asyncio.create_task(reader.read(65536))
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
        async with asyncio.timeout(5):
            return await coming
    except ConnectionError:
        return await coming
    finally:
        writer.close()


def head(platform: Platform, *lines: str) -> bytes:
    said = [f"POST {PATH} HTTP/1.1", "Host: x", f"Authorization: Bearer {platform.token}", *lines]
    return ("\r\n".join(said) + "\r\n\r\n").encode()


async def test_a_gigabyte_is_refused_before_it_is_read(door: Platform) -> None:
    before = peak(door)

    found = await talk(door, head(door, f"Content-Length: {1024 * MIB}"))

    assert found.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in found.lower()
    assert peak(door) - before < 8 * MIB


async def test_a_gigabyte_in_pieces_is_cut_off_at_the_bound(door: Platform) -> None:
    before = peak(door)
    sent = []

    async def gigabyte() -> AsyncIterator[bytes]:
        for _ in range(1024):
            sent.append(1)
            yield bytes(MIB)

    async with caller(door) as session:
        try:
            async with session.post(PATH, data=gigabyte()) as answer:
                assert answer.status == 413
        except aiohttp.ClientError:  # the gateway hung up while it was still being written to
            pass
        after = await served(session)

    assert len(sent) < 200
    assert after == {200}
    assert peak(door) - before < 100 * MIB


async def test_many_large_bodies_at_once_stay_within_the_bound(door: Platform) -> None:
    before = peak(door)
    body = bytes(15 * MIB)

    async def send(session: aiohttp.ClientSession) -> int:
        try:
            async with session.post(BESIDE, data=body_of(body)) as answer:
                return answer.status
        except aiohttp.ClientError:
            return 0

    async with caller(door) as session:
        found = await asyncio.gather(*(send(session) for _ in range(60)))
        after = await served(session)

    assert 200 in found
    assert 429 in found
    assert set(found) <= {0, 200, 429}
    assert after == {200}
    assert peak(door) - before < 256 * MIB * 1.5 + 64 * MIB


def body_of(body: bytes) -> aiohttp.Payload:
    """Return a body that tells its length, sent piece by piece."""
    import io  # noqa: PLC0415 - only here

    return aiohttp.payload.BytesIOPayload(io.BytesIO(body))


async def test_truncated_bodies_leave_nothing_behind(door: Platform) -> None:
    part = b'{"inputs": [' + b"1" * 1000

    for _ in range(50):
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(head(door, f"Content-Length: {10 * MIB}") + part)
        await writer.drain()
        writer.close()
        del reader
    async with caller(door) as session:
        large = json.dumps({**ROW, "parameters": {"note": "x" * 12 * MIB}}).encode()
        async with session.post(PATH, data=body_of(large)) as answer:
            status = answer.status
        after = await served(session)

    assert status == 200
    assert after == {200}


BOMBS = (
    (b"GET / HTTP/1.1\r\nX: " + b"a" * 4 * MIB, b"431"),
    (b"GET /" + b"a" * 300_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"431"),
    (b"GET / HTTP/1.1\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(50_000)), b"431"),
    (b"no HTTP at all\r\n\r\n", b"400"),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"400"),
)


async def test_heads_that_are_bombs_or_no_heads_are_refused(door: Platform) -> None:
    before = peak(door)

    found = [(await talk(door, bomb))[9:12] for bomb, _ in BOMBS]
    async with caller(door) as session:
        after = await served(session)

    assert found == [status for _, status in BOMBS]
    assert after == {200}
    assert peak(door) - before < 16 * MIB


async def test_slow_callers_hold_up_nobody(door: Platform) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(600):
            _, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(head(door, "Content-Length: 100000") + b" ")
            stack.callback(writer.close)
        session = await stack.enter_async_context(caller(door))
        began = time.monotonic()
        found = await served(session)

    assert found == {200}
    assert time.monotonic() - began < 20


async def test_ten_thousand_idle_connections_hold_up_nobody(door: Platform) -> None:
    allowed = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    count = min(10_000, allowed - 1000)
    before = resident(door)
    idle: list[socket.socket] = []
    try:
        for number in range(count):
            one = socket.create_connection(("127.0.0.1", door.port), timeout=10)
            idle.append(one)
            if number % 100 == 0:
                await asyncio.sleep(0)
        async with caller(door) as session:
            found = await served(session)
        grown = resident(door) - before
    finally:
        for one in idle:
            one.close()

    assert count >= 1000, f"only {allowed} files may be open here"
    assert found == {200}
    assert grown < 300 * MIB


async def test_events_of_a_chat_come_one_by_one(door: Platform) -> None:
    async with (
        caller(door) as session,
        session.post("/models/rainfall/rain/v1/chat/completions", json={}) as answer,
    ):
        came = [time.monotonic() async for _ in answer.content.iter_any()]

    assert answer.headers["Content-Type"] == "text/event-stream"
    assert len(came) >= 3
    assert came[-1] - came[0] > 0.3


async def test_wrong_methods_are_refused(door: Platform) -> None:
    methods = ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW")

    async with caller(door) as session:
        found = [(await session.request(method, PATH)).status for method in methods]

    assert found == [405] * 5 + [400]
