# SPDX-License-Identifier: Apache-2.0
"""Alerts for people and programs: which there are, who has seen them, what is silenced, whether a channel works."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from mlops.chassis.bus import Bus
from mlops.chassis.clock import Clock
from mlops.chassis.errors import ChassisError
from mlops.contracts.message import Command, Scope
from mlops.contracts.monitoring import AcknowledgeAlert, SilenceAlerts, UnsilenceAlerts
from mlops.gateway.errors import CallerError
from mlops.gateway.http.answers import json_answer, object_of, trace_of
from mlops.gateway.http.callers import allow, caller_of, of_projects_only, readable
from mlops.gateway.http.reading import read

_SOURCE = "/services/gateway"
_TRY_S = 45.0
_PAGE_WAIT = timedelta(seconds=1)
_YEAR_S = 366 * 86400


class SeenIn(BaseModel):
    """Who has seen it; without a name, the caller's."""

    by: str = Field(default="", max_length=256)


class SilenceIn(BaseModel):
    """Of what nobody is to be told, until when or for how long, and why."""

    project: Scope
    model: str | None = Field(default=None, min_length=1, max_length=256)
    kind: str | None = Field(default=None, min_length=1, max_length=64)
    until: AwareDatetime | None = None
    for_s: float | None = Field(default=None, gt=0, le=_YEAR_S)
    why: str = Field(default="", max_length=500)
    by: str = Field(default="", max_length=256)


