# SPDX-License-Identifier: Apache-2.0
"""What the bus has yet to hear of a workflow, as a message: made of the entry alone, so that a repeat is the same."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mlops.contracts.energy import EnergyUse
from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.orchestration_bridge import (
    Ask,
    CheckpointRequested,
    HardwareFact,
    HardwareFactKind,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowKind,
    WorkflowRescheduled,
    WorkflowStarted,
)
from mlops.orchestration_bridge.model.findings import Finding
from mlops.orchestration_bridge.model.queue import Entry, State


def fact(project: str, entry: Entry) -> Message:
    """Return the oldest thing about *entry* that is still to tell: a hold, its start, a request to it, or its end."""
    if entry.told_holds < entry.holds:
        return _rescheduled(project, entry)
    if entry.state is State.RUNNING and entry.told is not State.RUNNING:
        return _started(project, entry)
    if entry.told_requests < entry.requests:
        return _requested(project, entry)
    return _ended(project, entry)


def started_id(entry: Entry) -> str:
    """Return the id that the present start of *entry* has, told or not yet."""
    return _start_id(entry, entry.attempt)


def _start_id(entry: Entry, attempt: int) -> str:
    return follow_up_id(entry.queued_id, WorkflowStarted.type, attempt - 1)


def _rescheduled(project: str, entry: Entry) -> WorkflowRescheduled:
    # What has run before follows from the start that it lost its machine in, the rest from its place in the queue.
    starts = entry.attempt - 1
    cause = _start_id(entry, starts) if starts else entry.queued_id
    return WorkflowRescheduled(
        **_envelope(WorkflowRescheduled, entry, cause, entry.holds),
        **_names(project, entry),
        reason=(entry.held or entry.moved_why or "new work was held")[:500],
        from_node=entry.moved_from or None,
        to_node=None if entry.held else entry.node or None,
        not_before=entry.not_before,
        attempt=max(1, starts),
        from_checkpoint=entry.from_checkpoint,
    )


def _requested(project: str, entry: Entry) -> CheckpointRequested:
    request = entry.asked[-1]
    return CheckpointRequested(
        **_envelope(CheckpointRequested, entry, started_id(entry), request.number),
        **_names(project, entry),
        time=request.at,
        ask=Ask(request.ask.value),
        reason=request.reason[:500],
        node=request.node or None,
        attempt=entry.attempt,
        request=request.number,
    )


def _started(project: str, entry: Entry) -> WorkflowStarted:
    began = entry.started_at or entry.queued_at
    return WorkflowStarted(
        **_envelope(WorkflowStarted, entry, entry.queued_id, entry.attempt - 1),
        **_names(project, entry),
        time=began,
        dag_id=entry.dag_id,
        dag_run_id=entry.run_id,
        node=entry.node or None,
        nodes=entry.nodes,
        url=entry.url,
        waited_s=max(0.0, (began - entry.waits_from).total_seconds()),
        attempt=entry.attempt,
    )


def _ended(project: str, entry: Entry) -> Message:
    # What never started has only its place in the queue as a cause.
    cause = started_id(entry) if entry.started_at else entry.queued_id
    ended_at = entry.ended_at or entry.queued_at
    took_s = entry.ran_s(ended_at)
    if entry.state is State.COMPLETED:
        return WorkflowCompleted(
            **_envelope(WorkflowCompleted, entry, cause, 0),
            **_names(project, entry),
            time=ended_at,
            dag_id=entry.dag_id,
            dag_run_id=entry.run_id,
            duration_s=took_s,
            energy=_energy(entry),
        )
    return WorkflowFailed(
        **_envelope(WorkflowFailed, entry, cause, 0),
        **_names(project, entry),
        time=ended_at,
        dag_id=entry.dag_id,
        dag_run_id=entry.run_id,
        step=entry.step[:250],
        diagnosis=entry.reason[:4000],
        duration_s=took_s,
        energy=_energy(entry),
        hardware=tuple(_hardware(one) for one in entry.hardware),
        suggestion=entry.suggestion[:500],
    )


def _energy(entry: Entry) -> EnergyUse | None:
    return EnergyUse(**asdict(entry.energy)) if entry.energy else None


def _hardware(found: Finding) -> HardwareFact:
    return HardwareFact(
        kind=HardwareFactKind(found.kind.value),
        text=found.text[:500],
        node=found.node or None,
        at=found.at,
    )


def _envelope(kind: type[Message], entry: Entry, cause: str, index: int) -> dict[str, Any]:
    return {
        "id": follow_up_id(cause, kind.type, index),
        "correlation_id": entry.story_id,
        "causation_id": cause,
        "traceparent": entry.traceparent,
    }


def _names(project: str, entry: Entry) -> dict[str, Any]:
    return {
        "project": project,
        "workflow_key": entry.key,
        "kind": WorkflowKind(entry.kind),
        "model": entry.model,
    }
