# SPDX-License-Identifier: Apache-2.0
"""What a message asks for: which triggers it makes, and what a measured window does to a queue.

The live service and the replay of its history (`replay/`) both read messages here, so that they cannot differ.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable

from mlops.contracts.monitoring import (
    DriftDetected,
    PerformanceDegraded,
    PerformanceMeasured,
    Severity,
    Window,
)
from mlops.contracts.orchestration_bridge import StartWorkflow, WorkflowKind
from mlops.orchestration_bridge.model import follow_up
from mlops.orchestration_bridge.model.queue import Queue, Seen, Trigger

Asking = DriftDetected | PerformanceDegraded


def trigger_of(event: Asking) -> Trigger | None:
    """Return the retraining that an event asks for, None when it asks for none."""
    if isinstance(event, DriftDetected):
        return _by_drift(event)
    return _by_performance(event)


def wish_of(command: StartWorkflow, usual_model: str) -> Trigger:
    """Return the workflow that a person asks for."""
    return Trigger(
        id=command.id,
        type=command.type,
        kind=command.kind.value,
        model=command.model or usual_model,
        why=command.why or "asked for by a person",
        story_id=command.story_id,
        at=command.time,
        automatic=False,
        traceparent=command.traceparent,
    )


def after_window(
    queue: Queue, event: PerformanceMeasured, applied: Callable[[Queue, Trigger], Queue]
) -> Queue:
    """Return the queue after a window was measured: it counts, and asks for the follow-up that is due."""
    if event.partial:
        return queue  # the same window will be measured again when it is full
    later = follow_up.counted(queue, event.model, seen_in(event.version, event.window))
    found = follow_up.due(later, event.model)
    if found is None:
        return later
    why = (
        f"follow-up of {found.key}: {len(found.windows)} windows were measured since, "
        "its data were still mostly from before the change"
    )
    return applied(later, _retraining(event, why, seen=None, follows=found.key))


def workflow_key(project: str, trigger_id: str) -> str:
    """Return the name of the workflow that a trigger makes: the same at every redelivery."""
    return f"{project}-{uuid.uuid5(uuid.NAMESPACE_URL, f'mlops:workflow:{trigger_id}').hex[:12]}"


def seen_in(version: int, window: Window) -> Seen:
    """Return the window as follow-ups remember it."""
    return Seen(version, window.index, window.last_at)


def _by_drift(event: DriftDetected) -> Trigger | None:
    """Critical drift only: lesser drift is a warning for people, not a reason to spend hours."""
    if event.severity is not Severity.CRITICAL:
        return None
    share = f"{event.share_drifted_ratio:.0%} of the columns drifted"
    why = f"{event.kind.value} drift of {event.model} {event.version}: {share}"
    return _retraining(event, why, seen=None)


def _by_performance(event: PerformanceDegraded) -> Trigger | None:
    """Only a version that answers, and by its labels: one that is not rolled out yet is taken back instead."""
    if event.against_version is not None or event.about_speed:
        return None
    why = (
        f"{event.metric} of {event.model} {event.version} is {event.value:.4g}, "
        f"below {event.threshold:.4g}"
    )
    return _retraining(event, why, seen=seen_in(event.version, event.window))


def _retraining(
    event: Asking | PerformanceMeasured, why: str, *, seen: Seen | None, follows: str = ""
) -> Trigger:
    return Trigger(
        id=event.id,
        type=event.type,
        kind=WorkflowKind.RETRAIN.value,
        model=event.model,
        why=why,
        story_id=event.story_id,
        at=event.time,
        traceparent=event.traceparent,
        seen=seen,
        follows=follows,
    )
