# SPDX-License-Identifier: Apache-2.0
"""Events of other tools, as the CloudEvents HTTP binding has it: structured, in batches, or with `ce-` headers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from mlops.chassis.bus import Bus
from mlops.chassis.clock import Clock
from mlops.contracts.message import MAX_BYTES, Event
from mlops.gateway.errors import CallerError
from mlops.gateway.http.answers import body_of, json_answer
from mlops.gateway.http.callers import allow, caller_of
from mlops.gateway.http.known import KnownProjects
from mlops.gateway.http.reading import read_event
from mlops.gateway.model.cloud_events import Mode, attributes_of, media_type, mode_of

_AT_ONCE = 1000
_CLOCKS_DIFFER = timedelta(minutes=5)
_JSON = ("", "application/json", "text/json")
_DOCUMENT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "A CloudEvent in structured JSON, a batch of them, or the data of one in `ce-` headers.",
        "content": {
            "application/cloudevents+json": {
                "schema": {"type": "object", "description": "One CloudEvent."}
            },
            "application/cloudevents-batch+json": {
                "schema": {"type": "array", "maxItems": _AT_ONCE, "items": {"type": "object"}}
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "description": "The data of an event in `ce-` headers; without them, one CloudEvent.",
                }
            },
        },
    }
}


class OutsideEvents:
    """`POST /api/v1/events`."""

    def __init__(self, bus: Bus, known: KnownProjects, clock: Clock, most_bytes: int) -> None:
        self._bus = bus
        self._known = known
        self._clock = clock
        self._most_bytes = most_bytes

    def router(self) -> APIRouter:
        """Return its path."""
        router = APIRouter(prefix="/api/v1", tags=["intake"])
        router.add_api_route(
            "/events",
            self.events,
            methods=["POST"],
            status_code=202,
            response_model=None,
            openapi_extra=_DOCUMENT,
        )
        return router

    async def events(self, request: Request) -> Response:
        """Store events of other tools; of a batch all, or none when one does not fit."""
        mode = mode_of(request.headers)
        if mode is None:
            raise CallerError(
                415,
                "not a CloudEvent in JSON",
                media_type(request.headers) or "no type",
                "send application/cloudevents+json, application/cloudevents-batch+json, "
                "or application/json with ce- headers",
            )
        if mode is Mode.BATCH:
            found = await self._batch(request)
        else:
            found = [await self._one(request, await _values(request, mode), set())]
        for event in found:
            await self._bus.publish(event)
        ids = [event.id for event in found]
        return json_answer({"ids": ids} if mode is Mode.BATCH else {"id": ids[0]}, 202)

    async def _batch(self, request: Request) -> list[Event]:
        values = _parsed(await body_of(request, self._most_bytes))
        if not isinstance(values, list):
            raise CallerError(400, "not a batch", "the body", "send a JSON array of CloudEvents")
        if len(values) > _AT_ONCE:
            raise CallerError(
                413, "too many events", str(len(values)), f"send at most {_AT_ONCE} at once"
            )
        found: list[Event] = []
        known: set[str] = set()
        ids: set[str] = set()
        for index, one in enumerate(values):
            try:
                event = await self._one(request, one, known)
                _check_new(event, ids)
            except CallerError as error:
                error.which = f"event {index} of the batch: {error.which}"
                raise
            found.append(event)
        return found

    async def _one(self, request: Request, values: object, known: set[str]) -> Event:
        """Return one event; its project is asked for unless it is *known*."""
        if not isinstance(values, dict):
            raise CallerError(400, "not a CloudEvent", "the body", "send one JSON object")
        event = read_event(values)
        allow(request.scope, event.scope, "write")
        if event.time - self._clock() > _CLOCKS_DIFFER:
            raise CallerError(
                422,
                "the event is from the future",
                f"time: {event.time.isoformat()}",
                "set the clock of the machine that tells it",
            )
        if event.scope not in known:
            await self._known.check(event.scope, caller_of(request.scope))
            known.add(event.scope)
        return event


def _check_new(event: Event, ids: set[str]) -> None:
    # The bus stores an id once: the second event would be lost without a word.
    if event.id in ids:
        raise CallerError(422, "an id stands twice", event.id, "give each event an id of its own")
    ids.add(event.id)


async def _values(request: Request, mode: Mode) -> object:
    body = await body_of(request, MAX_BYTES)
    if mode is Mode.STRUCTURED:
        return _parsed(body)
    if (kind := media_type(request.headers)) not in _JSON:
        raise CallerError(415, "the data is not JSON", kind, "send data as application/json")
    try:
        attributes = attributes_of(request.headers)
    except ValueError as error:
        raise CallerError(
            400, "a ce- header cannot be read", str(error), "percent-encode it as UTF-8"
        ) from error
    return {**attributes, "data": _parsed(body)}


def _parsed(body: bytes) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise CallerError(
            400, "the body is not JSON", str(error), "send one CloudEvent in structured JSON"
        ) from error