class Alerts:
    """`/api/v1/alerts`."""

    def __init__(self, bus: Bus, clock: Clock, most_bytes: int) -> None:
        self._bus = bus
        self._clock = clock
        self._most_bytes = most_bytes

    def router(self) -> APIRouter:
        """Return its paths."""
        router = APIRouter(prefix="/api/v1/alerts", tags=["alerts"])
        add = router.add_api_route
        add("", self.alerts, response_model=None)
        add("/silences", self.silences, response_model=None)
        add("/silences", self.silence, methods=["POST"], **_takes(SilenceIn))
        add("/silences/{silence_id}", self.unsilence, methods=["DELETE"], **_takes(None))
        add("/channels", self.channels, response_model=None)
        add("/channels/{name}/test", self.try_channel, methods=["POST"], response_model=None)
        add("/{alert_id}", self.alert, response_model=None)
        add("/{alert_id}/acknowledge", self.acknowledge, methods=["POST"], **_takes(SeenIn))
        return router

    async def alerts(
        self,
        request: Request,
        project: str = "",
        open: bool = False,  # noqa: A002, FBT001, FBT002 - a query parameter
        begins: str = "",
    ) -> Response:
        """Return the alerts, the newest first, each with what was told to whom; with `open`, only those not over.

        `begins` is the beginning of an id. `left_out` counts older ones that do not fit into one answer.
        """
        question = {"open": open, "begins": begins}
        found = await self._told(request, "alerts", project, question)
        return json_answer({"alerts": found["alerts"], "left_out": found.get("left_out", 0)})

    async def alert(self, request: Request, alert_id: str) -> Response:
        """Return one alert."""
        return json_answer(await self._alert(request, alert_id))

    async def acknowledge(self, request: Request, alert_id: str) -> Response:
        """Say that a person has seen an alert: nobody else is told of it."""
        seen = read(SeenIn, await object_of(request, self._most_bytes), "not an acknowledgement")
        alert = await self._alert(request, alert_id)
        by = seen.by or caller_of(request.scope).name
        return await self._wish(
            request, AcknowledgeAlert, project=alert["project"], alert_id=alert_id, by=by
        )

    async def silences(self, request: Request, project: str = "") -> Response:
        """Return the silences, those that hold first."""
        return json_answer({"silences": await self._asked(request, "silences", project, {})})

    async def holding(self) -> Sequence[Mapping[str, object]] | None:
        """Return the silences that hold now; None when monitoring does not say."""
        try:
            found = (await self._bus.ask("monitoring", "silences", {}, _PAGE_WAIT))["silences"]
        except (ChassisError, TimeoutError):
            return None
        return [one for one in found if one["holds"]]

    async def silence(self, request: Request) -> Response:
        """Tell nobody of some alerts of a project for a while; they are shown all the same."""
        given = read(SilenceIn, await object_of(request, self._most_bytes), "not a silence")
        return await self._wish(
            request,
            SilenceAlerts,
            project=given.project,
            model=given.model,
            kind=given.kind,
            until=self._end_of(given),
            why=given.why,
            by=given.by or caller_of(request.scope).name,
        )

    async def unsilence(self, request: Request, silence_id: str) -> Response:
        """End a silence before its time."""
        found = await self._asked(request, "silences", "", {})
        one = next((one for one in found if one["silence_id"] == silence_id), None)
        if one is None:
            raise CallerError(
                404, "no such silence", silence_id, "GET /api/v1/alerts/silences lists them"
            )
        by = caller_of(request.scope).name
        return await self._wish(
            request, UnsilenceAlerts, project=one["project"], silence_id=silence_id, by=by
        )

    async def channels(self, request: Request) -> Response:
        """Return the channels by name, what is wrong with them, and which projects name one that is not there."""
        self._for_all(request)
        return json_answer(await self._bus.ask("monitoring", "channels", {}))

    async def try_channel(self, request: Request, name: str) -> Response:
        """Tell a channel that this is a test; 503 with the reason when it was not taken."""
        self._for_all(request)
        patience = timedelta(seconds=_TRY_S)
        found = await self._bus.ask("monitoring", "try_channel", {"name": name}, patience)
        return json_answer(found)

    async def _alert(self, request: Request, alert_id: str) -> dict[str, Any]:
        found = await self._asked(request, "alerts", "", {"alert_id": alert_id})
        if not found:
            raise CallerError(404, "no such alert", alert_id, "GET /api/v1/alerts lists them")
        return found[0]

    async def _asked(
        self, request: Request, verb: str, project: str, question: Mapping[str, object]
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self._told(request, verb, project, question))[verb]
        return found

    async def _told(
        self, request: Request, verb: str, project: str, question: Mapping[str, object]
    ) -> dict[str, Any]:
        """Return what monitoring answers, of the projects that the caller may read."""
        theirs = readable(request, project)
        if project:
            question = {**question, "project": project}
        if theirs is not None:
            question = {**question, "projects": sorted(theirs)}
        found = await self._bus.ask("monitoring", verb, question)
        shown = [one for one in found[verb] if theirs is None or one["project"] in theirs]
        return {**found, verb: shown}

    async def _wish(self, request: Request, wanted: type[Command], /, **fields: object) -> Response:
        allow(request.scope, str(fields["project"]), "write")
        envelope = {
            "id": str(uuid.uuid4()),
            "source": _SOURCE,
            "traceparent": trace_of(request),
            "time": self._clock(),
        }
        command = read(wanted, {**fields, **envelope}, f"{wanted.type} does not fit")
        await self._bus.publish(command)
        return json_answer({"id": command.id}, 202)

    def _end_of(self, given: SilenceIn) -> object:
        if (given.until is None) == (given.for_s is None):
            raise CallerError(
                422, "the silence has no end, or two", given.project, "give either until or for_s"
            )
        if given.until is not None:
            return given.until
        return self._clock() + timedelta(seconds=given.for_s or 0)

    def _for_all(self, request: Request) -> None:
        # Channels belong to the installation; a token of projects could otherwise send to whom it likes.
        caller = caller_of(request.scope)
        if caller.projects is not None:
            raise of_projects_only(caller.projects, request.url.path)


def _takes(kind: type[BaseModel] | None) -> dict[str, Any]:
    # Bodies are read by hand, as those of commands; the document still shows them.
    found: dict[str, Any] = {"status_code": 202, "response_model": None}
    if kind is None:
        return found
    content = {"application/json": {"schema": kind.model_json_schema()}}
    return {**found, "openapi_extra": {"requestBody": {"required": True, "content": content}}}
