# SPDX-License-Identifier: Apache-2.0
"""Workflows: what a failed or cancelled workflow left RUNNING is ended, KILLED, as part of its story.

A workflow that completed has ended its own run in its last step. Whatever else carries its key belongs to whoever
began it, and is left to them, or to the reaper.
"""

from __future__ import annotations

from collections.abc import Sequence

from mlops.contracts.message import Message
from mlops.contracts.orchestration_bridge import WorkflowCancelled, WorkflowFailed
from mlops.tracking.model.changes import Why
from mlops.tracking.ports import Lives

_LONGEST_REASON = 500


class Workflows:
    """Ends runs whose workflow is over."""

    def __init__(self, lives: Lives) -> None:
        self._lives = lives

    async def on_workflow_failed(self, event: WorkflowFailed) -> Sequence[Message]:
        """End its runs; the outbox tells `run.failed` of each."""
        last = (event.diagnosis.strip().splitlines() or [""])[-1]
        step = f" in {event.step}" if event.step else ""
        return await self._end(event, f"failed{step}: {last}")

    async def on_workflow_cancelled(self, event: WorkflowCancelled) -> Sequence[Message]:
        """End its runs; the outbox tells `run.failed` of each."""
        return await self._end(event, f"was cancelled: {event.reason}")

    async def _end(self, event: WorkflowFailed | WorkflowCancelled, what: str) -> Sequence[Message]:
        why = Why(
            reason=f"workflow {event.workflow_key} {what}"[:_LONGEST_REASON],
            correlation_id=event.story_id,
            causation_id=event.id,
            traceparent=event.traceparent,
        )
        await self._lives.end_workflow(event.project, event.workflow_key, event.time, why)
        return []
