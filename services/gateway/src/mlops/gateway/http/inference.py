# SPDX-License-Identifier: Apache-2.0
"""The Open Inference Protocol (V2) for every model of every project: `/v2/models/{model}/infer` and its family."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as HttpRoute

from mlops.gateway.errors import CallerError
from mlops.gateway.http.answers import body_of, json_answer, request_id, trace_of
from mlops.gateway.http.dispatch import Answered, Asked, Dispatcher, not_ready
from mlops.gateway.model.routing import Route
from mlops.gateway.ports import Memory, Meter, Routes

_CHECKED_BYTES = (
    256 * 1024
)  # beyond this, parsing here would hold up other callers; the replica parses anyway
_BINARY = "inference-header-content-length"
_PASSED_IN = ("content-type", "content-encoding", "accept", "tracestate", _BINARY)
_PASSED_OUT = ("content-type", "content-encoding", "retry-after", _BINARY)


class Inference:
    """Answers `/v2`; bytes pass through, only their shape is looked at."""

    def __init__(
        self, routes: Routes, dispatcher: Dispatcher, memory: Memory, meter: Meter, most_bytes: int
    ) -> None:
        self._routes = routes
        self._dispatcher = dispatcher
        self._memory = memory
        self._meter = meter
        self._most_bytes = most_bytes

    def http_routes(self) -> list[HttpRoute]:
        """Return what it answers; plain routes, because nothing stands between a caller and a replica."""
        one, pinned = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
        return [
            HttpRoute("/v2", self.server),
            HttpRoute("/v2/health/live", self.live),
            HttpRoute("/v2/health/ready", self.ready),
            HttpRoute("/v2/repository/index", self.index, methods=["POST"]),
            *(HttpRoute(f"{base}/infer", self.infer, methods=["POST"]) for base in (one, pinned)),
            *(HttpRoute(f"{base}/ready", self.model_ready) for base in (one, pinned)),
            *(HttpRoute(base, self.metadata) for base in (one, pinned)),
        ]

    async def infer(self, request: Request) -> Response:
        """Send a request to a version of the model."""
        began = time.perf_counter()
        route = self._route(request)
        version, outcome = "", "failed"
        try:
            body = await body_of(request, self._most_bytes)
            _check(request, body)
            answered = await self._send(request, route, "/infer", body, counts=True)
            version = str(answered.version)
            outcome = "ok" if answered.reply.status < 400 else "rejected"  # noqa: PLR2004 - HTTP
        except CallerError as error:
            outcome = "rejected" if error.status < 500 else "failed"  # noqa: PLR2004 - HTTP
            raise
        finally:
            self._meter.count(route.project, route.model, version, outcome)
            duration_s = time.perf_counter() - began
            self._meter.took(route.project, route.model, version, duration_s)
        return _response(request, answered)

    async def metadata(self, request: Request) -> Response:
        """Return what a model takes and gives, as its replica says."""
        route = self._route(request)
        answered = await self._send(request, route, "", b"", counts=False)
        return _response(request, answered)

    async def model_ready(self, request: Request) -> Response:
        """Say whether a model can be asked."""
        route = self._route(request)
        answered = await self._send(request, route, "/ready", b"", counts=False)
        return _response(request, answered)

    async def server(self, _: Request) -> Response:
        """Return what this server is."""
        return json_answer({"name": "mlops-gateway", "version": "0.1.0", "extensions": []})

    async def live(self, _: Request) -> Response:
        """Say that the process lives."""
        return json_answer({"live": True})

    async def ready(self, _: Request) -> Response:
        """Say whether requests can be routed."""
        known = self._routes.table.known
        return json_answer({"ready": known}, 200 if known else 503)

    async def index(self, _: Request) -> Response:
        """List every version of every model, as the repository extension does."""
        table = self._routes.table
        found = [
            {
                "name": route.model if len(table.find(route.model)) == 1 else route.name,
                "version": str(target.version),
                "state": "READY",
                "reason": f"{target.weight:.0%} of the traffic",
            }
            for route in table.routes.values()
            for target in route.targets
        ]
        return json_answer(found)

    def _route(self, request: Request) -> Route:
        name = str(request.path_params["model"])
        found = self._routes.table.find(name)
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(sorted(route.name for route in found))
            raise CallerError(409, "several projects have this model", name, f"ask for {names}")
        if not self._routes.table.known or self._memory.world.being_deployed(name):
            raise not_ready(name)
        known = ", ".join(self._routes.table.names()) or "none yet"
        raise CallerError(404, "no such model", name, f"ask for one of: {known}")

    async def _send(
        self, request: Request, route: Route, suffix: str, body: bytes, *, counts: bool
    ) -> Answered:
        pinned = _pinned(request, route)
        headers = _passed_in(request)
        asked = Asked(route, pinned, request.method, suffix, body, headers, counts)
        return await self._dispatcher.send(asked)


def _pinned(request: Request, route: Route) -> int | None:
    text = request.path_params.get("version")
    if text is None:
        return None
    running = {str(target.version): target.version for target in route.targets}
    if text not in running:
        raise CallerError(
            404,
            "this version does not run",
            f"{route.name} version {text[:40]}",
            f"running: {', '.join(running) or 'none'}",
        )
    return running[text]


def _check(request: Request, body: bytes) -> None:
    """Refuse what can never be a V2 request, so that no replica has to."""
    if _BINARY in request.headers or "content-encoding" in request.headers:
        return
    if len(body) > _CHECKED_BYTES:
        return
    fix = 'send {"inputs": [{"name", "shape", "datatype", "data"}, …]}'
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise CallerError(400, "the body is not JSON", str(error), fix) from error
    inputs = found.get("inputs") if isinstance(found, dict) else None
    if not isinstance(inputs, list) or not inputs:
        raise CallerError(400, "the request has no inputs", "inputs", fix)


def _passed_in(request: Request) -> Mapping[str, str]:
    headers = {name: request.headers[name] for name in _PASSED_IN if name in request.headers}
    headers["accept-encoding"] = request.headers.get("accept-encoding", "identity")
    headers["x-request-id"] = request_id(request)
    headers["traceparent"] = trace_of(request) or _new_trace()
    return headers


def _new_trace() -> str:
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def _response(request: Request, answered: Answered) -> Response:
    reply = answered.reply
    headers = {name: reply.headers[name] for name in _PASSED_OUT if name in reply.headers}
    headers["mlops-model-version"] = str(answered.version)
    headers["x-request-id"] = request_id(request)
    return Response(reply.body, reply.status, headers)
