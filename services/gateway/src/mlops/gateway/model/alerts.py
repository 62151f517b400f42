# SPDX-License-Identifier: Apache-2.0
"""How facts change an alert as the gateway shows it: who has seen it, whom it was told to, whether it is over."""

from __future__ import annotations

from dataclasses import replace

from mlops.gateway.model.facts import Fact
from mlops.gateway.model.views import AlertView
from mlops.gateway.model.world import World, put

_CHANGING = ("alert.raised", "alert.acknowledged", "alert.resolved")


def changed(world: World, fact: Fact) -> None:
    """Take in what happened to an alert; a silence is none."""
    name = fact.data.text("alert_id")
    known = world.alerts.get(name)
    if fact.type == "alert.notified" and known is not None:
        channel = fact.data.text("channel")
        told = tuple(dict.fromkeys((*known.told, channel)))
        world.alerts[name] = replace(known, told=told)
    if fact.type not in _CHANGING:
        return
    if known is None:
        known = AlertView(fact.scope, name, "unknown", "", "", "", (), fact.time)
    if fact.type == "alert.raised":
        known = _raised(known, fact)
    elif fact.type == "alert.acknowledged":
        # It may have ended while somebody said so: it is over all the same.
        state = known.state if known.state == "resolved" else "acknowledged"
        known = replace(known, state=state, by=fact.data.text("by"))
    else:
        known = replace(known, state="resolved", over=fact.data.text("reason"))
    put(world.alerts, name, replace(known, at=fact.time))


def _raised(known: AlertView, fact: Fact) -> AlertView:
    data = fact.data
    return replace(
        known,
        # It got worse or came back: whoever has seen it still has.
        state="acknowledged" if known.by else "raised",
        over="",
        severity=data.text("severity"),
        title=data.text("title"),
        model=data.text("about_model"),
        links=tuple(sorted(data.strings("links"))),
        kind=data.text("kind"),
        suggestion=data.text("suggestion"),
        count=data.whole("count") or 1,
    )
