# SPDX-License-Identifier: Apache-2.0
"""Messages of orchestration_bridge: what waits, runs and ended, and why."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AwareDatetime, Field

from mlops.contracts.energy import EnergyUse
from mlops.contracts.message import Part, ProjectCommand, ProjectEvent
from mlops.contracts.units import OpenEnum, Ratio


class WorkflowKind(OpenEnum):
    """What a workflow does."""

    TRAIN = "train"
    RETRAIN = "retrain"
    EVALUATE = "evaluate"
    FEDERATED = "federated"
    UNKNOWN = "unknown"


class Gate(OpenEnum):
    """What holds a workflow back, in one word."""

    NONE = "none"
    APPROVAL = "approval"
    HEAT = "heat"
    UNKNOWN_NODE = "unknown_node"
    ORCHESTRATOR = "orchestrator"
    PARALLEL = "parallel"
    QUOTA = "quota"
    MEMORY = "memory"
    ACCELERATOR = "accelerator"
    SLOTS = "slots"
    SHARE = "share"
    RESERVED = "reserved"
    UNKNOWN = "unknown"


class Ask(OpenEnum):
    """What a running workflow is asked to do about its machine's heat."""

    SAVE = "save"
    LEAVE = "leave"
    STOP = "stop"
    UNKNOWN = "unknown"


class HardwareFactKind(OpenEnum):
    """What the hardware did while a workflow failed, in one word."""

    HEAT = "heat"
    THROTTLED = "throttled"
    MEMORY_PRESSURE = "memory_pressure"
    SWAP = "swap"
    OUT_OF_MEMORY = "out_of_memory"
    LOW_POWER_MODE = "low_power_mode"
    POWER_CAP = "power_cap"
    GPU_ERROR = "gpu_error"
    NODE_VANISHED = "node_vanished"
    UNKNOWN = "unknown"


class HardwareFact(Part):
    """One thing that the hardware, or the log, says of a failure."""

    kind: HardwareFactKind = Field(description="What it is, in one word.")
    text: str = Field(max_length=500, description="What was seen, with its figures.")
    node: str | None = Field(default=None, max_length=63, description="The machine.")
    at: AwareDatetime | None = Field(default=None, description="When it was at its worst.")


class Obstacle(Part):
    """What keeps a workflow off one machine."""

    node: str = Field(max_length=63, description="The machine; empty where it has no name.")
    gate: Gate = Field(description="What holds it, in one word.")
    reason: str = Field(max_length=500, description="Why, with the figures.")


class Decision(Part):
    """Why a workflow may start now, or why it waits and until when."""

    admitted: bool = Field(description="Whether it may start now.")
    reason: str = Field(max_length=500, description="Why, in one sentence.")
    gate: Gate = Field(
        default=Gate.UNKNOWN, description="What holds it, in one word; none when it may start."
    )
    running: int = Field(default=0, ge=0, description="Workflows of the project that run now.")
    waiting: int = Field(
        default=0, ge=0, description="Workflows of the project that wait before it."
    )
    used_today: int = Field(default=0, ge=0, description="Retrainings of the last 24 hours.")
    share_used_ratio: Ratio | None = Field(
        default=None, description="Part of its share that the project has used."
    )
    thermal_level: int | None = Field(
        default=None, ge=0, le=4, description="Ladder of heat of the node, None when unknown."
    )
    node: str | None = Field(
        default=None, max_length=63, description="The machine that was looked at."
    )
    expected_start_at: AwareDatetime | None = Field(
        default=None, description="When it will probably start."
    )
    expected_error_s: float | None = Field(
        default=None,
        ge=0,
        description="How far such first words were off so far, mean of the absolute errors here.",
    )
    memory_needed_bytes: int | None = Field(
        default=None, ge=0, description="Memory that must be free: a fifth more than it asks for."
    )
    memory_free_bytes: int | None = Field(
        default=None, ge=0, description="Memory of the node that new work may take."
    )
    throttle_expected_s: float | None = Field(
        default=None, ge=0, description="Until the node will probably slow down under load."
    )
    cool_expected_s: float | None = Field(
        default=None, ge=0, description="Until a hot node will probably be cool."
    )
    place: int | None = Field(
        default=None, ge=1, description="Place among all that wait for no person."
    )
    of: int = Field(default=0, ge=0, description="How many wait for no person.")
    ahead: tuple[str, ...] = Field(
        default=(), max_length=20, description="The workflows just before it, the next one last."
    )
    obstacles: tuple[Obstacle, ...] = Field(
        default=(), max_length=20, description="What keeps it off each machine; the first few."
    )


