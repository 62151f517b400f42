# SPDX-License-Identifier: Apache-2.0
"""Inside: HTTP requests to the gateway's own application, without a socket: the same door, routing, retries and counts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import structlog

_PASSED = ("authorization", "x-request-id", "traceparent", "tracestate")

Event = MutableMapping[str, Any]
Asgi = Callable[
    [Event, Callable[[], Awaitable[Event]], Callable[[Event], Awaitable[None]]], Awaitable[None]
]


@dataclass(frozen=True)
class Call:
    """One HTTP request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Reply:
    """What came back; names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Inside:
    """Asks the application as a caller would; *app* is the one that is served over HTTP."""

    def __init__(self, app: Asgi) -> None:
        self._app = app
        self._log = structlog.get_logger("grpc")

    async def send(self, call: Call, metadata: Mapping[str, str]) -> Reply:
        """Return the answer to a call whose caller sent this metadata."""
        exchange = _Exchange(call.body)
        try:
            await self._app(_scope(call, metadata), exchange.receive, exchange.send)
        except Exception:  # noqa: BLE001 - as every server: what it answered before counts, else it is a 500
            self._log.exception("call.failed", path=call.path)
        return exchange.reply()


class _Exchange:
    def __init__(self, body: bytes) -> None:
        self._body: bytes | None = body
        self._status = 500
        self._headers: dict[str, str] = {}
        self._pieces: list[bytes] = []

    async def receive(self) -> Event:
        if self._body is None:
            await (
                asyncio.Event().wait()
            )  # nothing more comes; a caller who leaves cancels the whole call
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, event: Event) -> None:
        if event["type"] == "http.response.start":
            self._status = event["status"]
            pairs = event.get("headers", ())
            self._headers = {name.decode().lower(): value.decode() for name, value in pairs}
        elif event["type"] == "http.response.body":
            self._pieces.append(event.get("body", b""))

    def reply(self) -> Reply:
        return Reply(self._status, self._headers, b"".join(self._pieces))


def _scope(call: Call, metadata: Mapping[str, str]) -> Event:
    passed = {name: metadata[name] for name in _PASSED if name in metadata}
    headers = {"host": "grpc", "content-length": str(len(call.body)), **passed, **call.headers}
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": call.method,
        "scheme": "http",
        "path": call.path,
        "raw_path": quote(call.path).encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        "client": ("grpc", 0),
        "server": ("grpc", 0),
    }
