# SPDX-License-Identifier: Apache-2.0
"""Messages of tracking: what became of runs and of registered models."""

from __future__ import annotations

from typing import ClassVar

from pydantic import AwareDatetime, Field

from mlops.contracts.energy import EnergyUse
from mlops.contracts.message import ProjectCommand, ProjectEvent
from mlops.contracts.units import DatasetVersion

Metrics = dict[str, float]


class _RunEvent(ProjectEvent):
    about: ClassVar[str | None] = "run_id"

    run_id: str = Field(max_length=64, description="MLflow's run.")
    experiment_id: str = Field(max_length=64, description="MLflow's experiment.")
    experiment_name: str = Field(default="", max_length=500, description="Name of the experiment.")
    run_name: str = Field(default="", max_length=500, description="Name of the run.")
    user: str = Field(default="", max_length=256, description="Who started it, as MLflow knows it.")
    started_at: AwareDatetime | None = Field(default=None, description="When it began.")
    source_commit: str | None = Field(
        default=None, max_length=64, description="Git commit of its code."
    )
    datasets: tuple[DatasetVersion, ...] = Field(
        default=(), max_length=64, description="The dataset versions it has read."
    )
    params: dict[str, str] = Field(
        default_factory=dict, description="At most 100, values cut at 250 characters."
    )
    tags: dict[str, str] = Field(
        default_factory=dict,
        description="At most 50, values cut at 250 characters, without mlflow.* ones.",
    )
    artifact_uri: str = Field(default="", max_length=1024, description="Where its files are.")


class RunStarted(_RunEvent):
    """A run has begun, or one that had ended was opened again."""

    type: ClassVar[str] = "run.started"

    resumed: bool = Field(
        default=False,
        description="Whether it goes on: it had ended before, by its client or as stale.",
    )


class _RunEnded(_RunEvent):
    ended_at: AwareDatetime | None = Field(default=None, description="When it ended.")
    metrics: Metrics = Field(
        default_factory=dict, description="The last value of each metric, at most 200."
    )
    hardware: dict[str, str] = Field(
        default_factory=dict, description="Tags under hw.*, as logged by the run."
    )
    energy: EnergyUse | None = Field(
        default=None, description="What it took of its machine; None where nobody can tell."
    )
    again: bool = Field(
        default=False,
        description="Whether it had ended before and was opened again; this end replaces that one.",
    )


class RunCompleted(_RunEnded):
    """A run ended with status FINISHED."""

    type: ClassVar[str] = "run.completed"


class RunFailed(_RunEnded):
    """A run ended with status FAILED or KILLED."""

    type: ClassVar[str] = "run.failed"

    status: str = Field(
        default="FAILED", max_length=32, description="MLflow's status: FAILED or KILLED."
    )
    reason: str = Field(
        default="",
        max_length=500,
        description="Why the platform ended it; empty when its client did.",
    )


class RunStale(_RunEnded):
    """A run stopped giving signs of life; its status was set to KILLED."""

    type: ClassVar[str] = "run.stale"

    last_seen_at: AwareDatetime | None = Field(
        default=None, description="Last sign of life, by the clock of its client."
    )
    reason: str = Field(default="", max_length=500, description="What was waited for, how long.")


class _ModelEvent(ProjectEvent):
    about: ClassVar[str | None] = "name"

    name: str = Field(max_length=256, description="Registered model.")
    version: int = Field(ge=1, description="Version in the registry.")
    run_id: str | None = Field(
        default=None, max_length=64, description="The run that logged the model."
    )


class ModelRegistered(_ModelEvent):
    """A version of a model stands in the registry."""

    type: ClassVar[str] = "model.registered"

    source_uri: str = Field(
        max_length=1024, description="Where the model's files are, as MLflow writes it."
    )
    flavors: tuple[str, ...] = Field(default=(), description="MLflow flavours it can be loaded as.")
    size_bytes: int | None = Field(default=None, ge=0, description="Size of the model's files.")
    signature: str | None = Field(
        default=None, max_length=8000, description="MLflow's signature as JSON."
    )
    metrics: Metrics = Field(default_factory=dict, description="Last metrics of its run.")
    datasets: tuple[DatasetVersion, ...] = Field(
        default=(), description="The dataset versions it has read."
    )
    apple_compatibility: dict[str, str] = Field(
        default_factory=dict, description="Backend (mlx, mps, coreml) to yes, no or why unknown."
    )


class ModelNominated(_ModelEvent):
    """The gate would promote this version, and waits for a person: [evaluate] promote = "approve"."""

    type: ClassVar[str] = "model.nominated"

    alias: str = Field(
        default="challenger", max_length=64, description="The alias it holds meanwhile."
    )
    answer: str = Field(
        default="cmd.model.promote",
        max_length=128,
        description="The command by which a person promotes it.",
    )
    champion_version: int | None = Field(default=None, ge=1, description="The champion until then.")
    metric: str = Field(default="", max_length=128, description="The metric of the gate.")
    candidate_metrics: Metrics = Field(default_factory=dict, description="Metrics of this version.")
    champion_metrics: Metrics = Field(
        default_factory=dict, description="Metrics of the champion until then."
    )
    reason: str = Field(max_length=1000, description="What the gate said, and who has to act.")


class ModelPromoted(_ModelEvent):
    """A version now holds the alias `champion`, whoever set it."""

    type: ClassVar[str] = "model.promoted"

    alias: str = Field(default="champion", max_length=64, description="The alias it holds.")
    source_uri: str = Field(
        default="", max_length=1024, description="Where the model's files are, as MLflow writes it."
    )
    previous_version: int | None = Field(default=None, ge=1, description="The champion before.")
    metric: str = Field(default="", max_length=128, description="The metric of the gate.")
    candidate_metrics: Metrics = Field(default_factory=dict, description="Metrics of this version.")
    champion_metrics: Metrics = Field(
        default_factory=dict,
        description="Of the champion before, on the same rows where the project evaluates it.",
    )
    reason: str = Field(default="", max_length=1000, description="What the gate said.")


class ModelRejected(_ModelEvent):
    """The gate kept the champion."""

    type: ClassVar[str] = "model.rejected"

    champion_version: int | None = Field(default=None, ge=1, description="The champion that stays.")
    metric: str = Field(default="", max_length=128, description="The metric of the gate.")
    candidate_metrics: Metrics = Field(default_factory=dict, description="Metrics of this version.")
    champion_metrics: Metrics = Field(
        default_factory=dict, description="Metrics of the champion that stays."
    )
    reason: str = Field(max_length=1000, description="What the gate said.")


class PromoteModel(ProjectCommand):
    """Give a version the alias `champion`, past the gate."""

    type: ClassVar[str] = "cmd.model.promote"
    about: ClassVar[str | None] = "name"

    name: str = Field(max_length=256, description="Registered model.")
    version: int = Field(ge=1, description="Version in the registry.")
    reason: str = Field(default="", max_length=500, description="Why it is promoted past the gate.")
