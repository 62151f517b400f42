# SPDX-License-Identifier: Apache-2.0
"""What callers may ask: results, events, stories, the present of every project, and the services themselves."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from mlops.chassis.clock import Clock
from mlops.chassis.errors import ChassisError
from mlops.contracts.catalogue import CATALOGUE
from mlops.gateway.errors import CallerError
from mlops.gateway.http.answers import json_answer
from mlops.gateway.http.callers import allow, caller_of, readable
from mlops.gateway.model.archive import Wanted
from mlops.gateway.model.describe import describe
from mlops.gateway.model.facts import BULK, Fact
from mlops.gateway.model.views import AskedView
from mlops.gateway.ports import Memory, Routes, SpokenBus

SERVICES = (
    "workspaces",
    "tracking",
    "versioning",
    "orchestration_bridge",
    "serving",
    "monitoring",
    "telemetry_agent",
    "gateway",
)
_TOKEN = re.compile(r"[a-z][a-z0-9_]{0,62}")
_SPANS = (timedelta(minutes=2), timedelta(hours=1), timedelta(days=1))
_STATUS_WAIT = timedelta(seconds=1)
_SIBLINGS_S = 0.1  # a handler's messages are stored one after the other

Types = Annotated[str, Query(description="Types, separated by commas; `*` stands for any part.")]
Limit = Annotated[int, Query(ge=1, le=1000)]


class Queries:
    """The reading half of `/api/v1`."""

    def __init__(self, bus: SpokenBus, memory: Memory, routes: Routes, clock: Clock) -> None:
        self._bus = bus
        self._memory = memory
        self._routes = routes
        self._clock = clock

    def router(self) -> APIRouter:
        """Return its paths."""
        router = APIRouter(prefix="/api/v1", tags=["queries"])
        add = router.add_api_route
        add("/commands/{command_id}/result", self.result, response_model=None)
        add("/events", self.events, response_model=None)
        add("/query/{service}/{verb}", self.query, response_model=None)
        add("/projects", self.projects, response_model=None)
        add("/projects/{project}", self.project, response_model=None)
        add("/deployments", self.deployments, response_model=None)
        add("/workflows/{workflow_key}", self.workflow, response_model=None)
        add("/overview", self.overview, response_model=None)
        add("/status", self.status, response_model=None)
        add("/explain/{asked:path}", self.explain, response_model=None)
        return router

    async def result(
        self,
        request: Request,
        command_id: str,
        timeout_s: Annotated[float, Query(ge=0, le=300)] = 30,
        types: Annotated[str, Query(alias="type")] = "",
    ) -> Response:
        """Wait for the events that a command caused: a list of envelopes, empty when none came in time.

        With `type`, waits for one of these types (or `command.refused`) instead of for the first event.
        """
        wanted = (*known_types(types), "command.refused") if types else ()

        def enough(found: Sequence[Fact]) -> bool:
            return any(not wanted or fact.type in wanted for fact in found)

        wait = timedelta(seconds=timeout_s)
        found = await self._memory.followers(command_id, enough, wait)
        if enough(found):
            await asyncio.sleep(_SIBLINGS_S)
            found = await self._memory.followers(command_id, enough, timedelta(0))
        caller = caller_of(request.scope)
        told = [fact.envelope() for fact in found if caller.may(fact.scope, "read")]
        return json_answer(told)

    async def events(
        self,
        request: Request,
        types: Annotated[str, Query(alias="type")] = "",
        project: str = "",
        correlation_id: str = "",
        limit: Limit = 100,
        summary: bool = False,  # noqa: FBT001, FBT002 - a query parameter
    ) -> Response:
        """Return the newest events, oldest first, as CloudEvents; with `summary`, each with a line of text."""
        wanted = Wanted(known_types(types), readable(request, project), correlation_id)
        if set(wanted.types) & BULK:
            envelopes = await self._from_bus(wanted, limit)
        else:
            envelopes = [fact.envelope() for fact in self._memory.last(wanted, limit)]
        return json_answer([summarised(one) if summary else one for one in envelopes])

    async def query(self, service: str, verb: str, request: Request) -> Response:
        """Ask a service `query.<service>.<verb>`; the query string is the question."""
        for name in (service, verb):
            if not _TOKEN.fullmatch(name):
                raise CallerError(404, "no such query", f"{service}.{verb}", "use a-z, 0-9 and _")
        allow(request.scope, request.query_params.get("project", ""), "read")
        return json_answer(await self._bus.ask(service, verb, dict(request.query_params)))

    async def projects(self, request: Request) -> Response:
        """Return every project and what each service provisioned for it."""
        return json_answer({"projects": self._world(request, "")["projects"]})

    async def project(self, request: Request, project: str) -> Response:
        """Return all that is known of one project."""
        allow(request.scope, project, "read")
        if project not in self._memory.world.projects:
            caller, projects = caller_of(request.scope), self._memory.world.projects
            known = ", ".join(sorted(filter(caller.sees, projects))) or "none yet"
            raise CallerError(404, "no such project", project, f"registered are: {known}")
        return json_answer(self._world(request, project))

    async def deployments(self, request: Request, project: str = "") -> Response:
        """Return the rollouts, and the versions that answer now with their share of the traffic."""
        found = self._world(request, project)["deployments"]
        routes = self.routes_json(readable(request, project))
        return json_answer({"deployments": found, "routes": routes})

    async def workflow(self, request: Request, workflow_key: str) -> Response:
        """Return one workflow; `asked` is what its machine's heat asks of it, and how long ago."""
        view = self._memory.world.workflows.get(workflow_key)
        if view is None:
            raise CallerError(
                404, "no such workflow", workflow_key, "GET /api/v1/overview lists the last ones"
            )
        allow(request.scope, view.project, "read")
        return json_answer({**asdict(view), "asked": self._asked(view.asked)})

    async def overview(self, request: Request, project: str = "") -> Response:
        """Return everything of every project, or of one."""
        routes = self.routes_json(readable(request, project))
        return json_answer({**self._world(request, project), "routes": routes})

    async def status(self) -> Response:
        """Return how every service is."""
        return json_answer({"services": await self.health(), "rebuilt": self._memory.rebuilt})

    async def explain(self, request: Request, asked: str) -> Response:
        """Return why something happened and what came of it, as a tree."""
        found = self._memory.explain(asked)
        if found is None:
            raise CallerError(
                404,
                "nothing is remembered of this",
                asked,
                "give the id of an event or command, a run, `model:version`, a deployment or a workflow",
            )
        allow(request.scope, found.project, "read")
        caller = caller_of(request.scope)
        hidden = [one for one in self._memory.world.projects if not caller.may(one, "read")]
        return json_answer(found.without(hidden).as_json())

    async def health(self) -> dict[str, dict[str, Any]]:
        """Ask every service how it is, all at once."""
        answers = await asyncio.gather(*(self._health_of(service) for service in SERVICES))
        return dict(zip(SERVICES, answers, strict=True))

    def routes_json(self, projects: Collection[str] | None) -> list[dict[str, object]]:
        """Return the routing table (of some projects, when named) as plain JSON values."""
        return [
            {
                "project": route.project,
                "model": route.model,
                "versions": [
                    {"version": one.version, "url": one.url, "weight": one.weight}
                    for one in route.targets
                ],
            }
            for route in self._routes.table.routes.values()
            if projects is None or route.project in projects
        ]

    def _world(self, request: Request, project: str) -> dict[str, object]:
        """Return what a caller may see of the present; machines are of the whole platform."""
        found = self._memory.world.as_json(readable(request, project))
        return found if caller_of(request.scope).projects is None else {**found, "nodes": []}

    def _asked(self, asked: AskedView | None) -> dict[str, Any] | None:
        if asked is None:
            return None
        try:
            age_s = max(0.0, (self._clock() - datetime.fromisoformat(asked.at)).total_seconds())
        except (ValueError, TypeError):  # a stranger's time
            age_s = 0.0
        return {**asdict(asked), "age_s": age_s}

    async def _health_of(self, service: str) -> dict[str, Any]:
        try:
            return await self._bus.ask(service, "status", {}, _STATUS_WAIT)
        except (ChassisError, TimeoutError) as error:
            reason = str(error) or "no answer in time"
            return {"service": service, "ready": False, "checks": {"answers": reason}}

    async def _from_bus(self, wanted: Wanted, limit: int) -> list[dict[str, Any]]:
        # The bus is read forwards, and may hold millions of predictions: the newest hours are mostly enough.
        for span in _SPANS:
            found = await self._said_since(wanted, limit, self._clock() - span)
            if len(found) >= limit:
                return found
        return await self._said_since(wanted, limit, None)

    async def _said_since(
        self, wanted: Wanted, limit: int, since: datetime | None
    ) -> list[dict[str, Any]]:
        found: deque[dict[str, Any]] = deque(maxlen=limit)
        scopes = wanted.scopes
        several = scopes if scopes is not None and len(scopes) > 1 else ()
        scope = scopes[0] if scopes and not several else "*"
        async for recorded in self._bus.follow(wanted.types, scope, since=since, live=False):
            is_theirs = not several or recorded.envelope.get("project") in several
            if is_theirs and wanted.story in ("", recorded.envelope.get("correlationid")):
                found.append(recorded.envelope)
        return list(found)


def known_types(text: str) -> tuple[str, ...]:
    """Return the types of the catalogue that *text* names; CallerError 422 for one that is none."""
    found: list[str] = []
    for pattern in filter(None, (part.strip() for part in text.split(","))):
        matching = [type_ for type_ in CATALOGUE if fnmatchcase(type_, pattern)]
        if not matching:
            raise CallerError(
                422, "no such type", pattern, f"types are: {', '.join(sorted(CATALOGUE))}"
            )
        found.extend(matching)
    return tuple(dict.fromkeys(found))


def summarised(envelope: Mapping[str, object]) -> dict[str, object]:
    """Return the envelope with a line of text as one more CloudEvents attribute."""
    return {**envelope, "summary": describe(envelope)}
