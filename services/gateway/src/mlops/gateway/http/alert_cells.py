# SPDX-License-Identifier: Apache-2.0
"""What the page says of alerts: those that are open with their buttons, and below them the newest that are over."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from urllib.parse import quote

from mlops.gateway.http import frame
from mlops.gateway.http.report_page import link
from mlops.gateway.model.views import AlertView

_PAGE = "the status page"
_QUIETS = {3600: ("Quiet for 1 h", "quiet for an hour"), 86400: ("1 d", "quiet for a day")}
_LONGEST = 300
_OPEN, _OVER = 20, 8


def alerts(
    known: Iterable[AlertView], silences: Sequence[Mapping[str, object]], *, writes: bool
) -> str:
    """Return what is open, with buttons for those who may *write*, and what was; *silences* are those that hold."""
    found = list(known)[::-1]
    live = [one for one in found if one.state != "resolved"]
    over = [one for one in found if one.state == "resolved"]
    head = ("project", "", "what", "people", "since", "")
    shown = frame.table(head, (_open(one, silences, writes=writes) for one in live[:_OPEN]))
    if not live:
        shown = f'<p class="none">{"no alert is open" if over else "none yet"}</p>'
    more = len(live) - _OPEN
    left = f'<p class="none">{more} more: <code>mlops alerts</code></p>' if more > 0 else ""
    return f'<div class="cards">{shown}{left}{_ended(over)}</div>'


def _open(
    alert: AlertView, silences: Sequence[Mapping[str, object]], *, writes: bool
) -> tuple[str, ...]:
    return (
        escape(alert.project),
        frame.badge(alert.severity),
        _what(alert),
        _people(alert, silences),
        frame.moment(alert.at),
        _buttons(alert) if writes else "",
    )


def _ended(over: Sequence[AlertView]) -> str:
    if not over:
        return ""
    count = (
        f"over: {len(over)}" if len(over) <= _OVER else f"over: the newest {_OVER} of {len(over)}"
    )
    rows = (
        (
            escape(one.project),
            frame.badge(one.state),
            f"{escape(one.title)}{_why(one)}",
            frame.moment(one.at),
        )
        for one in over[:_OVER]
    )
    shown = frame.table(("project", "", "what", "over since"), rows)
    return f"<details><summary>{count}</summary>{shown}</details>"


def _why(alert: AlertView) -> str:
    return f"<br><small>{escape(alert.over[:_LONGEST])}</small>" if alert.over else ""


def _what(alert: AlertView) -> str:
    again = f" <small>{alert.count} times</small>" if alert.count > 1 else ""
    do = f"<br><small>{escape(alert.suggestion[:_LONGEST])}</small>" if alert.suggestion else ""
    reports = "".join(f" {link(one)}" for one in alert.links)
    return f"{escape(alert.title)}{again}{reports}{do}"


def _people(alert: AlertView, silences: Sequence[Mapping[str, object]]) -> str:
    told = f"told {', '.join(alert.told)}" if alert.told else ""
    seen = f"seen by {alert.by}" if alert.by else ""
    ends = max((str(one.get("until", "")) for one in silences if _covers(one, alert)), default="")
    quiet = f"silenced until {ends[:16].replace('T', ' ')} UTC" if ends else ""
    return escape("; ".join(part for part in (told, seen, quiet) if part))


def _covers(silence: Mapping[str, object], alert: AlertView) -> bool:
    """Return whether nobody is told of an alert; a silence that names no model, or no kind, is of all."""
    return silence.get("project") == alert.project and all(
        silence.get(name) in (None, about)
        for name, about in (("model", alert.model), ("kind", alert.kind))
    )


def _buttons(alert: AlertView) -> str:
    path = f"/api/v1/alerts/{quote(alert.alert_id, safe='')}/acknowledge"
    silence = {
        "project": alert.project,
        "model": alert.model or None,
        "kind": alert.kind or None,
        "by": _PAGE,
    }
    seen = "" if alert.by else _button("Seen", path, {"by": _PAGE})
    quiet = " ".join(
        _button(text, "/api/v1/alerts/silences", {**silence, "for_s": time, "why": why})
        for time, (text, why) in _QUIETS.items()
    )
    return f"{seen} {quiet}"


def _button(text: str, path: str, body: Mapping[str, object]) -> str:
    return (
        f'<button data-path="{escape(path)}" data-body="{escape(json.dumps(body))}">{text}</button>'
    )
