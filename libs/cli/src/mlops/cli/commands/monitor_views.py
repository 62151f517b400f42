# SPDX-License-Identifier: Apache-2.0
"""Monitor views: how models do, and what a judgement found, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from mlops.cli import output
from mlops.cli.commands.alerts import print_alerts
from mlops.cli.runs import short, sparkline

_COURSE = 16
_NAMED = 3


def print_models(models: Sequence[Mapping[str, Any]]) -> None:
    """Print a line for each model that is watched."""
    columns = ("project", "model", "version", "metric", "now", "expected", "below", "state", "drift", "window", "course", "labels wait", "reference")  # fmt: skip
    rows = [_model(one) for one in models]
    spare = ("reference", "labels wait", "below", "course", "metric", "version")
    output.print_rows(columns, rows, "no model is watched yet: one is once it is deployed", spare)


def print_open(alerts: Sequence[dict[str, Any]]) -> None:
    """Print the alerts that are open."""
    output.say("")
    shown = [
        {**one, "state": "acknowledged" if one.get("acknowledged_by") else "open"} for one in alerts
    ]
    print_alerts(shown, "no open alerts")


def print_judgement(model: str, found: Mapping[str, Any]) -> None:
    """Print what a table looks like beside the reference."""
    out = output.console()
    suggested = bool(found.get("retraining_suggested"))
    said = ("retraining suggested", "bold red") if suggested else ("no need to retrain", "green")
    out.print(Text.assemble((f"{model} version {found.get('version')}", "bold"), "  ", said))
    for line in (*(found.get("reasons") or ()), found.get("suggestion")):
        if line:
            out.print(Text(f"  {line}"))
    output.print_fields(_outline(found), 1)
    columns = ("column", "of", "state", "score", "threshold", "test")
    rows = [
        (
            one["name"],
            one["kind"],
            Text("drifted", style="bold red")
            if one["drifted"]
            else Text("as before", style="green"),
            one["score"],
            one["threshold"],
            one["test"],
        )
        for one in (found.get("drift") or {}).get("columns") or ()
    ]
    out.print()
    output.print_rows(columns, rows, "no column could be compared", ("test", "of"))


def _outline(found: Mapping[str, Any]) -> dict[str, object]:
    drift, reference = found.get("drift") or {}, found.get("reference") or {}
    performance = found.get("performance")
    lines: dict[str, object] = {
        "rows": f"{found.get('rows')} against {reference.get('rows')} of {reference.get('origin')}",
        "columns drifted": _share(drift),
        "missing columns": ", ".join(drift.get("missing_columns") or ()),
        "unexpected columns": ", ".join(drift.get("unexpected_columns") or ()),
        "performance": _performance(performance) if performance else "no truth in the table",
    }
    return {name: value for name, value in lines.items() if value}


def _share(drift: Mapping[str, Any]) -> str:
    if drift.get("cannot_judge"):
        return f"cannot be said: {drift['cannot_judge']}"
    share = drift.get("share_drifted_ratio")
    return "" if share is None else f"{share:.0%}"


def _performance(one: Mapping[str, Any]) -> Text:
    expected = "" if one.get("expected") is None else f", expected {short(one['expected'])}"
    below = "" if one.get("threshold") is None else f", degraded from {short(one['threshold'])}"
    text = f"{one['metric']} {short(one['value'])}{expected}{below}, over {one.get('rows')} rows"
    return Text(text, style="bold red" if one.get("degraded") else "green")


def _model(one: Mapping[str, Any]) -> list[object]:
    values = [w["value"] for w in one["windows"] if w.get("value") is not None]
    window = one.get("open_window") or {}
    reference = one.get("reference") or {}
    return [
        one["project"],
        one["model"],
        one.get("version"),
        one.get("metric"),
        short(values[-1]) if values else None,
        short(one.get("expected")),
        short(one.get("threshold")),
        _state(one, measured=bool(values)),
        _drift(one.get("drift") or {}, _new_columns(one["windows"])),
        f"{window['rows']}/{window['size']}" if window else None,
        Text(sparkline(values, _COURSE), style="green") if values else None,
        one.get("waiting_for_labels") or None,
        _reference(reference) if reference else None,
    ]


def _reference(found: Mapping[str, Any]) -> str:
    growth = f"; {found['growth']}" if found.get("growth") else ""
    return f"{found['origin']}, {found['rows']} rows{growth}"


def _state(one: Mapping[str, Any], *, measured: bool) -> Text:
    if one.get("degraded"):
        return Text("degraded", style="bold red")
    return Text("well", style="green") if measured else Text("not measured", style="dim")


def _new_columns(windows: Sequence[Mapping[str, Any]]) -> str:
    """Return what the newest judged window has that its reference lacks."""
    names = windows[-1].get("unexpected_columns") if windows else None
    if not names:
        return ""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"; not in the reference: {', '.join(names[:_NAMED])}{more}"


def _drift(kinds: Mapping[str, Mapping[str, Any]], new: str) -> Text:
    on = {kind: alarm for kind, alarm in kinds.items() if alarm.get("on")}
    if not on:
        return Text(f"none{new}", style="yellow" if new else "green")
    critical = any(alarm.get("critical") for alarm in on.values())
    return Text(", ".join(on) + new, style="bold red" if critical else "yellow")
