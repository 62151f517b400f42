# SPDX-License-Identifier: Apache-2.0
"""/healthz: the process lives. /readyz: it can do its work. /metrics: what it has done."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from mlops.chassis import metrics
from mlops.chassis.connections import BoundedConnection
from mlops.chassis.lean import without

with without("watchfiles"):
    import uvicorn

_OWN = ("/healthz", "/readyz", "/metrics")

Check = Callable[[], Awaitable[str | None]]
Asgi = Callable[
    [
        MutableMapping[str, Any],
        Callable[[], Awaitable[MutableMapping[str, Any]]],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ],
    Awaitable[None],
]


class HealthServer:
    """The HTTP door of a service; *app* answers what is not about health."""

    def __init__(
        self, host: str, port: int, checks: dict[str, Check], app: Asgi | None = None
    ) -> None:
        self._checks = checks
        own = Starlette(routes=[Route(path, self._own(path)) for path in _OWN])
        config = uvicorn.Config(
            own if app is None else _Either(own, app),
            http=BoundedConnection,
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=5,
        )
        self._server = _QuietServer(config)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._address = (host, port)
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """Return the port it listens on."""
        return int(self._socket.getsockname()[1])

    async def start(self) -> None:
        """Listen; raises OSError when the port is taken."""
        self._socket.bind(self._address)
        self._task = asyncio.create_task(self._server.serve([self._socket]), name="http")

    async def stop(self) -> None:
        """Finish open requests, then close."""
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.wait([self._task], timeout=8)
            self._task.cancel()
        with contextlib.suppress(OSError):
            self._socket.close()

    def _own(self, path: str) -> Callable[[Request], Awaitable[Response]]:
        return {"/healthz": _alive, "/readyz": self._ready, "/metrics": _metrics}[path]

    async def _ready(self, _: Request) -> Response:
        found = {name: await check() for name, check in self._checks.items()}
        status = 200 if all(reason is None for reason in found.values()) else 503
        return JSONResponse({name: reason or "ok" for name, reason in found.items()}, status)


class _Either:
    """Answers what is about health itself; all the rest goes straight to the application."""

    def __init__(self, own: Asgi, app: Asgi) -> None:
        self._own = own
        self._app = app

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[MutableMapping[str, Any]]],
        send: Callable[[MutableMapping[str, Any]], Awaitable[None]],
    ) -> None:
        await (self._own if scope.get("path") in _OWN else self._app)(scope, receive, send)


class _QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


async def _alive(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _metrics(_: Request) -> Response:
    return Response(metrics.exposition(), media_type="text/plain; version=0.0.4")
