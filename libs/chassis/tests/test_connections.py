# SPDX-License-Identifier: Apache-2.0
"""A service's connections: heads are bounded, files are as many as allowed, and others are served meanwhile."""

from __future__ import annotations

import asyncio
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any

import pytest

from mlops.chassis.connections import HEAD_BYTES, raise_file_limit
from mlops.chassis.health import HealthServer

GOOD = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"


async def _hello(
    scope: MutableMapping[str, Any],
    _: Callable[[], Awaitable[MutableMapping[str, Any]]],
    send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(scope["path"]).encode()})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    server = HealthServer("127.0.0.1", 0, {}, _hello)
    await server.start()
    yield server.port
    await server.stop()


async def said(port: int, content: bytes, until: bytes) -> bytes:
    """Send bytes; return what comes up to *until*."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(content)
    try:
        async with asyncio.timeout(30):
            return await reader.readuntil(until)
    finally:
        writer.close()


async def test_health_is_answered_beside_the_application(port: int) -> None:
    own = await said(port, GOOD, b"}")
    app = await said(port, b"GET /else HTTP/1.1\r\nHost: x\r\n\r\n", b"/else")

    assert b'{"status":"ok"}' in own
    assert app.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nX: " + b"a" * 2 * HEAD_BYTES,
        b"GET /" + b"a" * 2 * HEAD_BYTES,
        b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * HEAD_BYTES,
    ],
)
async def test_a_head_that_does_not_end_is_refused(port: int, head: bytes) -> None:
    found = await said(port, head, b"too large\n")

    assert found.startswith(b"HTTP/1.1 431 ")


async def test_a_long_body_is_no_long_head(port: int) -> None:
    size = 4 * HEAD_BYTES
    told = f"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n".encode()

    found = await said(port, told + b"x" * size, b"/body")

    assert found.startswith(b"HTTP/1.1 200")


async def test_many_requests_on_one_connection_are_not_one_long_head(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    padded = GOOD.replace(b"Host: x", b"Host: x\r\nX: " + b"a" * 30_000)

    async with asyncio.timeout(10):
        answers = []
        for _ in range(4):
            writer.write(padded)
            answers.append(await reader.readuntil(b"}"))
    writer.close()

    assert all(answer.startswith(b"HTTP/1.1 200") for answer in answers)


def test_files_are_raised_to_what_is_allowed() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)

    found = raise_file_limit()

    assert found >= before[0]
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (found, before[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
