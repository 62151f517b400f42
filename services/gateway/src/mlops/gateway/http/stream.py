# SPDX-License-Identifier: Apache-2.0
"""Live events: the bus as server-sent events, resumed where a caller was cut off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import Response

from mlops.chassis.bus import History, Recorded
from mlops.chassis.clock import Clock
from mlops.chassis.tokens import LEEWAY, Caller
from mlops.contracts.message import Message
from mlops.gateway.errors import CallerError
from mlops.gateway.http.answers import as_json
from mlops.gateway.http.callers import caller_of, readable
from mlops.gateway.http.queries import known_types, summarised

_HEARTBEAT_S = 15
_MOST_STREAMS = 64
_INSIST_S = 0.1
_MOST_DIGITS = 16  # microseconds up to the year 2286
_NOTHING: tuple[Message, ...] = ()
_ROUNDING = timedelta(milliseconds=1)  # a place names microseconds, the bus counts finer


@dataclass(frozen=True)
class Place:
    """Where a caller was: after the event of this id, stored at this time."""

    stored_at: datetime
    event_id: str

    def __str__(self) -> str:
        """Return it as the id of a server-sent event."""
        return f"{round(self.stored_at.timestamp() * 1_000_000)}-{self.event_id}"


class Streams:
    """`/api/v1/events/stream`; each caller reads the bus for itself, at its own pace."""

    def __init__(self, history: History, clock: Clock) -> None:
        self._history = history
        self._clock = clock
        self._closing = asyncio.Event()
        self._open = 0

    def router(self) -> APIRouter:
        """Return its path."""
        router = APIRouter(prefix="/api/v1", tags=["queries"])
        router.add_api_route("/events/stream", self.stream, response_model=None)
        return router

    async def close_at_stop(self) -> AsyncIterator[Message]:
        """Wait for the end of the service, then let all callers go; yields nothing."""
        try:
            await asyncio.Event().wait()
        finally:
            self._closing.set()
        for message in _NOTHING:
            yield message

    async def stream(
        self,
        request: Request,
        types: Annotated[str, Query(alias="type")] = "",
        project: str = "",
        summary: bool = False,  # noqa: FBT001, FBT002 - a query parameter
    ) -> Response:
        """Send events as they come, as CloudEvents; `Last-Event-ID` sends what was missed first.

        The stream ends when the caller's token does.
        """
        if self._open >= _MOST_STREAMS:
            raise CallerError(
                503, "too many live streams", str(self._open), "close one", retry_after_s=10
            )
        wanted, projects = known_types(types), readable(request, project)
        place = _place(request.headers.get("last-event-id", ""))
        # From now on, not from when the first byte is asked for: what happens in between would be missed.
        since = place.stored_at - _ROUNDING if place else self._clock()
        until = _end_of(caller_of(request.scope))
        content = self._events(wanted, projects, since, place, until, summary=summary)
        return EventSourceResponse(content, ping=_HEARTBEAT_S, send_timeout=30)

    async def _events(
        self,
        types: tuple[str, ...],
        projects: tuple[str, ...] | None,
        since: datetime,
        place: Place | None,
        until: datetime | None,
        *,
        summary: bool,
    ) -> AsyncIterator[ServerSentEvent]:
        self._open += 1
        scope = projects[0] if projects is not None and len(projects) == 1 else "*"
        try:
            async with aclosing(self._until_closed(types, scope, since, until)) as said:
                missed = place is None
                async for recorded in said:
                    if missed or _is_after(recorded, place):
                        missed = True
                        if scope != "*" or _is_of(projects, recorded):
                            yield _event(recorded, summary=summary)
                    elif place is not None and recorded.envelope.get("id") == place.event_id:
                        missed = True
        finally:
            self._open -= 1

    async def _until_closed(
        self, types: tuple[str, ...], scope: str, since: datetime, until: datetime | None
    ) -> AsyncGenerator[Recorded, None]:
        closing = asyncio.ensure_future(self._closing.wait())
        said = self._history.follow(types, scope, since=since, live=True)
        following: asyncio.Future[Recorded] | None = None
        try:
            while True:
                following = asyncio.ensure_future(anext(said))
                first, left_s = asyncio.FIRST_COMPLETED, self._left_s(until)
                await asyncio.wait({following, closing}, timeout=left_s, return_when=first)
                if not following.done() or self._left_s(until) == 0:
                    return
                yield following.result()
        except StopAsyncIteration:
            return
        finally:
            closing.cancel()
            await _ended(following)
            if isinstance(said, AsyncGenerator):
                await said.aclose()

    def _left_s(self, until: datetime | None) -> float | None:
        return None if until is None else max(0.0, (until - self._clock()).total_seconds())


def _end_of(caller: Caller) -> datetime | None:
    return None if caller.expires_at is None else caller.expires_at + LEEWAY


async def _ended(task: asyncio.Future[Recorded] | None) -> None:
    # Once is not enough: `asyncio.wait_for` of Python 3.11 can lose a cancellation that meets an answer.
    while task is not None and not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=_INSIST_S)
    if task is not None and not task.cancelled():
        task.exception()  # looked at, so that nobody complains; the caller has gone


def _is_of(projects: tuple[str, ...] | None, recorded: Recorded) -> bool:
    return projects is None or recorded.envelope.get("project") in projects


def _is_after(recorded: Recorded, place: Place | None) -> bool:
    # Clearly later was surely not sent before, even when the bus has dropped the event of that place.
    return place is not None and recorded.stored_at > place.stored_at + _ROUNDING


def _place(text: str) -> Place | None:
    micros, _, event_id = text.partition("-")
    if not micros.isdecimal() or not event_id or len(micros) > _MOST_DIGITS:
        return None
    return Place(datetime.fromtimestamp(int(micros) / 1_000_000, UTC), event_id)


def _event(recorded: Recorded, *, summary: bool) -> ServerSentEvent:
    envelope = summarised(recorded.envelope) if summary else recorded.envelope
    place = Place(recorded.stored_at, str(recorded.envelope.get("id", "")))
    return ServerSentEvent(data=as_json(envelope).decode(), id=str(place))
