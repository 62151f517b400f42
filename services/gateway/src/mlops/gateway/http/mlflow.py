# SPDX-License-Identifier: Apache-2.0
"""MLflow behind the door: its interface and its API under `/mlflow`, for its own clients and for browsers.

Bodies pass through in pieces, of any size. Whoever shows the token may do everything; a browser with the page's
cookie may look.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import structlog
from starlette.requests import Request
from starlette.responses import RedirectResponse, StreamingResponse
from starlette.routing import BaseRoute
from starlette.routing import Route as HttpRoute
from starlette.types import Message, Receive, Scope, Send

from mlops.gateway.errors import CallerError
from mlops.gateway.http.answers import body_of, pieces_of
from mlops.gateway.http.door import is_visitor
from mlops.gateway.model.mlflow_paths import (
    GRAPHQL,
    PREFIX,
    may_run,
    offered,
    only_queries,
    only_reads,
    passed_in,
    passed_out,
)
from mlops.gateway.ports import LostReplicaError, SlowReplicaError, Streamed, Upstream

_MOST_QUERY_BYTES = 1024 * 1024
_RETRY_AFTER_S = 2


class Mlflow:
    """An ASGI application that passes requests on to MLflow."""

    def __init__(self, upstream: Upstream | None) -> None:
        self._upstream = upstream
        self._log = structlog.get_logger("mlflow")

    def http_routes(self) -> list[BaseRoute]:
        """Return its paths."""
        return [HttpRoute(PREFIX, _with_slash), HttpRoute(f"{PREFIX}/{{path:path}}", self)]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, and the answer back."""
        request = Request(scope, receive)
        path = str(scope["path"]).removeprefix(PREFIX)
        if self._upstream is None:
            raise _unknown_address()
        target = _target(scope)
        body = _Body(await _checked(request, path))
        answering = _Answering(send)
        try:
            async with self._upstream.open(
                request.method, target, _headers(request), body.pieces
            ) as streamed:
                answer = _answer(streamed, path, self._upstream.url)
                await answer(scope, body.heard(receive), answering)
        except (LostReplicaError, SlowReplicaError) as error:
            if not answering.begun:
                raise _failed(error) from error
            # The rest cannot come: without its end the answer is broken for the caller, as it should be.
            self._log.warning("mlflow.cut_off", path=path, reason=str(error))


class _Answering:
    """Knows whether an answer was begun; then no other can take its place."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False

    async def __call__(self, message: Message) -> None:
        self.begun = True
        await self._send(message)


class _Body:
    """What a caller sends; while it comes nobody else may listen to the caller, or would take a part of it."""

    def __init__(self, pieces: AsyncIterator[bytes] | None) -> None:
        self._over = asyncio.Event()
        self.pieces = None if pieces is None else self._passed(pieces)
        if pieces is None:
            self._over.set()

    def heard(self, receive: Receive) -> Receive:
        """Return how to hear from the caller once the body is over."""

        async def after_the_body() -> Message:
            await self._over.wait()
            return await receive()

        return after_the_body

    async def _passed(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for piece in pieces:
                yield piece
        finally:
            self._over.set()


async def _checked(request: Request, path: str) -> AsyncIterator[bytes] | None:
    """Return the body that may be passed on; CallerError for what this caller may not do."""
    if not offered(path):
        raise CallerError(
            403,
            "this part of MLflow is for its own machine only",
            path,
            "it is not offered behind the gateway",
        )
    if not is_visitor(request):
        return _stream(request)
    if not only_reads(request.method, path):
        raise _only_looking(request, path)
    if path != GRAPHQL:
        return _stream(request)
    body = await body_of(request, _MOST_QUERY_BYTES)
    if not only_queries(body):
        raise _only_looking(request, path)
    return _again(body)


def _stream(request: Request) -> AsyncIterator[bytes] | None:
    if "content-length" not in request.headers and "transfer-encoding" not in request.headers:
        return None
    return _body(request)


async def _body(request: Request) -> AsyncIterator[bytes]:
    try:
        async for piece in pieces_of(request):
            if piece:
                yield piece
    except CallerError as error:
        raise ConnectionResetError(str(error)) from error


async def _again(body: bytes) -> AsyncIterator[bytes]:
    yield body


def _target(scope: Scope) -> str:
    """Return the address on the wire: MLflow must read the same path as was checked here."""
    path = bytes(scope["raw_path"]).decode("ascii", "replace")
    if not path.startswith(f"{PREFIX}/"):
        raise CallerError(404, "no such path", path, f"write {PREFIX}/ as it is")
    query = bytes(scope["query_string"]).decode("ascii", "replace")
    target = f"{path}?{query}" if query else path
    return target.removeprefix(PREFIX).replace("#", "%23")


def _headers(request: Request) -> list[tuple[str, str]]:
    given = (
        (name.decode("latin-1"), value.decode(errors="replace"))
        for name, value in request.headers.raw
    )
    return passed_in(given)


def _answer(streamed: Streamed, path: str, upstream: str) -> StreamingResponse:
    answer = StreamingResponse(streamed.pieces, streamed.status)
    headers = passed_out(streamed.headers, upstream)
    if not may_run(path):
        headers.append(("content-security-policy", "sandbox"))
    answer.raw_headers = [
        (name.encode("latin-1"), value.encode(errors="surrogateescape")) for name, value in headers
    ]
    return answer


async def _with_slash(_: Request) -> RedirectResponse:
    # Its interface names its files relatively.
    return RedirectResponse(f"{PREFIX}/", 308)


def _only_looking(request: Request, path: str) -> CallerError:
    return CallerError(
        403,
        "this browser may look but not change anything",
        f"{request.method} {path}",
        "change it with an MLflow client that shows the token: set MLFLOW_TRACKING_TOKEN",
    )


def _unknown_address() -> CallerError:
    return CallerError(
        503,
        "the gateway does not know where MLflow is",
        "GATEWAY_MLFLOW_URL",
        "start the platform with `mlops up`, or set GATEWAY_MLFLOW_URL",
    )


def _failed(error: LostReplicaError | SlowReplicaError) -> CallerError:
    if isinstance(error, SlowReplicaError):
        return CallerError(
            504,
            "MLflow took too long",
            str(error),
            "ask for less at once, or raise GATEWAY_MLFLOW_TIMEOUT_S",
        )
    return CallerError(
        502,
        "MLflow does not answer",
        str(error),
        "see `mlops status` and `mlops logs tracking`; it may be sent again",
        retry_after_s=_RETRY_AFTER_S,
    )
