# SPDX-License-Identifier: Apache-2.0
"""A workflow that a person lets go: where it is shown, and in which words, in whatever order it is heard of."""

from __future__ import annotations

import pytest

from mlops.contracts.examples import full
from mlops.contracts.message import Message
from mlops.contracts.orchestration_bridge import (
    WorkflowApproved,
    WorkflowCompleted,
    WorkflowQueued,
    WorkflowStarted,
)
from mlops.gateway.adapters.memory import MemoryOfBus
from mlops.gateway.model.describe import describe
from mlops.gateway.model.views import WorkflowView

QUEUED = full(WorkflowQueued).model_copy(update={"awaits_approval": True})
APPROVED, STARTED, COMPLETED = (
    full(WorkflowApproved),
    full(WorkflowStarted),
    full(WorkflowCompleted),
)


def shown(*messages: Message) -> WorkflowView:
    memory = MemoryOfBus()
    for message in messages:
        memory.take(message.envelope())
    return memory.world.workflows[QUEUED.workflow_key]


def test_an_approved_workflow_waits_for_no_person_any_more() -> None:
    assert shown(QUEUED).awaits_approval

    view = shown(QUEUED, APPROVED)

    assert (view.state, view.awaits_approval) == ("queued", False)
    assert view.decision == APPROVED.decision.reason
    assert view.why == QUEUED.why


@pytest.mark.parametrize("later", [STARTED, COMPLETED])
def test_an_approval_that_is_heard_late_opens_nothing_again(later: Message) -> None:
    assert shown(QUEUED, later, APPROVED).state == later.type.partition(".")[2]


def test_an_approval_reads_as_one_line() -> None:
    assert describe(APPROVED.envelope()) == (
        f"retrain {QUEUED.workflow_key} approved: nothing is in the way; 25% of its share is used"
    )
