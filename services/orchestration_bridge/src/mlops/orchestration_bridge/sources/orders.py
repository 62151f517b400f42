# SPDX-License-Identifier: Apache-2.0
"""A workflow as the orchestrator is told of it, and what it says of its end, in the words of the model."""

from __future__ import annotations

from datetime import datetime

from mlops.orchestration_bridge.model.lifecycle import End
from mlops.orchestration_bridge.model.queue import Entry, Queue
from mlops.orchestration_bridge.ports.pipelines import Order, Outcome
from mlops.orchestration_bridge.sources.facts import started_id

_GONE = (
    "the run is no longer known to the orchestrator; somebody deleted it. Start the workflow again"
)


def order_of(queue: Queue, entry: Entry) -> Order:
    """Return the run of the present attempt."""
    return Order(
        project=queue.project,
        key=entry.key,
        kind=entry.kind,
        model=entry.model,
        correlation_id=entry.story_id,
        causation_id=started_id(entry),
        traceparent=entry.traceparent or "",
        node=entry.node,
        nodes=entry.nodes,
        attempt=entry.attempt,
    )


def end_of(outcome: Outcome | None, now: datetime) -> End:
    """Return the end of a run that is over, or that the orchestrator no longer knows."""
    if outcome is None:
        return End(completed=False, at=now, diagnosis=_GONE)
    return End(
        completed=bool(outcome.completed),
        at=outcome.ended_at or now,
        step=outcome.step,
        diagnosis=outcome.diagnosis,
        left=outcome.left,
        saved=outcome.saved,
        mute=outcome.mute,
    )