class _WorkflowEvent(ProjectEvent):
    about: ClassVar[str | None] = "workflow_key"

    workflow_key: str = Field(
        max_length=128, description="Names the workflow; Airflow's run id is made of it."
    )
    kind: WorkflowKind = Field(description="What the workflow does.")
    model: str | None = Field(
        default=None, max_length=256, description="Registered model, where it is about one."
    )


class WorkflowQueued(_WorkflowEvent):
    """A workflow stands in the durable queue."""

    type: ClassVar[str] = "workflow.queued"

    why: str = Field(max_length=1000, description="Why it is wanted, in one sentence.")
    trigger_type: str = Field(max_length=128, description="Type of the message that asked for it.")
    trigger_id: str = Field(max_length=128, description="Id of the message that asked for it.")
    place: int = Field(ge=1, description="Place in the project's queue.")
    depth: int = Field(default=1, ge=1, description="Which workflow of its story this is.")
    awaits_approval: bool = Field(default=False, description="Whether it waits for a person's yes.")
    decision: Decision = Field(description="Why it may start, or why it waits.")


class WorkflowDeclined(ProjectEvent):
    """A trigger started nothing, and why: cooldown, budget, loop, or the project's own settings."""

    type: ClassVar[str] = "workflow.declined"
    about: ClassVar[str | None] = "trigger_id"

    kind: WorkflowKind = Field(description="What the workflow does.")
    model: str | None = Field(
        default=None, max_length=256, description="Registered model, where it is about one."
    )
    trigger_type: str = Field(max_length=128, description="Type of the message that asked.")
    trigger_id: str = Field(max_length=128, description="Id of the message that asked.")
    reason: str = Field(max_length=1000, description="Which rule held it back, and its figures.")
    retry_at: AwareDatetime | None = Field(
        default=None, description="From when on the same trigger would be accepted."
    )


class WorkflowStarted(_WorkflowEvent):
    """The orchestrator runs the workflow."""

    type: ClassVar[str] = "workflow.started"

    dag_id: str = Field(max_length=250, description="Airflow's DAG.")
    dag_run_id: str = Field(max_length=250, description="Airflow's run of the DAG.")
    node: str | None = Field(default=None, max_length=63, description="The machine it runs on.")
    url: str = Field(default="", max_length=1024, description="Its page in the orchestrator.")
    waited_s: float = Field(ge=0, description="Time in the queue.")
    attempt: int = Field(
        default=1, ge=1, description="Counts how often it was started; more than 1 after a move."
    )
    nodes: tuple[str, ...] = Field(
        default=(), max_length=200, description="All its machines, where it runs on several."
    )


class WorkflowCompleted(_WorkflowEvent):
    """All steps of the workflow succeeded."""

    type: ClassVar[str] = "workflow.completed"

    dag_id: str = Field(max_length=250, description="Airflow's DAG.")
    dag_run_id: str = Field(max_length=250, description="Airflow's run of the DAG.")
    duration_s: float = Field(ge=0, description="From start to end.")
    energy: EnergyUse | None = Field(
        default=None, description="What it took of its machines; None where nobody can tell."
    )


