# SPDX-License-Identifier: Apache-2.0
"""The explicit list of all messages; what is not here is not a message of the platform."""

from __future__ import annotations

from mlops.contracts import (
    cli,
    commands,
    gateway,
    monitoring,
    orchestration_bridge,
    serving,
    telemetry_agent,
    tracking,
    versioning,
    workspaces,
)
from mlops.contracts.errors import UnknownTypeError
from mlops.contracts.message import Command, Event, Message, parsed

EVENTS: tuple[type[Event], ...] = (
    workspaces.ProjectRegistered,
    workspaces.ProjectUpdated,
    workspaces.ProjectArchived,
    workspaces.WorkspaceProvisioned,
    workspaces.WorkspaceRefused,
    tracking.RunStarted,
    tracking.RunCompleted,
    tracking.RunFailed,
    tracking.RunStale,
    tracking.ModelRegistered,
    tracking.ModelNominated,
    tracking.ModelPromoted,
    tracking.ModelRejected,
    versioning.DataVersioned,
    versioning.DataPushed,
    versioning.DataRestored,
    versioning.DataAliased,
    versioning.DataUnaliased,
    versioning.DataTagged,
    versioning.DataRemoved,
    versioning.DataVerified,
    versioning.DataCollected,
    versioning.RemoteLost,
    versioning.RemoteRegained,
    orchestration_bridge.WorkflowQueued,
    orchestration_bridge.WorkflowDeclined,
    orchestration_bridge.WorkflowApproved,
    orchestration_bridge.WorkflowStarted,
    orchestration_bridge.WorkflowCompleted,
    orchestration_bridge.WorkflowFailed,
    orchestration_bridge.WorkflowRescheduled,
    orchestration_bridge.CheckpointRequested,
    orchestration_bridge.WorkflowCancelled,
    serving.DeploymentStarted,
    serving.DeploymentProgressed,
    serving.DeploymentCompleted,
    serving.DeploymentFailed,
    serving.DeploymentReverted,
    serving.DeploymentRemoved,
    serving.DeploymentCompared,
    serving.DeploymentMetered,
    serving.PredictionLogged,
    gateway.LabelRecorded,
    monitoring.DriftDetected,
    monitoring.DriftCleared,
    monitoring.ChangeSuspected,
    monitoring.PerformanceMeasured,
    monitoring.PerformanceUnmeasured,
    monitoring.PerformanceDegraded,
    monitoring.PerformanceRecovered,
    monitoring.ReferenceChosen,
    monitoring.ReportPublished,
    monitoring.AlertRaised,
    monitoring.AlertNotified,
    monitoring.AlertSilenced,
    monitoring.AlertUnsilenced,
    monitoring.AlertAcknowledged,
    monitoring.AlertResolved,
    telemetry_agent.TelemetrySampled,
    telemetry_agent.ThermalThrottled,
    telemetry_agent.ThermalRecovered,
    cli.ValidationFinished,
    commands.CommandRefused,
)

COMMANDS: tuple[type[Command], ...] = (
    workspaces.RegisterProject,
    workspaces.UpdateProject,
    workspaces.ArchiveProject,
    tracking.PromoteModel,
    versioning.AddData,
    versioning.PushData,
    versioning.PullData,
    versioning.RestoreData,
    versioning.AliasData,
    versioning.UnaliasData,
    versioning.TagData,
    versioning.RemoveData,
    versioning.VerifyData,
    versioning.CollectData,
    orchestration_bridge.StartWorkflow,
    orchestration_bridge.CancelWorkflow,
    orchestration_bridge.ApproveWorkflow,
    serving.DeployModel,
    serving.UndeployModel,
    serving.RollbackModel,
    monitoring.SetReference,
    monitoring.EvaluateWindow,
    monitoring.AdvanceWindows,
    monitoring.AcknowledgeAlert,
    monitoring.MakeReport,
    monitoring.SilenceAlerts,
    monitoring.UnsilenceAlerts,
)

CATALOGUE: dict[str, type[Message]] = {kind.type: kind for kind in (*EVENTS, *COMMANDS)}


def owner(kind: type[Message]) -> str:
    """Return the member that owns a message: who emits the event, who receives the command."""
    return kind.__module__.rpartition(".")[2]


def read(payload: bytes) -> Message:
    """Read a message of any known type.

    Raises UnknownTypeError for a type that is not in the catalogue, UnreadableMessageError for the rest.
    """
    return read_envelope(parsed(payload, "message"))


def read_envelope(event: object) -> Message:
    """Read a parsed CloudEvent of any known type; errors as for `read`."""
    type_ = event.get("type") if isinstance(event, dict) else None
    if not isinstance(type_, str) or type_ not in CATALOGUE:
        raise UnknownTypeError(f"no message type {type_!r} in the catalogue")
    return CATALOGUE[type_].from_envelope(event)
