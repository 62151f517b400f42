# SPDX-License-Identifier: Apache-2.0
"""The status page: `/`, opened once with `/?token=…` (`&next=/mlflow/`), afterwards by a cookie that opens reading only.

A token of projects opens what is of these projects; it may read, or the page stays shut.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route as HttpRoute

from mlops.chassis.tokens import Caller
from mlops.gateway.errors import CallerError
from mlops.gateway.http.callers import Callers
from mlops.gateway.http.door import COOKIE
from mlops.gateway.http.frame import HEADERS, locked
from mlops.gateway.http.queries import Queries
from mlops.gateway.http.render import page
from mlops.gateway.model.archive import Wanted
from mlops.gateway.ports import Memory, Routes

_EVENTS = 60
_HEALTH_FOR_S = 2.0  # several browsers share one round of questions
_NEXT = ("/mlflow/", "/reports")  # whereto else: never another site
_STATIC = {"page.css": "text/css", "page.js": "text/javascript"}


Silences = Callable[[], Awaitable[Sequence[Mapping[str, object]] | None]]


class Page:
    """Renders the status page on the server; the browser only adds what happens meanwhile."""

    def __init__(
        self, callers: Callers, queries: Queries, memory: Memory, routes: Routes, silences: Silences
    ) -> None:
        self._callers = callers
        self._queries = queries
        self._memory = memory
        self._routes = routes
        self._silences = silences
        self._health: dict[str, dict[str, object]] = {}
        self._health_at = float("-inf")
        folder = files("mlops.gateway.http") / "static"
        self._static = {name: (folder / name).read_bytes() for name in _STATIC}

    def http_routes(self) -> list[HttpRoute]:
        """Return its paths."""
        return [HttpRoute("/", self.show), HttpRoute("/static/{name}", self.static)]

    async def show(self, request: Request) -> Response:
        """Show the page to those who have the key; take a key from the address out of it."""
        token = request.query_params.get("token", "")
        header, cookie = request.headers.get("authorization", ""), request.cookies.get(COOKIE, "")
        try:
            caller = self._callers.visitor("" if token else header, token, cookie, request.url.path)
        except CallerError as error:
            # What is wrong in an address stays wrong: no browser is to ask for it again by itself.
            status = 403 if token else error.status
            return HTMLResponse(locked(error.what.capitalize()), status, HEADERS)
        if token:
            return self._let_in(caller, request.query_params.get("next", ""), cookie)
        return HTMLResponse(await self._shown(caller), headers=HEADERS)

    async def _shown(self, caller: Caller) -> str:
        theirs = caller.projects
        world, routes, silences = self._memory.world, self._routes.table, await self._silences()
        if theirs is None:
            facts = self._memory.last(Wanted(), _EVENTS)
            return page(world, routes, await self._health_now(), facts, silences)
        facts = self._memory.last(Wanted(scopes=tuple(theirs)), _EVENTS)
        told = None if silences is None else [one for one in silences if one["project"] in theirs]
        return page(world.of(theirs), routes, None, facts, told, writes="write" in caller.acts)

    async def static(self, request: Request) -> Response:
        """Return the page's style and script."""
        name = str(request.path_params["name"])
        if name not in self._static:
            return Response("no such file", 404, media_type="text/plain")
        headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        return Response(self._static[name], headers=headers, media_type=_STATIC[name])

    def _let_in(self, caller: Caller, wanted: str, present: str) -> Response:
        answer = RedirectResponse(wanted if wanted.startswith(_NEXT) else "/", 303, HEADERS)
        if caller.projects is not None and self._callers.opens_everything(present):
            return answer  # whoever sees the whole platform sees what the link is about, and keeps the rest
        cookie, kept_s = self._callers.kept(caller)
        answer.set_cookie(COOKIE, cookie, max_age=kept_s, httponly=True, samesite="strict")
        return answer

    async def _health_now(self) -> dict[str, dict[str, object]]:
        now = time.monotonic()
        if now - self._health_at > _HEALTH_FOR_S:
            self._health = await self._queries.health()
            self._health_at = now
        return self._health