class WorkflowFailed(_WorkflowEvent):
    """A step of the workflow failed for good."""

    type: ClassVar[str] = "workflow.failed"

    dag_id: str = Field(default="", max_length=250, description="Airflow's DAG.")
    dag_run_id: str = Field(default="", max_length=250, description="Airflow's run of the DAG.")
    step: str = Field(default="", max_length=250, description="The task that failed.")
    diagnosis: str = Field(
        max_length=4000,
        description="What failed, the last lines of its log, and the fix where known.",
    )
    duration_s: float | None = Field(default=None, ge=0, description="From start to end.")
    energy: EnergyUse | None = Field(
        default=None, description="What it took of its machines; None where nobody can tell."
    )
    hardware: tuple[HardwareFact, ...] = Field(
        default=(), max_length=20, description="What the hardware did meanwhile, the worst first."
    )
    suggestion: str = Field(
        default="",
        max_length=500,
        description="What to do about it, where the hardware is to blame.",
    )


class WorkflowRescheduled(_WorkflowEvent):
    """A workflow waits again, or waits elsewhere."""

    type: ClassVar[str] = "workflow.rescheduled"

    reason: str = Field(max_length=500, description="Why it waits again.")
    from_node: str | None = Field(
        default=None, max_length=63, description="The machine it was meant for."
    )
    to_node: str | None = Field(
        default=None, max_length=63, description="The machine it is meant for now."
    )
    not_before: AwareDatetime | None = Field(default=None, description="Earliest start.")
    attempt: int = Field(
        default=1, ge=1, description="Counts how often it was started so far, at least 1."
    )
    from_checkpoint: bool | None = Field(
        default=None,
        description="Whether it goes on from a checkpoint; None where it had not started yet.",
    )


class CheckpointRequested(_WorkflowEvent):
    """A running workflow is asked to save what it has, to leave its machine after that, or is stopped."""

    type: ClassVar[str] = "checkpoint.requested"

    ask: Ask = Field(description="save and go on, save and leave, or stop at once.")
    reason: str = Field(max_length=500, description="Why, with the figures.")
    node: str | None = Field(default=None, max_length=63, description="The machine it runs on.")
    attempt: int = Field(default=1, ge=1, description="The start that is asked.")
    request: int = Field(default=1, ge=1, description="Counts the requests to this workflow.")


class WorkflowApproved(_WorkflowEvent):
    """A person has let a workflow go that waited for one."""

    type: ClassVar[str] = "workflow.approved"

    waited_s: float = Field(ge=0, description="How long it waited for a person.")
    decision: Decision = Field(description="Why it may start now, or why it still waits.")


class WorkflowCancelled(_WorkflowEvent):
    """A person or the archiving of the project took the workflow out."""

    type: ClassVar[str] = "workflow.cancelled"

    reason: str = Field(max_length=500, description="Who or what cancelled it, and why.")


class StartWorkflow(ProjectCommand):
    """Queue a workflow; the command's id makes it unique."""

    type: ClassVar[str] = "cmd.workflow.start"

    kind: WorkflowKind = Field(default=WorkflowKind.TRAIN, description="What the workflow does.")
    model: str | None = Field(
        default=None, max_length=256, description="Registered model, where it is about one."
    )
    why: str = Field(default="", max_length=500, description="Why it is wanted, in one sentence.")


class CancelWorkflow(ProjectCommand):
    """Take a workflow out of the queue, or stop it."""

    type: ClassVar[str] = "cmd.workflow.cancel"
    about: ClassVar[str | None] = "workflow_key"

    workflow_key: str = Field(max_length=128, description="The workflow, as in workflow.queued.")
    reason: str = Field(default="", max_length=500, description="Why it is not wanted any more.")


class ApproveWorkflow(ProjectCommand):
    """Let a workflow go that waits for a person."""

    type: ClassVar[str] = "cmd.workflow.approve"
    about: ClassVar[str | None] = "workflow_key"

    workflow_key: str = Field(max_length=128, description="The workflow, as in workflow.queued.")
