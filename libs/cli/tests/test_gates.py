# SPDX-License-Identifier: Apache-2.0
"""A gate opens only for the right answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mlops.cli.supervisor import gates, ports
from mlops.cli.supervisor.component import Gate


@asynccontextmanager
async def answering(status: int, body: str) -> AsyncIterator[str]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write((head + body).encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/health"


@pytest.mark.parametrize(
    ("status", "body", "field", "judge"),
    [
        (200, "ok", "", lambda why: why == ""),
        (
            503,
            '{"bus": "not yet connected"}',
            "",
            lambda why: "503" in why and "not yet connected" in why,
        ),
        (200, '{"scheduler": {"status": "healthy"}}', "scheduler.status", lambda why: why == ""),
        (
            200,
            '{"scheduler": {"status": null}}',
            "scheduler.status",
            lambda why: "scheduler.status is None" in why,
        ),
        (200, "<html>", "scheduler.status", lambda why: "no JSON" in why),
    ],
)
async def test_the_answer_decides(
    status: int, body: str, field: str, judge: Callable[[str], bool]
) -> None:
    async with answering(status, body) as url:
        why = await gates.closed_because(Gate(url=url, field=field))

    assert judge(why), why


async def test_nobody_there_is_closed_with_the_address() -> None:
    url = f"http://127.0.0.1:{ports.any_free()}/health"

    assert url in await gates.closed_because(Gate(url=url))


async def test_a_file_opens_when_it_is_there(tmp_path: Path) -> None:
    gate = Gate(file=tmp_path / "ready")
    before = await gates.closed_because(gate)
    (tmp_path / "ready").touch()

    assert "not there yet" in before
    assert await gates.closed_because(gate) == ""
