# SPDX-License-Identifier: Apache-2.0
"""What monitoring answers about reports: which can be read, and what stands in them, piece by piece."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from mlops.chassis.bus import Question
from mlops.chassis.errors import RejectedError
from mlops.contracts.monitoring import ALL_PROJECTS
from mlops.contracts.report_paths import ALL, PERIODS, ReportPath, named_by, parsed
from mlops.monitoring.ports import Ledger, Reports, Shelf, Shelved

# A message of the bus holds a megabyte, and base64 needs a third more.
_PIECE_BYTES = 512 * 1024
_USUAL, _MOST = 100, 500
_OF_WINDOW = re.compile(r"v(\d+)-w(\d+)-([a-z_]+)\.html")
_OF_PERIOD = re.compile(r"(.+)--(.+)-(day|week|period|demo)\.html")


class ShelfQueries:
    """Read-only views of the shelf."""

    def __init__(self, shelf: Shelf, reports: Reports, ledger: Ledger) -> None:
        self._shelf = shelf
        self._reports = reports
        self._ledger = ledger

    async def reports(self, question: Question) -> Mapping[str, Any]:
        """Answer `query.monitoring.reports {projects?, project?, model?, limit?}`: the newest first.

        Reports of all projects are of the project `all-projects`; they are left out where projects are named.
        """
        scopes, limit = _scopes(question), _limit(question.get("limit"))
        if scopes is not None and not scopes:
            return {"reports": [], "left_out": 0}
        models = await self._models()
        found = _told(await self._shelf.pages(_folders(scopes)), models)
        wanted = str(question.get("model") or "")
        told = [one for one in found if not wanted or one["model"] == wanted]
        return {"reports": told[:limit], "left_out": max(0, len(told) - limit)}

    async def report(self, question: Question) -> Mapping[str, Any]:
        """Answer `query.monitoring.report {path, offset?}`: a piece of a file in base64, None where it is not there."""
        path = parsed(str(question.get("path") or ""))
        offset = _whole(question.get("offset") or 0, "offset")
        if path is None:
            raise RejectedError(f"{question.get('path')!r:.200} names no file of a report")
        piece = await self._shelf.piece(path.text, offset, _PIECE_BYTES)
        if piece is None:
            return {"path": path.text, "content": None}
        return {
            "path": path.text,
            "content": b64encode(piece.content).decode(),
            "size_bytes": piece.size_bytes,
            "written_at": piece.written_at.isoformat(),
        }

    async def _models(self) -> dict[tuple[str | None, str], str]:
        """Return what the models are called whose folders are made of their names."""
        known = await self._ledger.look(lambda page: [one.key for one in page.models.all()])
        places = ((key, named_by(self._reports.uri(key, "any"))) for key in known)
        return {(at.project, at.folder): key.model for key, at in places if at is not None}


def _scopes(question: Question) -> list[str] | None:
    """Return the projects that are asked for; None for all."""
    named, one = question.get("projects"), question.get("project")
    if named is None and not one:
        return None
    return [str(name) for name in named] if isinstance(named, Sequence) and not one else [str(one)]


def _folders(scopes: Iterable[str] | None) -> list[str]:
    if scopes is None:
        return []
    found = []
    for scope in scopes:
        if parsed(f"{scope}/model/page.html") is None:
            raise RejectedError(f"{scope!r:.100} is no project")
        # A project may be called as all of them are; then its own pages are meant, and those of all are shown without a project.
        found += [scope, f"{PERIODS}/{scope}"]
        found += [f"{PERIODS}/{ALL}"] if scope == ALL_PROJECTS else []
    return found


def _told(
    pages: Iterable[Shelved], models: Mapping[tuple[str | None, str], str]
) -> list[dict[str, Any]]:
    newest = sorted(pages, key=attrgetter("written_at", "path"), reverse=True)
    paths = ((one, parsed(one.path)) for one in newest)
    return [_one(one, path, models) for one, path in paths if path is not None]


def _one(
    page: Shelved, path: ReportPath, models: Mapping[tuple[str | None, str], str]
) -> dict[str, Any]:
    window, period = _OF_WINDOW.fullmatch(path.name), _OF_PERIOD.fullmatch(path.name)
    is_window = bool(path.folder and window)
    return {
        "path": path.text,
        "address": path.address,
        "project": path.project or ALL_PROJECTS,
        "model": models.get((path.project, path.folder), path.folder) if path.folder else None,
        "kind": window[3] if window and is_window else period[3] if period else "report",
        "version": int(window[1]) if window and is_window else None,
        "window": int(window[2]) if window and is_window else None,
        "period": f"{period[1]}..{period[2]}" if period and not path.folder else None,
        "size_bytes": page.size_bytes,
        "written_at": page.written_at.isoformat(),
    }


def _limit(told: object) -> int:
    limit = _whole(told if told is not None else _USUAL, "limit")
    if not 1 <= limit <= _MOST:
        raise RejectedError(f"limit {limit} is not between 1 and {_MOST}")
    return limit


def _whole(told: object, what: str) -> int:
    try:
        number = int(str(told))
    except ValueError as error:
        raise RejectedError(f"{what} {told!r:.50} is no whole number") from error
    if number < 0:
        raise RejectedError(f"{what} {number} is below zero")
    return number
