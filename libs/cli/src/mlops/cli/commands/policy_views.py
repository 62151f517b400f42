# SPDX-License-Identifier: Apache-2.0
"""A policy and a verdict, as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from mlops.cli import output
from mlops.cli.amounts import span

_CONSENT = {
    "auto": "nobody is asked: it starts",
    "approve": "a person must approve it: `mlops workflow approve KEY`",
    "suggest": "it is only suggested: a person starts it with `mlops workflow start`",
    "never": "none starts by itself",
}
_DRIFT = "drift.detected of severity critical: answers that changed, or columns that moved by far"
_WORSE = "performance.degraded: labelled windows below what the version promised"


def print_policy(name: str, settings: Mapping[str, Any], queue: Mapping[str, Any]) -> None:
    """Print the policy of a project on one page."""
    retrain, monitor = settings["retrain"], settings["monitor"]
    on = retrain["on"]
    triggers = [
        text for type_, text in (("drift", _DRIFT), ("performance", _WORSE)) if _has(on, type_)
    ]
    used = queue.get("used_today", 0)
    rows = [
        ("retrains on", "; ".join(triggers) or "nothing"),
        ("who says yes", _CONSENT.get(retrain["mode"], retrain["mode"])),
        ("cooldown", f"{_length(retrain['cooldown'])} from the end of the last one of the model"),
        ("at most", f"{retrain['max_per_day']} in any 24 hours; {used} are used"),
        ("a story may start", f"{retrain['max_causation_depth']} workflows, then it is broken off"),
        ("follow-up", _follow_up(retrain["follow_up_windows"])),
        ("a window is degraded", _degraded(monitor)),
        ("waits for", ", ".join(_waiting(queue)) or "nothing is owed or under way"),
        ("last declined", _last(queue)),
    ]
    if queue.get("archived"):
        rows.insert(0, ("archived", "nothing starts any more"))
    output.say(f"The retraining policy of {name}")
    output.print_rows(("", ""), rows, "nothing")
    output.say(f"Try others: mlops policy simulate -p {name} --set retrain.cooldown=10m,1h,6h")


def print_verdict(found: Mapping[str, Any]) -> None:
    """Print what an event would do."""
    retry = (
        f"; the same would be accepted from {_at(found['retry_at'])}" if found["retry_at"] else ""
    )
    rule = f" ({found['rule']})" if found["rule"] else ""
    output.say(f"{found['type']}: {found['verdict']}{rule}")
    output.say(f"  {found['reason']}{retry}")


def _has(on: list[str], word: str) -> bool:
    return any(one.startswith(word) for one in on)


def _length(text: str) -> str:
    seconds = float(str(text).removesuffix("s"))
    return span(seconds) if seconds else "none"


def _follow_up(windows: int) -> str:
    if not windows:
        return "none"
    return f"one more, {windows} measured windows after one that degradation has started"


def _degraded(monitor: Mapping[str, Any]) -> str:
    accuracy = monitor["accuracy"]
    parts = [f"{accuracy['drop']:g} worse than promised"] if accuracy["drop"] is not None else []
    parts += [f"beyond {accuracy['min']:g}"] if accuracy["min"] is not None else []
    return f"when the metric is {' or '.join(parts)}" if parts else "never: no limit is set"


def _waiting(queue: Mapping[str, Any]) -> list[str]:
    found = [f"{one['key']} ({one['state']})" for one in queue.get("workflows", ())]
    return found + [
        f"the follow-up of {one['after']} ({one['windows']} of {one['of']} windows)"
        for one in queue.get("follow_ups", ())
    ]


def _last(queue: Mapping[str, Any]) -> str:
    declined = queue.get("declined") or ()
    return f"{_at(declined[-1]['at'])}: {declined[-1]['reason']}" if declined else "-"


def _at(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone():%d %b %H:%M:%S}"
