# SPDX-License-Identifier: Apache-2.0
"""Waiting: what goes on only with a person's yes is an alert until somebody has said something."""

from __future__ import annotations

from mlops.contracts.monitoring import Severity
from mlops.contracts.orchestration_bridge import (
    WorkflowApproved,
    WorkflowCancelled,
    WorkflowQueued,
    WorkflowStarted,
)
from mlops.contracts.tracking import ModelNominated, ModelPromoted
from mlops.monitoring.handlers.troubles import GoodNews, Meaning, Trouble

APPROVAL, PROMOTION = "approval", "promotion"
_LONGEST = 300


def of_queued(event: WorkflowQueued) -> Meaning:
    """Return that a workflow waits for a yes, if it does."""
    if not event.awaits_approval:
        return Meaning()
    title = f"{event.kind.value} of {event.model or event.project} waits for a yes: {event.why}"
    advice = (
        f"`mlops workflow approve {event.workflow_key}` lets it go, "
        f"`mlops workflow cancel {event.workflow_key}` does not."
    )
    return Meaning(
        Trouble(
            event.model or "",
            APPROVAL,
            Severity.WARNING,
            title[:_LONGEST],
            advice,
            retrains=True,
        )
    )


def of_decided(event: WorkflowApproved | WorkflowCancelled | WorkflowStarted) -> Meaning:
    """Return that a workflow waits for nobody."""
    how = event.type.rpartition(".")[2]
    reason = f"workflow {event.workflow_key} was {how}"
    return Meaning(over=(GoodNews(event.model or "", (APPROVAL,), reason),))


def of_nominated(event: ModelNominated) -> Meaning:
    """Return that a version waits for a yes to be promoted."""
    title = f"{event.name} v{event.version} waits for a yes: {event.reason}"
    advice = f"`mlops model promote {event.name} {event.version}` makes it the champion."
    return Meaning(Trouble(event.name, PROMOTION, Severity.WARNING, title[:_LONGEST], advice))


def of_promoted(event: ModelPromoted) -> Meaning:
    """Return that a version was chosen."""
    reason = f"version {event.version} was promoted"
    return Meaning(over=(GoodNews(event.name, (PROMOTION,), reason),))
