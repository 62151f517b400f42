# SPDX-License-Identifier: Apache-2.0
"""Where a report stands on monitoring's shelf, and at which path of the gateway a browser opens it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

PREFIX = "/reports"
PERIODS = "_periods"  # of reports over a time; no project can have this name
ALL = "_all"  # of all projects

_NAME = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,160}")
_SCOPE = re.compile(r"[a-z0-9-]{1,63}")
_TYPES = {"html": "text/html", "json": "application/json", "png": "image/png"}
_PARTS_OF_PAGE, _PARTS_OF_PICTURE = 3, 4


@dataclass(frozen=True)
class ReportPath:
    """A file of a report: `<project>/<model>/<name>.html`, or `_periods/<project>/<name>.html` and what lies beside it.

    `folder` is the model's, made of its name; empty for a report over a time. `project` is None for one of all projects.
    """

    project: str | None
    folder: str
    name: str

    @property
    def text(self) -> str:
        """Return the path below the shelf."""
        if self.folder:
            return f"{self.project}/{self.folder}/{self.name}"
        return f"{PERIODS}/{self.project or ALL}/{self.name}"

    @property
    def address(self) -> str:
        """Return the path at the gateway."""
        return f"{PREFIX}/{self.text}"

    @property
    def media_type(self) -> str:
        """Return what a browser takes it for."""
        return _TYPES[self.name.rpartition(".")[2]]


def parsed(text: str) -> ReportPath | None:
    """Return what a path below the shelf names; None for one that cannot be a report's."""
    first, *rest = text.split("/")
    names = rest if first != PERIODS else rest[1:]
    if not names or not all(_NAME.fullmatch(name) for name in names):
        return None
    if names[-1].rpartition(".")[2] not in _TYPES or not names[-1].rpartition(".")[0]:
        return None
    if first == PERIODS:
        return _of_period(rest[0], names)
    if len(rest) != _PARTS_OF_PAGE - 1 or not _SCOPE.fullmatch(first):
        return None
    return ReportPath(first, rest[0], rest[1])


def named_by(uri: str) -> ReportPath | None:
    """Return what the page at an address of events (`report_uri`, `uri`) is; None for one from elsewhere."""
    try:
        parts = unquote(urlsplit(uri).path).split("/")
    except ValueError:  # it is no address at all
        return None
    if len(parts) <= _PARTS_OF_PAGE or parts[-_PARTS_OF_PAGE - 1] != "reports":
        return None
    found = parsed("/".join(parts[-_PARTS_OF_PAGE:]))
    return found if found is not None and found.name.endswith(".html") else None


def opened_at(gateway: str, uri: str) -> str | None:
    """Return where people open the page at an address of events; None where no *gateway* or no such page is known."""
    found = named_by(uri)
    return f"{gateway.rstrip('/')}{found.address}" if gateway and found is not None else None


def _of_period(scope: str, names: list[str]) -> ReportPath | None:
    if len(names) > _PARTS_OF_PICTURE - 2 or not (scope == ALL or _SCOPE.fullmatch(scope)):
        return None
    return ReportPath(None if scope == ALL else scope, "", "/".join(names))
