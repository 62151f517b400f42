# SPDX-License-Identifier: Apache-2.0
"""Door: lets nobody past without the token, but for health and the page's own files."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops.gateway.errors import CallerError
from mlops.gateway.http.answers import refusal
from mlops.gateway.http.render import locked
from mlops.gateway.model.access import Entry, Keys
from mlops.gateway.model.mlflow_paths import PREFIX, same_origin

COOKIE = "mlops_visitor"
_GUARDED = ("/api/", "/v2", PREFIX)
_OPEN = ("/v2/health/live", "/v2/health/ready")
_READING = ("GET", "HEAD")
_FIX = (
    "send `Authorization: Bearer <token>`; the token is `gateway_token` in "
    "$MLOPS_HOME/credentials.json, or ask who runs the platform"
)
_MLFLOW_FIX = (
    "set MLFLOW_TRACKING_TOKEN to the token, which is `gateway_token` in $MLOPS_HOME/credentials.json, "
    "or ask who runs the platform; a browser opens /?token=<token> once"
)


class Door:
    """ASGI middleware: 401 without a token, 403 with a wrong one."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        path = str(scope["path"])  # what the router sees; a URL is made of the caller's Host, too
        if not path.startswith(_GUARDED) or path in _OPEN:
            await self._app(scope, receive, send)
            return
        of_mlflow = path.startswith(PREFIX)
        entry = _of_mlflow(request, self._keys) if of_mlflow else shown(request, self._keys)
        if entry is Entry.OPEN:
            await self._app(scope, receive, send)
            return
        await _refusal(request, entry, path)(scope, receive, send)


def shown(request: Request, keys: Keys) -> Entry:
    """Judge what a request shows: its header first, for reading the page's cookie too."""
    header = request.headers.get("authorization", "")
    if header or request.method not in _READING:
        return keys.bearer(header)
    return keys.visitor(request.cookies.get(COOKIE, ""))


def is_visitor(request: Request) -> bool:
    """Return whether only the page's cookie was shown; asked once the door has let the request past."""
    return not request.headers.get("authorization", "")


def _of_mlflow(request: Request, keys: Keys) -> Entry:
    """Judge a request for MLflow: its clients may name the token as a password, its pages also ask by POST.

    What a browser sends by itself (the cookie, a password it remembers) counts only from a page of ours.
    """
    header = request.headers.get("authorization", "")
    if header.partition(" ")[0].lower() == "bearer":
        return keys.bearer(header)
    entry = keys.basic(header) if header else keys.visitor(request.cookies.get(COOKIE, ""))
    if entry is Entry.OPEN and not same_origin(request.headers):
        return Entry.ELSEWHERE
    return entry


def _refusal(request: Request, entry: Entry, path: str) -> Response:
    error = _error(entry, path)
    if path.startswith(PREFIX) and "text/html" in request.headers.get("accept", ""):
        return HTMLResponse(locked(error.what.capitalize()), error.status)
    return refusal(path, error)


def _error(entry: Entry, path: str) -> CallerError:
    fix = _MLFLOW_FIX if path.startswith(PREFIX) else _FIX
    if entry is Entry.NOTHING:
        return CallerError(
            401, "no token", path, fix, headers={"WWW-Authenticate": 'Bearer realm="mlops"'}
        )
    if entry is Entry.ELSEWHERE:
        return CallerError(
            403,
            "the request comes from another site's page",
            path,
            "open the platform's own page, or send the token as `Authorization: Bearer <token>`",
        )
    return CallerError(403, "the token is wrong", path, fix)
