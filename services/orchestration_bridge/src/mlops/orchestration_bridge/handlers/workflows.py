# SPDX-License-Identifier: Apache-2.0
"""A person lets a workflow go, or takes it out."""

from __future__ import annotations

from collections.abc import Sequence

from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message
from mlops.contracts.orchestration_bridge import (
    ApproveWorkflow,
    CancelWorkflow,
    WorkflowApproved,
    WorkflowCancelled,
    WorkflowKind,
)
from mlops.orchestration_bridge.handlers.decisions import decided
from mlops.orchestration_bridge.model import lifecycle
from mlops.orchestration_bridge.model.lifecycle import Wish
from mlops.orchestration_bridge.model.queue import Entry, Queue
from mlops.orchestration_bridge.ports.books import Books
from mlops.orchestration_bridge.ports.pipelines import Pipelines


class Workflows:
    """Wishes about workflows that exist."""

    def __init__(self, books: Books, pipelines: Pipelines, clock: Clock) -> None:
        self._books = books
        self._pipelines = pipelines
        self._clock = clock

    async def do_cancel_workflow(self, command: CancelWorkflow) -> Sequence[Message]:
        """Take the workflow out of the queue, or end its run."""
        await self._known(command)
        wish = Wish(command.id, command.reason or "a person cancelled it")
        key = command.workflow_key
        queue = await self._books.change(
            command.project,
            lambda now: lifecycle.cancelled(now, key, wish, self._clock()),
            applied=command.id,
        )
        entry = queue.entry(key)
        if entry is None or entry.cancelled_by != command.id:
            state = entry.state.value if entry else "gone"
            raise RejectedError(f"workflow {key!r} is already {state}; there is nothing to cancel")
        self._books.notes.pop(key, None)
        if entry.admitted_at is not None:
            await self._pipelines.stop(command.project, key, entry.attempt)
        return [
            WorkflowCancelled(
                project=command.project,
                workflow_key=key,
                kind=WorkflowKind(entry.kind),
                model=entry.model,
                reason=entry.reason[:500],
            )
        ]

    async def do_approve_workflow(self, command: ApproveWorkflow) -> Sequence[Message]:
        """Let a workflow go that waits for a person; the dispatcher does the rest."""
        await self._known(command)
        key = command.workflow_key
        queue = await self._books.change(
            command.project,
            lambda now: lifecycle.approved(now, key, command.id, self._clock()),
            applied=command.id,
        )
        entry = queue.entry(key)
        if entry is None or entry.approved_by != command.id:
            raise RejectedError(_nothing_to_approve(key, entry))
        waited = (entry.approved_at or entry.queued_at) - entry.queued_at
        return [
            WorkflowApproved(
                project=command.project,
                workflow_key=key,
                kind=WorkflowKind(entry.kind),
                model=entry.model,
                waited_s=max(0.0, waited.total_seconds()),
                decision=await decided(self._books, self._clock, entry),
            )
        ]

    async def _known(self, command: CancelWorkflow | ApproveWorkflow) -> Entry:
        queue = await self._books.queue(command.project)
        entry = queue.entry(command.workflow_key) if queue else None
        if entry is None:
            raise RejectedError(
                f"project {command.project!r} has no workflow {command.workflow_key!r}; "
                f"it has: {_names(queue)}"
            )
        return entry


def _nothing_to_approve(key: str, entry: Entry | None) -> str:
    if entry is None:
        return f"workflow {key!r} is already gone; there is nothing to approve"
    if entry.approved_by and entry.active:
        return f"workflow {key!r} is approved already; it is {entry.state.value}"
    if entry.active:
        return f"workflow {key!r} waits for no person; it is {entry.state.value}"
    return f"workflow {key!r} is already {entry.state.value}; there is nothing to approve"


def _names(queue: Queue | None) -> str:
    names = [entry.key for entry in queue.entries if entry.active] if queue else []
    return ", ".join(names) or "none that waits or runs"
