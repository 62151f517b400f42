# SPDX-License-Identifier: Apache-2.0
"""report_page: which reports there are, as HTML, and the link to one of them from wherever an event names it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from typing import Any
from urllib.parse import urlencode

from mlops.contracts.report_paths import PREFIX, named_by
from mlops.gateway.http.frame import framed, table

_KINDS = {
    "day": "Day",
    "week": "Week",
    "period": "Period",
    "demo": "Demo: the closed loop",
    "drift": "Drift",
    "label": "Label drift",
    "performance": "Performance",
    "evaluation": "Evaluation",
    "report": "Report",
}
_KILO = 1000


def report_page(told: Mapping[str, Any], project: str, model: str) -> str:
    """Return the whole page."""
    reports: Sequence[Mapping[str, Any]] = told["reports"]
    left_out = int(told["left_out"])
    rows = [_row(one) for one in reports]
    more = f'<p class="none">{left_out} older ones are not shown</p>' if left_out else ""
    head = ("written", "", "project", "model", "of", "", "")
    body = table(head, rows) if rows else f'<p class="none">{_none(project)}</p>'
    return framed(f"<section><h2>{_title(project, model)}</h2>{body}{more}</section>")


def link(uri: str, text: str = "report") -> str:
    """Return a link to the report that an event names; nothing for an address that is none of ours."""
    found = named_by(uri)
    return "" if found is None else f'<a href="{escape(found.address)}">{escape(text)}</a>'


def _title(project: str, model: str) -> str:
    of = " · ".join(part for part in (project, model) if part)
    every = f' <a href="{PREFIX}"><small>show all</small></a>' if of else ""
    return f"Reports{escape(f' of {of}') if of else ''}{every}"


def _none(project: str) -> str:
    of = f" of {escape(project)}" if project else ""
    return (
        f"There is no report{of} yet. One comes every morning, one when drift is told, "
        "and one whenever <code>mlops report</code> or <code>mlops monitor evaluate</code> asks for it."
    )


def _row(one: Mapping[str, Any]) -> tuple[str, ...]:
    address, kind = str(one["address"]), str(one["kind"])
    figures = ""
    if one["period"]:
        figures = f'<a href="{escape(address.removesuffix(".html"))}.json">figures</a>'
    return (
        _when(str(one["written_at"])),
        f'<a href="{escape(address)}">{escape(_KINDS.get(kind, kind))}</a>',
        _narrowed(str(one["project"]), project=str(one["project"])),
        _narrowed(str(one["model"] or ""), project=str(one["project"]), model=str(one["model"])),
        f'<span class="line">{escape(_of(one))}</span>',
        figures,
        _size(int(one["size_bytes"])),
    )


def _narrowed(text: str, **wanted: str) -> str:
    address = f"{PREFIX}?{escape(urlencode(wanted))}"
    return f'<a class="line" href="{address}">{escape(text)}</a>' if text else ""


def _of(one: Mapping[str, Any]) -> str:
    if one["period"]:
        since, _, until = str(one["period"]).partition("..")
        return f"{_day(since)} to {_day(until)}"
    window = one["window"]
    return "" if window is None else f"v{one['version']}, window {window}"


def _day(text: str) -> str:
    """Return what a file's name calls a time, as people write it."""
    day, at, clock = text.partition("T")
    return f"{day} {clock[:2]}:{clock[2:4]}" if at else day


def _when(text: str) -> str:
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return f'<time datetime="{escape(text)}">{moment:%d %b %Y %H:%M} UTC</time>'


def _size(size: int) -> str:
    text = f"{size / _KILO:.0f} kB" if size < _KILO**2 else f"{size / _KILO**2:.1f} MB"
    return f'<span class="line">{text}</span>'
