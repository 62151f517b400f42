# SPDX-License-Identifier: Apache-2.0
"""The ingress of a replica: one look-up finds the route, the token is judged, the body read, the protocol asked.

A plain ASGI application: a replica has one model of one version, so every path is known when it starts, and nothing
has to be matched, injected or validated on the way to the model.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import aclosing
from typing import Any

import structlog

from mlops.serving.adapters.bodies import Bodies, LeftError
from mlops.serving.adapters.counters import Counters
from mlops.serving.adapters.doorkeeper import Doorkeeper
from mlops.serving.adapters.replies import (
    RefusedError,
    Reply,
    Request,
    Route,
    Routes,
    plain_error,
)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Missing = Callable[[str], str]

_NOT_FOUND, _NOT_ALLOWED, _SHED, _FAILED, _NO_ROOM = 404, 405, 429, 500, 507


class Ingress:
    """Answers *routes*; *missing* says why a path has none."""

    def __init__(
        self,
        routes: Routes,
        missing: Missing,
        doorkeeper: Doorkeeper,
        bodies: Bodies,
        counters: Counters,
    ) -> None:
        self._routes = {**routes, **_heads(routes)}
        self._missing = missing
        self._doorkeeper = doorkeeper
        self._bodies = bodies
        self._counters = counters
        self._log = structlog.get_logger("ingress")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI wants it."""
        if scope["type"] != "http":
            await _decline(scope, receive, send)
            return
        path = scope["path"][len(scope.get("root_path", "")) :]
        route = self._routes.get((scope["method"], path))
        try:
            if route is None:
                reply = self._unknown(scope["method"], path)
            else:
                reply = await self._answer(route, scope, path, receive)
        except LeftError:
            return
        await _send(reply, send)

    async def _answer(self, route: Route, scope: Scope, path: str, receive: Receive) -> Reply:
        try:
            headers = dict(scope["headers"])
            if route.needs:
                self._doorkeeper.check(headers.get(b"authorization"), route.needs)
            body = b""
            if scope["method"] == "POST":
                body = await self._bodies.read(headers, receive)
        except RefusedError as error:
            if route.counted and error.status == _SHED:
                self._counters.count(_SHED, 0)
            return _refusal(route, error)
        except MemoryError:
            return _refusal(route, RefusedError(_NO_ROOM, "no memory for the body; send less"))
        began = time.perf_counter()
        try:
            reply = await self._asked(route, Request(scope["method"], path, headers, body))
        finally:
            self._bodies.release(body)
        if route.counted:
            self._counters.count(reply.status, (time.perf_counter() - began) * 1000)
        return reply

    async def _asked(self, route: Route, request: Request) -> Reply:
        try:
            return await route.call(request)
        except RefusedError as error:
            return _refusal(route, error)
        except MemoryError:
            reason = "no memory for this request; send fewer rows at once, or raise memory_gb"
            return _refusal(route, RefusedError(_NO_ROOM, reason))
        except Exception as error:  # noqa: BLE001 - whatever it is, this caller is told and the others served on
            self._log.exception("request.failed", path=request.path)
            reason = f"an error of the platform: {type(error).__name__}; its log tells more"
            return _refusal(route, RefusedError(_FAILED, reason))

    def _unknown(self, method: str, path: str) -> Reply:
        allowed = sorted(one for one, known in self._routes if known == path)
        if not allowed:
            return Reply(plain_error(_NOT_FOUND, self._missing(path)), _NOT_FOUND)
        names = ", ".join(allowed)
        reason = f"{path} takes {names}, not {method}"
        return Reply(
            plain_error(_NOT_ALLOWED, reason), _NOT_ALLOWED, headers=((b"allow", names.encode()),)
        )


def _heads(routes: Routes) -> Routes:
    return {("HEAD", path): route for (method, path), route in routes.items() if method == "GET"}


def _refusal(route: Route, error: RefusedError) -> Reply:
    return Reply(route.shape(error.status, error.reason), error.status, headers=error.headers)


async def _send(reply: Reply, send: Send) -> None:
    headers = [(b"content-type", reply.media_type), *reply.headers]
    if reply.pieces is None:
        headers.append((b"content-length", str(len(reply.body)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    if reply.pieces is not None:
        async with aclosing(reply.pieces) as pieces:
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": reply.body, "more_body": False})


async def _decline(scope: Scope, receive: Receive, send: Send) -> None:
    """Take part in the server's start and stop; nothing else but HTTP is spoken."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1000})
        return
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
