# SPDX-License-Identifier: Apache-2.0
"""Inference for every model of every project: the Open Inference Protocol (V2), and what replicas answer beside it.

An ASGI application of its own, without a framework: nothing stands between a caller and a replica.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from urllib.parse import parse_qsl

import structlog
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from mlops.gateway.errors import CallerError
from mlops.gateway.http.answers import FIXES, json_answer, refusal
from mlops.gateway.http.bodies import Bodies, Body
from mlops.gateway.http.callers import allow, caller_of
from mlops.gateway.http.dispatch import Answered, Asked, Dispatcher
from mlops.gateway.http.headers import Given, answered_with, check_v2
from mlops.gateway.http.holding import not_ready
from mlops.gateway.http.shadows import Shadows
from mlops.gateway.model.inference_paths import Place, place_of
from mlops.gateway.model.routing import Route, Table
from mlops.gateway.ports import LostReplicaError, Memory, Meter, Routes, SlowReplicaError

_LOG = structlog.get_logger("inference")
_COUNTED = ("/infer", "/predict", "/invocations", "/v1/chat/completions", "/v1/completions")
_COMPARED = ("/infer", "/predict", "/invocations")


class Inference:
    """Answers inference; bytes pass through, only their shape is looked at."""

    def __init__(
        self,
        routes: Routes,
        dispatcher: Dispatcher,
        bodies: Bodies,
        shadows: Shadows,
        memory: Memory,
        meter: Meter,
    ) -> None:
        self._routes = routes
        self._dispatcher = dispatcher
        self._bodies = bodies
        self._shadows = shadows
        self._memory = memory
        self._meter = meter

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        given = Given(scope)
        try:
            place = _place(scope)
            if place.answer in ("infer", "beside", "predict", "metadata", "model_ready"):
                await self._of_a_model(place, given, receive, send)
                return
            answer = self._of_the_server(place, scope)
        except CallerError as error:
            error.headers.setdefault("X-Request-ID", given.request_id)
            answer = refusal(str(scope["path"]), error)
        await answer(scope, receive, send)

    def _of_the_server(self, place: Place, scope: Scope) -> Response:
        if place.answer == "live":
            return json_answer({"live": True})
        if place.answer == "ready":
            known = self._routes.table.known
            return json_answer({"ready": known}, 200 if known else 503)
        if place.answer == "index":
            return json_answer(_index(self._routes.table, scope))
        return json_answer(
            {
                "name": "mlops-gateway",
                "version": "0.1.0",
                "extensions": ["binary_tensor_data", "model_repository"],
            }
        )

    async def _of_a_model(self, place: Place, given: Given, receive: Receive, send: Send) -> None:
        if place.answer == "predict":
            place = _named_by_query(given.scope)
        route = self._route(place, given.scope)
        acts = ("infer", "read") if place.method == "GET" else ("infer",)
        allow(given.scope, route.project, *acts)
        if place.answer == "model_ready" and route.asleep:
            # Clients that look first and hear no would never wake it.
            answer = json_answer({"name": place.model, "ready": True})
            await answer(given.scope, receive, send)
            return
        if place.suffix in _COUNTED:
            await self._counted(route, place, given, receive, send)
            return
        answered = await self._dispatcher.send(_asked(route, place, given, b""))
        await _pass_on(given, answered, receive, send)

    async def _counted(
        self, route: Route, place: Place, given: Given, receive: Receive, send: Send
    ) -> None:
        began = time.perf_counter()
        version, outcome, body = "", "failed", Body()
        try:
            await self._bodies.read(given.headers, receive, body)
            if place.suffix == "/infer":
                check_v2(given, body.content)
            asked = _asked(route, place, given, body.content)
            answered = await self._dispatcher.send(asked)
            version = str(answered.version)
            outcome = "ok" if answered.reply.status < 400 else "rejected"  # noqa: PLR2004 - HTTP
            if answered.shadow is not None and place.suffix in _COMPARED:
                self._shadows.copy(asked, answered)
            await _pass_on(given, answered, receive, send)
        except CallerError as error:
            outcome = "rejected" if error.status < 500 else "failed"  # noqa: PLR2004 - HTTP
            raise
        finally:
            self._bodies.let_go(body)
            self._meter.count(route.project, route.model, version, outcome)
            self._meter.took(route.project, route.model, version, time.perf_counter() - began)

    def _route(self, place: Place, scope: Scope) -> Route:
        table, name = self._routes.table, place.model
        if place.project:
            route = table.routes.get((place.project, name))
            found: tuple[Route, ...] = () if route is None else (route,)
            name = f"{place.project}.{name}"
        else:
            found = table.find(name)
        caller = caller_of(scope)
        seen = [route for route in found if caller.sees(route.project)]
        if len(seen) == 1:
            return seen[0]
        if found and not seen:
            allow(scope, found[0].project, "infer")
        raise self._not_one(name, seen, table.seen(caller.sees))

    def _not_one(self, name: str, found: list[Route], table: Table) -> CallerError:
        if found:
            names = ", ".join(sorted(route.name for route in found))
            return CallerError(409, "several projects have this model", name, f"ask for {names}")
        if not table.known or self._memory.world.being_deployed(name):
            return not_ready(name)
        known = ", ".join(table.names()) or "none yet"
        return CallerError(404, "no such model", name[:200], f"ask for one of: {known}")


def _place(scope: Scope) -> Place:
    path, method = str(scope["path"]), str(scope["method"])
    place = place_of(path)
    which = f"{method} {path[:200]}"
    if place is None:
        raise CallerError(404, "Not Found", which, FIXES[404])
    if method != place.method and (method, place.method) != ("HEAD", "GET"):
        allowed = {"Allow": place.method}
        raise CallerError(405, "Method Not Allowed", which, f"use {place.method}", headers=allowed)
    return place


def _named_by_query(scope: Scope) -> Place:
    text = bytes(scope["query_string"]).decode("latin-1")
    named = dict(parse_qsl(text, max_num_fields=20)) if text.count("&") < 20 else {}  # noqa: PLR2004 - three are known
    if not named.get("model"):
        raise CallerError(
            400,
            "no model is named",
            "model",
            "ask /api/v1/predict?model=<model>, with &project= and &version= where needed",
        )
    return Place(
        "predict",
        "POST",
        named["model"],
        named.get("version"),
        named.get("project", ""),
        "/predict",
    )


def _asked(route: Route, place: Place, given: Given, body: bytes | bytearray) -> Asked:
    is_v2 = place.answer in ("infer", "metadata", "model_ready")
    path = f"/v2/models/{route.model}{place.suffix}" if is_v2 else place.suffix
    counts = place.suffix in _COUNTED
    return Asked(route, place.version, place.method, path, body, given.passed_in(), counts)


async def _pass_on(given: Given, answered: Answered, receive: Receive, send: Send) -> None:
    reply = answered.reply
    headers = answered_with(given, reply.headers, answered.version)
    if reply.rest is None:
        headers.append((b"content-length", str(len(reply.body)).encode()))
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body})
        return
    try:
        await _stream(given.scope, answered, headers, receive, send)
    finally:
        await reply.close()


async def _stream(
    scope: Scope,
    answered: Answered,
    headers: list[tuple[bytes, bytes]],
    receive: Receive,
    send: Send,
) -> None:
    reply = answered.reply

    async def pieces() -> AsyncIterator[bytes]:
        if reply.body:
            yield reply.body
        if reply.rest is not None:
            async for piece in reply.rest:
                yield piece

    answer = StreamingResponse(pieces(), reply.status)
    answer.raw_headers = headers
    try:
        await answer(scope, receive, send)
    except* (LostReplicaError, SlowReplicaError) as errors:
        # The rest cannot come: without its end the answer is broken for the caller, as it should be.
        reason = str(errors.exceptions[0])
        _LOG.warning("inference.cut_off", path=str(scope["path"]), reason=reason)


def _index(table: Table, scope: Scope) -> list[Mapping[str, str]]:
    """List every version of every model that the caller may ask, as the repository extension does."""
    caller = caller_of(scope)
    seen = table.seen(lambda one: caller.may(one, "infer") or caller.may(one, "read"))
    found: list[Mapping[str, str]] = []
    for route in seen.routes.values():
        name = seen.name(route)
        if route.asleep:
            found.append(
                {
                    "name": name,
                    "version": "",
                    "state": "READY",
                    "reason": "asleep, the next request wakes it",
                }
            )
        found += [
            {
                "name": name,
                "version": str(target.version),
                "state": "READY",
                "reason": f"{target.weight:.0%} of the traffic",
            }
            for target in route.targets
        ]
    return found
