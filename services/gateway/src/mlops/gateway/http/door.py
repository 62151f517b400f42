# SPDX-License-Identifier: Apache-2.0
"""Door: lets nobody past without a token, but for health and the page's own files; inference goes straight on."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops.chassis.tokens import Caller, ExpiredTokenError
from mlops.contracts.report_paths import PREFIX as REPORTS
from mlops.gateway.errors import CallerError
from mlops.gateway.http.answers import refusal
from mlops.gateway.http.callers import Callers, let_in, of_projects_only
from mlops.gateway.http.frame import HEADERS, locked
from mlops.gateway.model.access import Entry, Keys, is_of_page, is_of_projects, said_in
from mlops.gateway.model.inference_paths import is_inference
from mlops.gateway.model.mlflow_paths import PREFIX, same_origin

COOKIE = "mlops_visitor"
_GUARDED = ("/api/", REPORTS, PREFIX)
_PEOPLES = (REPORTS, PREFIX)
_OPEN = ("/v2/health/live", "/v2/health/ready")
_READING = ("GET", "HEAD")
_MLFLOW_FIX = (
    "set MLFLOW_TRACKING_TOKEN to the token, which is `gateway_token` in $MLOPS_HOME/credentials.json, "
    "or ask who runs the platform; a browser opens /?token=<token> once"
)


class Door:
    """ASGI middleware: 401 without a token or with a wrong one, 403 for what a token does not open."""

    def __init__(self, app: ASGIApp, inference: ASGIApp, keys: Keys, callers: Callers) -> None:
        self._app = app
        self._inference = inference
        self._keys = keys
        self._callers = callers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = str(scope["path"])  # what the router sees; a URL is made of the caller's Host, too
        of_inference = is_inference(path)
        try:
            if path not in _OPEN and (of_inference or path.startswith(_GUARDED)):
                let_in(scope, self._caller(scope, path))
        except CallerError as error:
            await _refusal(Request(scope), error, path)(scope, receive, send)
            return
        await (self._inference if of_inference else self._app)(scope, receive, send)

    def _caller(self, scope: Scope, path: str) -> Caller:
        if path.startswith(PREFIX):
            return self._of_mlflow(Request(scope), path)
        header = _header(scope)
        if not header and is_of_page(scope["method"], path):
            request = Request(scope)
            if scope["method"] not in _READING and not same_origin(request.headers):
                raise _error(Entry.ELSEWHERE, path)
            caller = self._callers.cookie(request.cookies.get(COOKIE, ""), path)
        else:
            caller = self._callers.bearer(header, path)
        if caller.projects is not None and not is_of_projects(path):
            raise of_projects_only(caller.projects, path)
        return caller

    def _of_mlflow(self, request: Request, path: str) -> Caller:
        """Judge a request for MLflow: its clients may name the token as a password, its pages also ask by POST.

        What a browser sends by itself (the cookie, a password it remembers) counts only from a page of ours.
        """
        header = request.headers.get("authorization", "")
        if said_in(header)[0] == "bearer":
            entry = self._keys.bearer(header)
        else:
            cookie = request.cookies.get(COOKIE, "")
            entry = self._keys.basic(header) if header else self._keys.visitor(cookie)
            if entry is Entry.OPEN and not same_origin(request.headers):
                entry = Entry.ELSEWHERE
        if entry is not Entry.OPEN:
            raise self._not_for_mlflow(entry, request, path)
        return Caller("installation")

    def _not_for_mlflow(self, entry: Entry, request: Request, path: str) -> CallerError:
        header, cookie = request.headers.get("authorization", ""), request.cookies.get(COOKIE, "")
        found = self._callers.of_a_project(header, cookie) if entry is Entry.WRONG else None
        if isinstance(found, ExpiredTokenError):
            return CallerError(403, found.what, found.which, found.fix)
        if found is not None:
            return of_projects_only(found.projects, path)
        return _error(entry, path)


def is_visitor(request: Request) -> bool:
    """Return whether only the page's cookie was shown; asked once the door has let the request past."""
    return not request.headers.get("authorization", "")


def _header(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"authorization":
            return bytes(value).decode("latin-1")
    return ""


def _refusal(request: Request, error: CallerError, path: str) -> Response:
    if path.startswith(_PEOPLES) and "text/html" in request.headers.get("accept", ""):
        again = path if path.startswith(REPORTS) else ""
        return HTMLResponse(locked(error.what.capitalize(), again), error.status, HEADERS)
    return refusal(path, error)


def _error(entry: Entry, path: str) -> CallerError:
    if entry is Entry.NOTHING:
        headers = {"WWW-Authenticate": 'Bearer realm="mlops"'}
        return CallerError(401, "no token", path, _MLFLOW_FIX, headers=headers)
    if entry is Entry.ELSEWHERE:
        return CallerError(
            403,
            "the request comes from another site's page",
            path,
            "open the platform's own page, or send the token as `Authorization: Bearer <token>`",
        )
    return CallerError(403, "the token is wrong", path, _MLFLOW_FIX)
