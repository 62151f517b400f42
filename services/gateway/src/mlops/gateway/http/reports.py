# SPDX-License-Identifier: Apache-2.0
"""Reports for people and programs: which there are, and each of them as monitoring keeps it, unable to act on this site."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response, StreamingResponse

from mlops.chassis.bus import Bus
from mlops.chassis.errors import UnavailableError
from mlops.contracts.report_paths import ReportPath, parsed
from mlops.gateway.errors import CallerError
from mlops.gateway.http.answers import json_answer
from mlops.gateway.http.callers import allow, caller_of, of_projects_only, readable
from mlops.gateway.http.frame import HEADERS, explained
from mlops.gateway.http.report_page import report_page

_READING = timedelta(seconds=25)
_WITHOUT_SCRIPTS = (
    "sandbox allow-same-origin; default-src 'none'; style-src 'unsafe-inline'; img-src data:; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
# Evidently draws with scripts of its own within the page. They run as a stranger's: no cookie, no storage, no request.
_OF_A_STRANGER = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:; connect-src 'none'; form-action 'none'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Cache-Control": "private, no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_FIX = "GET /api/v1/reports lists those that are kept; one that an alert names is written within some minutes"

Limit = Annotated[int, Query(ge=1, le=500)]


@dataclass(frozen=True)
class _Piece:
    content: bytes
    size: int
    written_at: str


class Reports:
    """`/reports` for people, `/api/v1/reports` for programs."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def router(self) -> APIRouter:
        """Return its paths."""
        router = APIRouter(tags=["reports"])
        add = router.add_api_route
        add("/api/v1/reports", self.reports, response_model=None)
        add("/reports", self.page, response_model=None, include_in_schema=False)
        add("/reports/{path:path}", self.file, response_model=None)
        return router

    async def reports(
        self, request: Request, project: str = "", model: str = "", limit: Limit = 100
    ) -> Response:
        """Return the reports that can be read, the newest first; `address` is where at this gateway."""
        return json_answer(await self._listed(request, project, model, limit))

    async def page(self, request: Request, project: str = "", model: str = "") -> Response:
        """Show which reports there are."""
        try:
            found = await self._listed(request, project, model, 200)
        except CallerError as error:
            return _refused(request, error)
        return HTMLResponse(report_page(found, project, model), headers=HEADERS)

    async def file(self, request: Request, path: str) -> Response:
        """Return a file of a report: the page, its figures as JSON, a picture as PNG."""
        found = parsed(path)
        if found is None:
            return _nothing(request, path)
        try:
            _allow(request, found)
        except CallerError as error:
            return _refused(request, error)
        first = await self._piece(found, 0)
        if first is None:
            return _nothing(request, path)
        headers = {
            **_HEADERS,
            "Content-Length": str(first.size),
            "Content-Security-Policy": _OF_A_STRANGER if found.folder else _WITHOUT_SCRIPTS,
        }
        pieces = self._pieces(found, first)
        return StreamingResponse(pieces, headers=headers, media_type=found.media_type)

    async def _listed(
        self, request: Request, project: str, model: str, limit: int
    ) -> dict[str, Any]:
        theirs = readable(request, project)
        question: dict[str, object] = {"limit": limit, "model": model}
        if theirs is not None:
            question["projects"] = list(theirs)
        told = await self._bus.ask("monitoring", "reports", question, _READING)
        seen = [one for one in told["reports"] if _may_read(request, str(one["path"]))]
        return {"reports": seen, "left_out": told["left_out"]}

    async def _pieces(self, path: ReportPath, first: _Piece) -> AsyncIterator[bytes]:
        yield first.content
        sent = len(first.content)
        while sent < first.size:
            piece = await self._piece(path, sent)
            if piece is None or piece.written_at != first.written_at or not piece.content:
                # A page that is half of one and half of another must not look like a whole one.
                raise UnavailableError(f"the report {path.text} was replaced while it was read")
            yield piece.content
            sent += len(piece.content)

    async def _piece(self, path: ReportPath, offset: int) -> _Piece | None:
        question = {"path": path.text, "offset": offset}
        told = await self._bus.ask("monitoring", "report", question, _READING)
        return _piece_of(told)


def _piece_of(told: Mapping[str, Any]) -> _Piece | None:
    if told.get("content") is None:
        return None
    try:
        content = b64decode(str(told["content"]), validate=True)
        return _Piece(content, int(told["size_bytes"]), str(told["written_at"]))
    except (KeyError, ValueError, TypeError) as error:
        raise UnavailableError(f"monitoring answered {told!r:.200}") from error


def _allow(request: Request, path: ReportPath) -> None:
    """Return when the caller may read a report; CallerError 403 otherwise."""
    caller = caller_of(request.scope)
    if path.project is not None:
        allow(request.scope, path.project, "read")
    elif caller.projects is not None:  # one of all projects
        raise of_projects_only(caller.projects, path.address)


def _may_read(request: Request, text: str) -> bool:
    path, caller = parsed(text), caller_of(request.scope)
    if path is None:
        return False
    if path.project is None:
        return caller.projects is None
    return caller.may(path.project, "read")


def _refused(request: Request, error: CallerError) -> Response:
    if "text/html" in request.headers.get("accept", ""):
        text = f"{error.which}. {error.fix[:1].upper()}{error.fix[1:]}."
        return HTMLResponse(explained(error.what.capitalize(), text), error.status, HEADERS)
    raise error


def _nothing(request: Request, path: str) -> Response:
    if "text/html" in request.headers.get("accept", ""):
        why = "It is not written yet (that takes some minutes), or no longer kept."
        return HTMLResponse(explained("No such report", why), 404, HEADERS)
    raise CallerError(404, "no such report", path[:200], _FIX)
