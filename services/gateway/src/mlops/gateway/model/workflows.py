# SPDX-License-Identifier: Apache-2.0
"""How facts change a workflow as the gateway shows it: its state, its attempts, and what the present one is asked."""

from __future__ import annotations

from dataclasses import replace

from mlops.gateway.model.facts import Fact
from mlops.gateway.model.views import AskedView, WorkflowView
from mlops.gateway.model.world import World, put

_ENDED = ("completed", "failed", "cancelled")
# What changes nothing of what a workflow is asked; it is asked nothing once it has parted or started anew.
_GOES_ON = ("workflow.queued", "workflow.approved")


def changed(world: World, fact: Fact) -> None:
    """Take in what happened to a workflow."""
    data, name = fact.data, fact.data.text("workflow_key")
    if fact.type == "workflow.declined":
        _declined(world, fact)
        return
    empty = WorkflowView(fact.scope, name, data.text("kind"), "queued", queued_at=fact.time)
    known = world.workflows.get(name, empty)
    view = replace(
        known,
        state=_state(known.state, fact.happened),
        model=data.text("model") or known.model,
        why=data.text("why") or known.why,
        trigger_type=data.text("trigger_type") or known.trigger_type,
        trigger_id=data.text("trigger_id") or known.trigger_id,
        decision=data.inner("decision").text("reason") or data.text("reason") or known.decision,
        awaits_approval=data.flag("awaits_approval"),
        url=data.text("url") or known.url,
        diagnosis=data.text("diagnosis") or known.diagnosis,
        duration_s=data.number("duration_s"),
        attempt=max(known.attempt, _attempt(fact)),
        node=data.text("node") or known.node,
        asked=known.asked if fact.type in _GOES_ON else None,
        energy_j=data.inner("energy").number("joules"),
        hardware=tuple(one.text("text") for one in data.inners("hardware")) or known.hardware,
        suggestion=data.text("suggestion") or known.suggestion,
        at=fact.time,
    )
    put(world.workflows, name, view)


def asked(world: World, fact: Fact) -> None:
    """Take in what a running workflow is asked; nothing of an attempt that has parted, or of one that is over."""
    known = world.workflows.get(fact.data.text("workflow_key"))
    attempt = fact.data.whole("attempt") or 1
    if known is None or known.state in _ENDED or attempt < known.attempt:
        return
    request = AskedView(
        ask=fact.data.text("ask"),
        request=fact.data.whole("request") or 1,
        attempt=attempt,
        reason=fact.data.text("reason"),
        node=fact.data.text("node"),
        at=fact.time,
    )
    put(world.workflows, known.workflow_key, replace(known, asked=request))


def _attempt(fact: Fact) -> int:
    """Return the newest attempt that a fact knows of; one that was taken from its machine waits for the next."""
    told = fact.data.whole("attempt") or 1
    parted = fact.type == "workflow.rescheduled" and fact.data.says("from_checkpoint")
    return told + 1 if parted else told


def _state(before: str, now: str) -> str:
    if before in _ENDED and now not in _ENDED:
        return before
    if now == "approved":
        return before  # it stands where it stood, and waits for no person any more
    return "queued" if now == "rescheduled" else now


def _declined(world: World, fact: Fact) -> None:
    view = WorkflowView(
        project=fact.scope,
        workflow_key=f"declined-{fact.data.text('trigger_id')}",
        kind=fact.data.text("kind"),
        state="declined",
        model=fact.data.text("model"),
        why=fact.data.text("reason"),
        trigger_type=fact.data.text("trigger_type"),
        trigger_id=fact.data.text("trigger_id"),
        queued_at=fact.time,
        at=fact.time,
    )
    put(world.workflows, view.workflow_key, view)
