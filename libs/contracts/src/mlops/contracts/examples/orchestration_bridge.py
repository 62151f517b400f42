# SPDX-License-Identifier: Apache-2.0
"""Example messages of orchestration_bridge: one retraining, and what may become of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mlops.contracts.energy import EnergyUse
from mlops.contracts.message import Message
from mlops.contracts.orchestration_bridge import (
    ApproveWorkflow,
    Ask,
    CancelWorkflow,
    CheckpointRequested,
    Decision,
    Gate,
    HardwareFact,
    HardwareFactKind,
    Obstacle,
    StartWorkflow,
    WorkflowApproved,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowDeclined,
    WorkflowFailed,
    WorkflowKind,
    WorkflowQueued,
    WorkflowRescheduled,
    WorkflowStarted,
)

_KEY = "rainfall-retrain-7"
_TRIGGER: dict[str, Any] = {
    "trigger_type": "performance.degraded",
    "trigger_id": "2b1f6c1e-5a0b-5f0e-9a52-0f4a3f0e7a01",
}
_WORKFLOW: dict[str, Any] = {
    "project": "rainfall",
    "workflow_key": _KEY,
    "kind": WorkflowKind.RETRAIN,
    "model": "rain",
}
_DAG: dict[str, Any] = {"dag_id": "rainfall__train", "dag_run_id": _KEY}

_ENERGY = EnergyUse(
    joules=9450.0,
    measured=True,
    node="node-1",
    machine_j=12600.0,
    share_ratio=0.75,
    known_ratio=1.0,
    how="package counter; share of processor time",
)

EXAMPLES: tuple[Message, ...] = (
    WorkflowQueued(
        **_WORKFLOW,
        **_TRIGGER,
        why="accuracy 0.66 is below 0.69",
        place=1,
        depth=1,
        awaits_approval=False,
        decision=Decision(
            admitted=False,
            reason="new work is held: node-1 is at heat level 2: OSThermalNotification Heavy",
            gate=Gate.HEAT,
            running=0,
            waiting=0,
            used_today=2,
            share_used_ratio=0.25,
            thermal_level=2,
            node="node-1",
            expected_start_at=datetime(2026, 3, 1, 12, 5, 0, tzinfo=UTC),
            expected_error_s=41.5,
            memory_needed_bytes=2_576_980_377,
            memory_free_bytes=9_663_676_416,
            throttle_expected_s=27.0,
            cool_expected_s=47.0,
            place=2,
            of=3,
            ahead=("snow-retrain-3",),
            obstacles=(
                Obstacle(
                    node="node-1",
                    gate=Gate.HEAT,
                    reason="node-1 is at heat level 2: OSThermalNotification Heavy",
                ),
            ),
        ),
    ),
    WorkflowDeclined(
        project="rainfall",
        kind=WorkflowKind.RETRAIN,
        model="rain",
        **_TRIGGER,
        reason="cooldown: the last retraining was 4 minutes ago, 10 are set",
        retry_at=datetime(2026, 3, 1, 12, 6, 0, tzinfo=UTC),
    ),
    WorkflowApproved(
        **_WORKFLOW,
        waited_s=1800.5,
        decision=Decision(
            admitted=True,
            reason="nothing is in the way; 25% of its share is used",
            running=0,
            waiting=0,
            used_today=2,
            share_used_ratio=0.25,
            thermal_level=0,
            node="node-1",
            expected_start_at=datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC),
            gate=Gate.NONE,
            expected_error_s=41.5,
            memory_needed_bytes=2_576_980_377,
            memory_free_bytes=9_663_676_416,
            throttle_expected_s=600.0,
            cool_expected_s=0.0,
            place=1,
            of=3,
            ahead=(),
            obstacles=(),
        ),
    ),
    WorkflowStarted(
        **_WORKFLOW,
        **_DAG,
        node="node-1",
        url="http://127.0.0.1:8080/dags/rainfall__train",
        waited_s=12.5,
        attempt=2,
        nodes=("node-1",),
    ),
    WorkflowCompleted(**_WORKFLOW, **_DAG, duration_s=48.25, energy=_ENERGY),
    WorkflowFailed(
        **_WORKFLOW,
        **_DAG,
        step="train",
        diagnosis="train ended with exit code 1: ModuleNotFoundError: No module named 'sklearn'",
        duration_s=3.5,
        energy=_ENERGY,
        hardware=(
            HardwareFact(
                kind=HardwareFactKind.MEMORY_PRESSURE,
                text="memory pressure was critical for 41 s, 0.3 GiB were free",
                node="node-1",
                at=datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC),
            ),
        ),
        suggestion="give it more room: [train].resources.memory_gb = 6",
    ),
    WorkflowRescheduled(
        **_WORKFLOW,
        reason="node-1 is too hot",
        from_node="node-1",
        to_node="node-2",
        not_before=datetime(2026, 3, 1, 12, 1, 0, tzinfo=UTC),
        attempt=1,
        from_checkpoint=True,
    ),
    CheckpointRequested(
        **_WORKFLOW,
        ask=Ask.LEAVE,
        reason="node-1 is at heat level 3: OSThermalNotification Trapping",
        node="node-1",
        attempt=1,
        request=2,
    ),
    WorkflowCancelled(**_WORKFLOW, reason="cancelled by ada: not needed any more"),
    StartWorkflow(
        project="rainfall", kind=WorkflowKind.TRAIN, model="rain", why="The first model."
    ),
    CancelWorkflow(project="rainfall", workflow_key=_KEY, reason="Not needed any more."),
    ApproveWorkflow(project="rainfall", workflow_key=_KEY),
)
