# SPDX-License-Identifier: Apache-2.0
"""report: a page on how projects did over a day, a week, or any time; its figures as JSON for programs."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import unquote, urlsplit

import typer

from mlops.cli import output
from mlops.cli.gateway import Gateway
from mlops.cli.options import AnyProjectOption, HomeOption, JsonOption, home_of
from mlops.cli.progress import Progress
from mlops.cli.wishes import answered

_TYPE, _ANSWER = "cmd.report.make", "report.published"
_ALL_PROJECTS = "all-projects"
_PATIENCE_S = 300.0

_Period = Annotated[
    str,
    typer.Option(
        help="day or week, up to now, or FROM..TO: dates, or times as in 2026-11-01T08:00.",
        metavar="PERIOD",
    ),
]
_Open = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]


def report(
    project: AnyProjectOption = "",
    period: _Period = "day",
    browser: _Open = False,  # noqa: FBT002 - an option
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Write a report: accuracy, drift, traffic, latency, errors, versions, trainings, energy, machines, alerts."""
    data = {"period": period}
    with (
        Gateway(home_of(home), _PATIENCE_S) as gateway,
        Progress("reading what was recorded", quiet=as_json),
    ):
        _, found = answered(gateway, _TYPE, project or _ALL_PROJECTS, data, [_ANSWER], _PATIENCE_S)
    told = _published(found)
    figures = _figures(str(told.get("figures_uri") or ""))
    if as_json:
        output.print_json(figures if figures is not None else told)
        return
    for sentence in (figures or {}).get("headline", ()):
        output.say(str(sentence))
    page, shown = _path(str(told["uri"])), str(told.get("page_url") or "")
    for place in [str(one) for one in (page, shown) if one] or [str(told["uri"])]:
        output.console().print(place, soft_wrap=True, markup=False)
    if browser and (page is not None or shown):
        webbrowser.open(page.as_uri() if page is not None else shown)


def _published(found: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    told: Mapping[str, Any] = next(one["data"] for one in found if one["type"] == _ANSWER)
    return told


def _figures(uri: str) -> dict[str, Any] | None:
    """Return the figures, None where the platform keeps them on another machine."""
    path = _path(uri)
    try:
        found = None if path is None else json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _path(uri: str) -> Path | None:
    parts = urlsplit(uri)
    path = Path(unquote(parts.path))
    return path if parts.scheme == "file" and path.is_file() else None
