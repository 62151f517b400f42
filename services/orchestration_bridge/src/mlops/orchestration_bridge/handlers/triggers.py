# SPDX-License-Identifier: Apache-2.0
"""A trigger becomes a queued workflow or a reason why not; the queue remembers which, so a repeat says the same."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import timedelta

from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.monitoring import (
    DriftDetected,
    PerformanceDegraded,
    PerformanceMeasured,
    Severity,
    Window,
)
from mlops.contracts.orchestration_bridge import (
    StartWorkflow,
    WorkflowDeclined,
    WorkflowKind,
    WorkflowQueued,
)
from mlops.orchestration_bridge.handlers.decisions import decided
from mlops.orchestration_bridge.model import follow_up, policy
from mlops.orchestration_bridge.model.fleet import Fleet
from mlops.orchestration_bridge.model.queue import Entry, Queue, Seen, State, Trigger
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
        """Retrain on critical drift; lesser drift is a warning for people, not a reason to spend hours."""
        if event.severity is not Severity.CRITICAL:
            return []
        share = f"{event.share_drifted_ratio:.0%} of the columns drifted"
        why = f"{event.kind.value} drift of {event.model} {event.version}: {share}"
        return await self._ask(event, _retraining(event, event.model, why, seen=None))

    async def on_performance_degraded(self, event: PerformanceDegraded) -> Sequence[Message]:
        """Retrain a model that does worse than promised; one that is not rolled out yet is taken back instead."""
        if event.against_version is not None:
            return []
        why = (
            f"{event.metric} of {event.model} {event.version} is {event.value:.4g}, "
            f"below {event.threshold:.4g}"
        )
        seen = _seen(event.version, event.window)
        return await self._ask(event, _retraining(event, event.model, why, seen=seen))

    async def on_performance_measured(self, event: PerformanceMeasured) -> Sequence[Message]:
        """Count the window for a retraining that wants one more; ask for it when there are enough."""
        if event.partial:
            return []  # the same window will be measured again when it is full
        window = _seen(event.version, event.window)

        def change(now: Queue) -> Queue:
            later = follow_up.counted(now, event.model, window)
            found = follow_up.due(later, event.model)
            if found is None:
                return later
            why = (
                f"follow-up of {found.key}: {len(found.windows)} windows were measured since, "
                "its data were still mostly from before the change"
            )
            trigger = _retraining(event, event.model, why, seen=None, follows=found.key)
            return self._applied(later, trigger, fleet)

        if await self._books.queue(event.project) is None:
            return []
        fleet = (await self._books.world()).fleet
        queue = await self._books.change(event.project, change, applied=event.id)
        return await self._said(queue, event.id)

    async def do_start_workflow(self, command: StartWorkflow) -> Sequence[Message]:
        """Queue what a person asks for."""
        if command.kind not in _RUNNABLE:
            raise RejectedError(
                f"no pipeline runs workflows of kind {command.kind.value!r}; use 'train', 'retrain' or 'federated'"
            )
        model = command.model or (await self._known(command)).policy.model
        why = command.why or "asked for by a person"
        trigger = Trigger(
            id=command.id,
            type=command.type,
            kind=command.kind.value,
            model=model,
            why=why,
            story_id=command.story_id,
            at=command.time,
            automatic=False,
            traceparent=command.traceparent,
        )
        return await self._ask(command, trigger)

    async def _ask(self, message: ProjectMessage, trigger: Trigger) -> Sequence[Message]:
        await self._known(message)

        fleet = (await self._books.world()).fleet

        def change(now: Queue) -> Queue:
            return self._applied(now, trigger, fleet)

        queue = await self._books.change(message.project, change, applied=message.id)
        return await self._said(queue, message.id)

    def _applied(self, queue: Queue, trigger: Trigger, fleet: Fleet) -> Queue:
        queued_id = follow_up_id(trigger.id, WorkflowQueued.type, 0)
        key = workflow_key(queue.project, trigger.id)
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


def workflow_key(project: str, trigger_id: str) -> str:
    """Return the name of the workflow that a trigger makes: the same at every redelivery."""
    return f"{project}-{uuid.uuid5(uuid.NAMESPACE_URL, f'mlops:workflow:{trigger_id}').hex[:12]}"


def _retraining(
    event: DriftDetected | PerformanceDegraded | PerformanceMeasured,
    model: str,
    why: str,
    *,
    seen: Seen | None,
    follows: str = "",
) -> Trigger:
    return Trigger(
        id=event.id,
        type=event.type,
        kind=WorkflowKind.RETRAIN.value,
        model=model,
        why=why,
        story_id=event.story_id,
        at=event.time,
        traceparent=event.traceparent,
        seen=seen,
        follows=follows,
    )


def _seen(version: int, window: Window) -> Seen:
    return Seen(version, window.index, window.last_at)
