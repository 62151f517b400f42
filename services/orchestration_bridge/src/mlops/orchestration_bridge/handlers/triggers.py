# SPDX-License-Identifier: Apache-2.0
"""A trigger becomes a queued workflow or a reason why not; the queue remembers which, so a repeat says the same."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.monitoring import DriftDetected, PerformanceDegraded, PerformanceMeasured
from mlops.contracts.orchestration_bridge import (
    StartWorkflow,
    WorkflowDeclined,
    WorkflowKind,
    WorkflowQueued,
)
from mlops.orchestration_bridge.handlers import asking
from mlops.orchestration_bridge.handlers.decisions import decided
from mlops.orchestration_bridge.model import policy
from mlops.orchestration_bridge.model.fleet import Fleet
from mlops.orchestration_bridge.model.queue import Entry, Queue, State, Trigger
from mlops.orchestration_bridge.ports.books import Books

# A message may overtake the registration of its project; this long it is tried again instead of refused.
PATIENCE = timedelta(seconds=5)
_RUNNABLE = (WorkflowKind.TRAIN, WorkflowKind.RETRAIN, WorkflowKind.FEDERATED)

ProjectMessage = DriftDetected | PerformanceDegraded | PerformanceMeasured | StartWorkflow


class Triggers:
    """Everything that can ask for a workflow."""

    def __init__(self, books: Books, clock: Clock) -> None:
        self._books = books
        self._clock = clock

    async def on_drift_detected(self, event: DriftDetected) -> Sequence[Message]:
        """Retrain on critical drift."""
        return await self._on(event)

    async def on_performance_degraded(self, event: PerformanceDegraded) -> Sequence[Message]:
        """Retrain a model that does worse than promised."""
        return await self._on(event)

    async def on_performance_measured(self, event: PerformanceMeasured) -> Sequence[Message]:
        """Count the window for a retraining that wants one more; ask for it when there are enough."""
        if event.partial or await self._books.queue(event.project) is None:
            return []
        fleet = (await self._books.world()).fleet

        def change(now: Queue) -> Queue:
            return asking.after_window(now, event, lambda q, t: self._applied(q, t, fleet))

        queue = await self._books.change(event.project, change, applied=event.id)
        return await self._said(queue, event.id)

    async def do_start_workflow(self, command: StartWorkflow) -> Sequence[Message]:
        """Queue what a person asks for."""
        if command.kind not in _RUNNABLE:
            raise RejectedError(
                f"no pipeline runs workflows of kind {command.kind.value!r}; use 'train', 'retrain' or 'federated'"
            )
        model = command.model or (await self._known(command)).policy.model
        trigger = asking.wish_of(command, model)
        return await self._ask(command, trigger)

    async def _on(self, event: asking.Asking) -> Sequence[Message]:
        trigger = asking.trigger_of(event)
        return [] if trigger is None else await self._ask(event, trigger)

    async def _ask(self, message: ProjectMessage, trigger: Trigger) -> Sequence[Message]:
        await self._known(message)

        fleet = (await self._books.world()).fleet

        def change(now: Queue) -> Queue:
            return self._applied(now, trigger, fleet)

        queue = await self._books.change(message.project, change, applied=message.id)
        return await self._said(queue, message.id)

    def _applied(self, queue: Queue, trigger: Trigger, fleet: Fleet) -> Queue:
        queued_id = follow_up_id(trigger.id, WorkflowQueued.type, 0)
        key = asking.workflow_key(queue.project, trigger.id)
        return policy.apply(queue, trigger, key, queued_id, self._clock(), fleet)

    async def _known(self, message: ProjectMessage) -> Queue:
        queue = await self._books.queue(message.project)
        if queue is not None and queue.settings_at is not None:
            return queue
        text = f"project {message.project!r} is not registered; run `mlops register` in its folder"
        just_sent = self._clock() - message.time < PATIENCE
        raise UnavailableError(text) if just_sent else RejectedError(text)

    async def _said(self, queue: Queue, trigger_id: str) -> Sequence[Message]:
        entry = queue.entry_of(trigger_id)
        if entry is not None:
            return [await self._queued(queue, entry)]
        refusal = queue.refusal_of(trigger_id)
        if refusal is None:
            return []
        return [
            WorkflowDeclined(
                project=queue.project,
                kind=WorkflowKind(refusal.kind),
                model=refusal.model,
                trigger_type=refusal.trigger_type,
                trigger_id=trigger_id,
                reason=refusal.reason[:1000],
                retry_at=refusal.retry_at,
            )
        ]

    async def _queued(self, queue: Queue, entry: Entry) -> WorkflowQueued:
        return WorkflowQueued(
            id=entry.queued_id,  # what follows names it as its cause
            correlation_id=entry.story_id,
            causation_id=entry.trigger_id,
            project=queue.project,
            workflow_key=entry.key,
            kind=WorkflowKind(entry.kind),
            model=entry.model,
            why=entry.why[:1000],
            trigger_type=entry.trigger_type,
            trigger_id=entry.trigger_id,
            place=entry.place,
            depth=entry.depth,
            awaits_approval=entry.state is State.AWAITS_APPROVAL,
            decision=await decided(self._books, self._clock, entry),
        )
