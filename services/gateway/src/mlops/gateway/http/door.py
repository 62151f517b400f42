# SPDX-License-Identifier: Apache-2.0
"""Door: lets nobody past without the token, but for health and the page's own files."""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops.gateway.errors import CallerError
from mlops.gateway.http.answers import refusal
from mlops.gateway.model.access import Entry, Keys

COOKIE = "mlops_visitor"
_GUARDED = ("/api/", "/v2")
_OPEN = ("/v2/health/live", "/v2/health/ready")
_READING = ("GET", "HEAD")
_FIX = (
    "send `Authorization: Bearer <token>`; the token is `gateway_token` in "
    "$MLOPS_HOME/credentials.json, or ask who runs the platform"
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
        entry = shown(request, self._keys)
        if entry is Entry.OPEN:
            await self._app(scope, receive, send)
            return
        await refusal(path, _error(entry, path))(scope, receive, send)


def shown(request: Request, keys: Keys) -> Entry:
    """Judge what a request shows: its header first, for reading the page's cookie too."""
    header = request.headers.get("authorization", "")
    if header or request.method not in _READING:
        return keys.bearer(header)
    return keys.visitor(request.cookies.get(COOKIE, ""))


def _error(entry: Entry, path: str) -> CallerError:
    if entry is Entry.NOTHING:
        return CallerError(
            401, "no token", path, _FIX, headers={"WWW-Authenticate": 'Bearer realm="mlops"'}
        )
    return CallerError(403, "the token is wrong", path, _FIX)
