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
    WorkflowCancelled,
    WorkflowKind,
)
from mlops.orchestration_bridge.model import lifecycle
from mlops.orchestration_bridge.model.lifecycle import Wish
from mlops.orchestration_bridge.model.queue import Entry, Queue, State
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
            await self._pipelines.stop(command.project, key)
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
        entry = await self._known(command)
        if entry.state in (State.CANCELLED, State.COMPLETED, State.FAILED):
            raise RejectedError(
                f"workflow {entry.key!r} is already {entry.state.value}; there is nothing to approve"
            )
        await self._books.change(
            command.project,
            lambda now: lifecycle.approved(now, command.workflow_key),
            applied=command.id,
        )
        return []

    async def _known(self, command: CancelWorkflow | ApproveWorkflow) -> Entry:
        queue = await self._books.queue(command.project)
        entry = queue.entry(command.workflow_key) if queue else None
        if entry is None:
            raise RejectedError(
                f"project {command.project!r} has no workflow {command.workflow_key!r}; "
                f"it has: {_names(queue)}"
            )
        return entry


def _names(queue: Queue | None) -> str:
    names = [entry.key for entry in queue.entries if entry.active] if queue else []
    return ", ".join(names) or "none that waits or runs"
