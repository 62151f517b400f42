# SPDX-License-Identifier: Apache-2.0
"""What the page says of silences: those that hold, each with a button that ends it, and a form that makes one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from urllib.parse import quote

from mlops.gateway.http import frame

KINDS = (
    "data", "missing", "prediction", "label", "performance", "latency", "replicas", "candidate", "rollout",
    "deployment", "data-remote", "reference", "training", "evaluation", "approval", "promotion", "declined", "dead-letters",
)  # fmt: skip
_LENGTHS = {3600: "1 hour", 4 * 3600: "4 hours", 86400: "1 day", 7 * 86400: "1 week"}


def section(found: Sequence[Mapping[str, object]] | None, below: str) -> str:
    """Return what is silenced, and *below* it the form; only the former is fetched anew: nobody loses what was typed."""
    held = frame.fresh("silences", _silences(found, ends=bool(below)))
    return f"<section><h2>Silences</h2>{held}{below}</section>"


def _silences(found: Sequence[Mapping[str, object]] | None, *, ends: bool) -> str:
    if found is None:
        return '<p class="none">monitoring does not answer: what is silenced cannot be told</p>'
    if not found:
        return '<p class="none">nothing is silenced</p>'
    head = ("project", "what", "until", "why", "by", "")
    return (
        f'<div class="cards">{frame.table(head, (_cells(one, ends=ends) for one in found))}</div>'
    )


def form(projects: Iterable[str]) -> str:
    """Return what makes a silence in one of the projects."""
    options = "".join(f"<option>{escape(name)}</option>" for name in projects)
    kinds = "".join(f'<option value="{kind}">' for kind in KINDS)
    lengths = "".join(f'<option value="{time}">{text}</option>' for time, text in _LENGTHS.items())
    return (
        "<details><summary>Silence alerts for a while</summary>"
        '<form data-path="/api/v1/alerts/silences">'
        f'<label>project <select name="project">{options}</select></label>'
        '<label>model <input name="model" placeholder="all" maxlength="256"></label>'
        '<label>kind <input name="kind" list="kinds" placeholder="all" maxlength="64"></label>'
        f'<datalist id="kinds">{kinds}</datalist>'
        f'<label>for <select name="for_s">{lengths}</select></label>'
        '<label>why <input name="why" maxlength="500" required></label>'
        '<label>by <input name="by" maxlength="256" placeholder="the status page"></label>'
        "<button>Silence</button><output></output></form></details>"
    )


def _cells(one: Mapping[str, object], *, ends: bool) -> tuple[str, ...]:
    about = ", ".join(str(one[name]) for name in ("model", "kind") if one.get(name))
    path = f"/api/v1/alerts/silences/{quote(str(one.get('silence_id', '')), safe='')}"
    return (
        escape(str(one.get("project", ""))),
        escape(about or "everything"),
        frame.moment(str(one.get("until", ""))),
        escape(str(one.get("why") or "")),
        escape(str(one.get("by") or "")),
        f'<button data-method="DELETE" data-path="{escape(path)}">End</button>' if ends else "",
    )
