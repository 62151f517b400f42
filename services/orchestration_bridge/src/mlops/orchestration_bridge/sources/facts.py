# SPDX-License-Identifier: Apache-2.0
"""What the bus has yet to hear of a workflow, as a message: made of the entry alone, so that a repeat is the same."""

from __future__ import annotations

from typing import Any

from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.orchestration_bridge import (
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowKind,
    WorkflowRescheduled,
    WorkflowStarted,
)
from mlops.orchestration_bridge.model.queue import Entry, State


def fact(project: str, entry: Entry) -> Message:
    """Return the oldest thing about *entry* that is still to tell: a hold, its start, or its end."""
    if entry.told_holds < entry.holds:
        return WorkflowRescheduled(
            **_envelope(WorkflowRescheduled, entry, entry.queued_id, entry.holds),
            **_names(project, entry),
            reason=(entry.held or entry.moved_why or "new work was held")[:500],
            from_node=entry.moved_from or None,
            to_node=None if entry.held else entry.node or None,
            not_before=entry.not_before,
        )
    if entry.state is State.RUNNING:
        return _started(project, entry)
    return _ended(project, entry)


def started_id(entry: Entry) -> str:
    """Return the id that the start of *entry* has, told or not yet."""
    return follow_up_id(entry.queued_id, WorkflowStarted.type, 0)


def _started(project: str, entry: Entry) -> WorkflowStarted:
    began = entry.started_at or entry.queued_at
    return WorkflowStarted(
        **_envelope(WorkflowStarted, entry, entry.queued_id, 0),
        **_names(project, entry),
        time=began,
        dag_id=entry.dag_id,
        dag_run_id=entry.run_id,
        node=entry.node or None,
        url=entry.url,
        waited_s=max(0.0, (began - entry.queued_at).total_seconds()),
    )


def _ended(project: str, entry: Entry) -> Message:
    # What never started has only its place in the queue as a cause.
    cause = started_id(entry) if entry.started_at else entry.queued_id
    ended_at = entry.ended_at or entry.queued_at
    took_s = max(0.0, (ended_at - (entry.started_at or ended_at)).total_seconds())
    if entry.state is State.COMPLETED:
        return WorkflowCompleted(
            **_envelope(WorkflowCompleted, entry, cause, 0),
            **_names(project, entry),
            time=ended_at,
            dag_id=entry.dag_id,
            dag_run_id=entry.run_id,
            duration_s=took_s,
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
