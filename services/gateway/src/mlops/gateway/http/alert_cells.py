# SPDX-License-Identifier: Apache-2.0
"""What the page says of an alert, and its buttons: seen, quiet for an hour, quiet for a day."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from urllib.parse import quote

from mlops.gateway.http.report_page import link
from mlops.gateway.model.views import AlertView

_PAGE = "the status page"
_QUIETS = {3600: ("Quiet for 1 h", "quiet for an hour"), 86400: ("1 d", "quiet for a day")}
_LONGEST = 300


def what(alert: AlertView) -> str:
    """Return the alert in one line, and what to do about it."""
    again = f" <small>{alert.count} times</small>" if alert.count > 1 else ""
    do = f"<br><small>{escape(alert.suggestion[:_LONGEST])}</small>" if alert.suggestion else ""
    reports = "".join(f" {link(one)}" for one in alert.links)
    return f"{escape(alert.title)}{again}{reports}{do}"


def people(alert: AlertView) -> str:
    """Return who was told, and who has seen it."""
    told = f"told {', '.join(alert.told)}" if alert.told else ""
    seen = f"seen by {alert.by}" if alert.by else ""
    return escape("; ".join(part for part in (told, seen) if part))


def buttons(alert: AlertView) -> str:
    """Return what a visitor may do about it."""
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
