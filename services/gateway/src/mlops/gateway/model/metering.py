# SPDX-License-Identifier: Apache-2.0
"""How facts change the ledger of energy: runs and workflows that end, and versions that were metered."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from mlops.gateway.model.facts import Fact
from mlops.gateway.model.fields import Fields
from mlops.gateway.model.ledger import Amount, Ledger, Served, Unit

_WORKFLOW = "mlops.workflow_key"


def take(ledger: Ledger, fact: Fact) -> None:
    """Enter a fact; one that tells of no energy changes nothing."""
    kind, _, state = fact.type.partition(".")
    if kind == "run" and state in ("completed", "failed", "stale"):
        _run(ledger, fact, state)
    elif kind == "workflow" and state in ("completed", "failed", "cancelled"):
        _workflow(ledger, fact, state)
    elif fact.type == "deployment.metered":
        _served(ledger, fact)


def _run(ledger: Ledger, fact: Fact, state: str) -> None:
    data = fact.data
    ledger.put(
        Unit(
            kind="run",
            name=data.text("run_id"),
            project=fact.scope,
            title=data.text("run_name"),
            state=state,
            since=data.text("started_at"),
            until=data.text("ended_at") or fact.time,
            told=_amount(data),
            workflow=data.inner("tags").text(_WORKFLOW),
            how=data.inner("energy").text("how"),
        )
    )


def _workflow(ledger: Ledger, fact: Fact, state: str) -> None:
    data, name = fact.data, fact.data.text("workflow_key")
    known = ledger.units.get(("workflow", name), Unit("workflow", name, fact.scope))
    ledger.put(
        replace(
            known,
            title=data.text("kind"),
            model=data.text("model"),
            state=state,
            since=_since(fact) or known.since,
            until=fact.time,
            told=_amount(data),
            how=data.inner("energy").text("how"),
        )
    )


def _served(ledger: Ledger, fact: Fact) -> None:
    data, version = fact.data, fact.data.whole("version")
    if version is None:
        return
    predictions, amount = max(0, data.whole("predictions") or 0), _amount(data)
    ledger.serve(
        (fact.scope, data.text("model"), version),
        Served(
            amount=amount,
            predictions=predictions,
            metered_predictions=predictions if amount else 0,
            metered_j=amount.joules if amount and predictions else 0.0,
            until=data.text("until") or fact.time,
        ),
        data.text("since"),
    )


def _amount(data: Fields) -> Amount | None:
    energy = data.inner("energy")
    joules = energy.number("joules")
    if joules is None or joules < 0:
        return None
    return Amount(joules, joules if energy.flag("measured") else 0.0)


def _since(fact: Fact) -> str:
    """Return when a workflow began, by its end and its length; empty where it never did."""
    lasted_s = fact.data.number("duration_s")
    try:
        ended = datetime.fromisoformat(fact.time)
        return "" if lasted_s is None else (ended - timedelta(seconds=lasted_s)).isoformat()
    except (ValueError, OverflowError):
        return ""
