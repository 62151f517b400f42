# SPDX-License-Identifier: Apache-2.0
"""Gates: ask a component whether it is ready; small enough for the supervisor to need no HTTP library."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

from mlops.cli.supervisor.component import Gate

_ANSWER_S = 5.0
_MOST_BYTES = 64 * 1024
_LEAST_FAILURE = 400


async def closed_because(gate: Gate) -> str:
    """Return why the gate is still closed; empty when it is open."""
    if gate.file is not None:
        return "" if gate.file.exists() else f"{gate.file} is not there yet"
    try:
        async with asyncio.timeout(_ANSWER_S):
            return await _http(gate.url, gate.field)
    except TimeoutError:
        return f"no answer within {_ANSWER_S:g} s from {gate.url}"
    except (OSError, ValueError) as error:
        return f"{gate.url}: {error}"


async def _http(url: str, field: str) -> str:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        answer = await _until_closed(reader)
    finally:
        writer.close()
    head, _, body = answer.decode(errors="replace").partition("\r\n\r\n")
    status = _status(head)
    if not 0 < status < _LEAST_FAILURE:
        return f"{url} answers {status} {body[:300]}".strip()
    return unhealthy(body, field) if field else ""


def unhealthy(body: str, field: str) -> str:
    """Return what a JSON answer says at *field* (dotted), unless it is `healthy`."""
    try:
        found = json.loads(body[body.index("{") : body.rindex("}") + 1])
    except ValueError:
        return f"no JSON: {body[:300]}"
    for name in field.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return "" if found == "healthy" else f"{field} is {found}"


async def _until_closed(reader: asyncio.StreamReader) -> bytes:
    answer = b""
    while len(answer) < _MOST_BYTES and (more := await reader.read(_MOST_BYTES)):
        answer += more
    return answer


def _status(head: str) -> int:
    words = head.split(maxsplit=2)
    return int(words[1]) if len(words) > 1 and words[1].isdigit() else 0
