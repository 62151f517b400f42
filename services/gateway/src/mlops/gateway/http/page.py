# SPDX-License-Identifier: Apache-2.0
"""The status page: `/`, opened once with `/?token=…` (`&next=/mlflow/`), afterwards by a cookie that opens reading only."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route as HttpRoute

from mlops.gateway.http.door import COOKIE, shown
from mlops.gateway.http.frame import HEADERS, locked
from mlops.gateway.http.queries import Queries
from mlops.gateway.http.render import page
from mlops.gateway.model.access import Entry, Keys
from mlops.gateway.model.archive import Wanted
from mlops.gateway.ports import Memory, Routes

_EVENTS = 60
_HEALTH_FOR_S = 2.0  # several browsers share one round of questions
_NEXT = ("/mlflow/", "/reports")  # whereto else: never another site
_KEPT_S = 30 * 24 * 3600
_STATIC = {"page.css": "text/css", "page.js": "text/javascript"}


Silences = Callable[[], Awaitable[Sequence[Mapping[str, object]] | None]]


class Page:
    """Renders the status page on the server; the browser only adds what happens meanwhile."""

    def __init__(
        self, keys: Keys, queries: Queries, memory: Memory, routes: Routes, silences: Silences
    ) -> None:
        self._keys = keys
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
        if token:
            return self._let_in(self._keys.token(token), request.query_params.get("next", ""))
        entry = shown(request, self._keys)
        if entry is not Entry.OPEN:
            why = "No token" if entry is Entry.NOTHING else "The token is wrong"
            return HTMLResponse(locked(why), 401 if entry is Entry.NOTHING else 403, HEADERS)
        content = page(
            self._memory.world,
            self._routes.table,
            await self._health_now(),
            self._memory.last(Wanted(), _EVENTS),
            await self._silences(),
        )
        return HTMLResponse(content, headers=HEADERS)

    async def static(self, request: Request) -> Response:
        """Return the page's style and script."""
        name = str(request.path_params["name"])
        if name not in self._static:
            return Response("no such file", 404, media_type="text/plain")
        headers = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}
        return Response(self._static[name], headers=headers, media_type=_STATIC[name])

    def _let_in(self, entry: Entry, wanted: str) -> Response:
        if entry is not Entry.OPEN:
            return HTMLResponse(locked("The token is wrong"), 403, HEADERS)
        answer = RedirectResponse(wanted if wanted.startswith(_NEXT) else "/", 303, HEADERS)
        answer.set_cookie(
            COOKIE, self._keys.cookie, max_age=_KEPT_S, httponly=True, samesite="strict"
        )
        return answer

    async def _health_now(self) -> dict[str, dict[str, object]]:
        now = time.monotonic()
        if now - self._health_at > _HEALTH_FOR_S:
            self._health = await self._queries.health()
            self._health_at = now
        return self._health
