# SPDX-License-Identifier: Apache-2.0
"""The part of a report's page that holds a period against the one before it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from mlops.monitoring.model.reports_words import energy, figure_name

Found = dict[str, Any]
Row = Sequence[str]
HEAD = ("", "figure", "#before", "#now", "#change", "")

_MOST_ROWS = 40
_FEW_MODELS = 3
_MANIFOLD = 3.0
# What is worse when there is more of it; of anything else only a person knows.
_WORSE_UP = ("failed_ratio", "p95_ms", "joules_per_1000", "drift", "energy")


def rows(report: Found) -> tuple[list[Row], str]:
    """Return the rows of the table, and a sentence about those that are left out.

    Of many models only what changed by more than noise is shown; everything together is shown always.
    """
    changes: list[Found] = report["changes"]
    models = {(one["project"], one["model"]) for one in changes if one["model"]}
    shown = [one for one in changes if _matters(one, len(models))]
    quiet = sum(one["beyond_noise"] is False for one in changes if one not in shown)
    over = max(0, len(shown) - _MOST_ROWS)
    said = [f"{quiet} other figures of models stayed within noise." if quiet else ""]
    said.append(f"{over} more changed by more than noise." if over else "")
    table = [_row(one, report["project"]) for one in shown[:_MOST_ROWS]]
    return table, " ".join(part for part in said if part)


def _matters(change: Found, models: int) -> bool:
    if not change["model"] or models <= _FEW_MODELS:
        return change["before"] is not None or change["now"] is not None
    return change["beyond_noise"] is True


def _row(change: Found, project: str | None) -> Row:
    owner = "" if project or not change["project"] else f"{change['project']} · "
    name = f"{owner}{change['model']}" if change["model"] else "everything"
    before, now = (_value(change, change[end]) for end in ("before", "now"))
    return (
        escape(name), escape(figure_name(change["figure"], change["metric"])), before, now, _change(change), _verdict(change),
    )  # fmt: skip


def _value(change: Found, value: float | None) -> str:
    if value is None:
        return "—"
    words = {
        "predictions": f"{value:,.0f}",
        "drift": f"{value:.0f}",
        "failed_ratio": f"{value:.2%}",
        "p95_ms": f"{value:.3g} ms",
        "joules_per_1000": f"{value:.3g} J",
        "energy": energy(value),
    }
    return words.get(change["figure"], f"{value:.4g}")


def _change(change: Found) -> str:
    before, now = change["before"], change["now"]
    if before is None or now is None:
        return "—"
    if change["figure"] == "quality":
        return f"{now - before:+.3g}"
    if change["figure"] == "failed_ratio":
        return f"{now - before:+.2%}"
    if change["figure"] == "drift" or not before:
        return f"{now - before:+g}"
    ratio = now / before
    return (
        f"&times;&nbsp;{ratio:.3g}"
        if ratio >= _MANIFOLD
        else f"{ratio - 1:+.0%}".replace("-0%", "+0%")
    )


def _verdict(change: Found) -> str:
    if change["beyond_noise"] is None:
        return f'<span class="c-mute">{escape(change["why"])}</span>'
    if not change["beyond_noise"]:
        return '<span class="c-mute">within noise</span>'
    tone = "c-warn"
    if change["figure"] in _WORSE_UP:
        tone = "c-bad" if change["now"] > change["before"] else "c-good"
    return f'<span class="pill {tone}">more than noise</span>'
