# SPDX-License-Identifier: Apache-2.0
"""The settings of a project: what `mlops.toml` (or `[tool.mlops]` of pyproject.toml) says."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field, WithJsonSchema, model_validator

from mlops.contracts.alerts import AlertSettings
from mlops.contracts.datasets import DataSettings
from mlops.contracts.message import Part, Scope
from mlops.contracts.monitor_settings import MonitorSettings
from mlops.contracts.units import Duration, OpenEnum, Ratio


class Accelerator(OpenEnum):
    """What a training command needs beside the CPU."""

    ANY = "any"
    MPS = "mps"
    MLX = "mlx"
    CUDA = "cuda"
    NONE = "none"
    UNKNOWN = "unknown"


class Goal(OpenEnum):
    """Whether more or less of the metric is better."""

    MAX = "max"
    MIN = "min"
    UNKNOWN = "unknown"


class Consent(OpenEnum):
    """Who says yes: the platform, a person, or nobody."""

    AUTO = "auto"
    APPROVE = "approve"
    SUGGEST = "suggest"
    NEVER = "never"
    UNKNOWN = "unknown"


class RolloutKind(OpenEnum):
    """How a new version takes over."""

    CANARY = "canary"
    DIRECT = "direct"
    BLUE_GREEN = "blue-green"
    SHADOW = "shadow"
    UNKNOWN = "unknown"


class Priority(OpenEnum):
    """The order among projects that have used the same share."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    UNKNOWN = "unknown"


class Trigger(OpenEnum):
    """The type of an event that may start a retraining."""

    DRIFT_DETECTED = "drift.detected"
    PERFORMANCE_DEGRADED = "performance.degraded"
    UNKNOWN = "unknown"


class CheckpointSignal(OpenEnum):
    """How a training command hears that it should save."""

    SIGUSR1 = "SIGUSR1"
    SIGUSR2 = "SIGUSR2"
    SIGTERM = "SIGTERM"
    SIGINT = "SIGINT"
    NONE = "none"
    UNKNOWN = "unknown"


class Resources(Part):
    """What one training takes of a machine."""

    cpu: float = Field(default=1.0, gt=0, description="Cores.")
    memory_gb: float = Field(default=2.0, gt=0, description="Main (or unified) memory in GiB.")
    accelerator: Accelerator = Field(
        default=Accelerator.ANY, description="What it needs beside the CPU."
    )


class CheckpointSettings(Part):
    """`[train.checkpoint]`: how the training saves what it has; it may then be moved to a cooler machine."""

    signal: CheckpointSignal = Field(
        default=CheckpointSignal.SIGUSR1,
        description="Sent to the command when it should save; none where it looks at `$MLOPS_CHECKPOINT_REQUEST` by itself.",
    )
    folder: str = Field(
        default="checkpoints",
        min_length=1,
        max_length=500,
        description="Relative to the project's folder; what stands there is kept and comes back at the next start.",
    )
    grace: Duration = Field(
        default=timedelta(minutes=1),
        description="Time to save and end with status 75 when it is asked to leave; after that it goes on.",
    )


class TrainSettings(Part):
    """`[train]`: the project's own code, run in its own environment."""

    command: str = Field(
        default="",
        max_length=2000,
        description="Run in the project's folder; gets MLFLOW_* and MLOPS_*.",
    )
    resources: Resources = Field(default=Resources(), description="What one training takes.")
    timeout: Duration = Field(
        default=timedelta(hours=6), description="A training that takes longer is stopped."
    )
    latency_critical: bool = Field(
        default=False,
        description="Whether it must not run slower than usual: it then waits already where a machine is warm.",
    )
    checkpoint: CheckpointSettings | None = Field(
        default=None, description="How it saves what it has; None where it cannot."
    )


class FederatedSettings(Part):
    """`[federated]`: local training on several machines, and how its results become one model."""

    command: str = Field(
        default="",
        max_length=2000,
        description="The local training; reads `$MLOPS_GLOBAL_DIR`, writes its update to `$MLOPS_UPDATE_DIR`.",
    )
    aggregate: str = Field(
        default="",
        max_length=2000,
        description="Makes one of the updates in `$MLOPS_UPDATES_DIR` and writes it to `$MLOPS_GLOBAL_DIR`.",
    )
    nodes: int = Field(default=2, ge=1, le=200, description="Machines that take part.")
    min_nodes: int = Field(
        default=1, ge=1, le=200, description="A round counts with the updates of so many."
    )
    rounds: int = Field(default=1, ge=1, le=100, description="Rounds of training and aggregation.")

    @model_validator(mode="after")
    def _enough_nodes(self) -> FederatedSettings:
        if self.min_nodes > self.nodes:
            raise ValueError("min_nodes must not exceed nodes")
        return self


class EvaluateSettings(Part):
    """`[evaluate]`: the gate, challenger against champion on the same rows."""

    metric: str = Field(
        default="accuracy",
        min_length=1,
        max_length=128,
        description="The metric of the run that decides.",
    )
    goal: Goal = Field(default=Goal.MAX, description="Whether more or less is better.")
    min_gain: float = Field(
        default=0.0,
        description="The challenger must beat the champion by at least this, in units of the metric.",
    )
    promote: Consent = Field(default=Consent.AUTO, description="Who says yes to a better version.")
    command: str = Field(
        default="",
        max_length=2000,
        description="Optional. Gets MLOPS_CHAMPION_URI and logs `champion_<metric>` to the run it is given.",
    )


class ServeSettings(Part):
    """`[serve]`: which model answers, and how a new version takes over."""

    model: str = Field(
        default="",
        max_length=128,
        pattern=r"^[A-Za-z0-9._-]*$",
        description="Registered model; empty means the project serves nothing.",
    )
    backend: str = Field(default="auto", max_length=32, description="auto, mlx, onnx, sklearn …")
    rollout: RolloutKind = Field(
        default=RolloutKind.CANARY,
        description="How a new version takes over: canary step by step, direct at once, blue-green at once beside the "
        "old one at full size, shadow after its answers to copied requests were compared.",
    )
    steps: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        default=(0.05, 0.5, 1.0),
        min_length=1,
        max_length=20,
        description="Shares of traffic, rising, the last 1.0.",
    )
    step_hold: Duration = Field(
        default=timedelta(seconds=3), description="How long each step is watched."
    )
    max_error_ratio: Ratio = Field(
        default=0.02, description="A rollout above this share of failed requests is reverted."
    )
    max_latency_ratio: float | None = Field(
        default=3.0,
        gt=1,
        description="A rollout whose 95th percentile of answer times is above so many times the old version's is "
        "reverted; None never.",
    )
    revert_on_quality: bool = Field(
        default=True,
        description="Whether `performance.degraded` about the new version takes its rollout back.",
    )
    keep_warm: Duration = Field(
        default=timedelta(0),
        description="How long the version before runs on after a rollout, for a way back at once.",
    )
    shadow_share: Ratio = Field(
        default=1.0, description="Share of the requests that a shadow gets copies of."
    )
    shadow_for: Duration = Field(
        default=timedelta(minutes=10), description="How long a shadow is compared."
    )
    min_agreement: Ratio | None = Field(
        default=None,
        description="Share of equal answers from which on a shadow takes over by itself; None: a person decides.",
    )
    min_replicas: int = Field(
        default=1, ge=0, le=64, description="Replicas kept; 0 lets the version sleep when idle."
    )
    max_replicas: int = Field(default=1, ge=1, le=64, description="Replicas at most.")
    sleep_after: Duration = Field(
        default=timedelta(minutes=10),
        description="Time without a request after which a version with min_replicas = 0 sleeps.",
    )
    max_queue: int = Field(
        default=64,
        ge=1,
        le=4096,
        description="Requests that may wait at a replica; more are answered 429 with Retry-After.",
    )
    memory_gb: float = Field(
        default=1.0,
        gt=0,
        description="Most memory of one replica in GiB; what it really takes is measured.",
    )
    allow_pickle: bool = Field(
        default=False,
        description="Whether models kept as pickles may be loaded: a pickle runs whatever code it holds.",
    )
    log_predictions: Ratio = Field(
        default=1.0, description="Share of predictions that become events."
    )

    @model_validator(mode="after")
    def _steps_rise_to_one(self) -> ServeSettings:
        if list(self.steps) != sorted(set(self.steps)) or self.steps[-1] != 1.0:
            raise ValueError("steps must rise and end with 1.0, for example [0.05, 0.5, 1.0]")
        if self.min_replicas > self.max_replicas:
            raise ValueError("min_replicas must not exceed max_replicas")
        return self


class RetrainSettings(Part):
    """`[retrain]`: what starts a retraining, and what holds it back."""

    on: tuple[Annotated[Trigger, WithJsonSchema({"type": "string"})], ...] = Field(
        default=(Trigger.DRIFT_DETECTED, Trigger.PERFORMANCE_DEGRADED),
        description="Types of the events that start one: drift.detected, performance.degraded.",
    )
    mode: Consent = Field(default=Consent.AUTO, description="Who says yes to a retraining.")
    cooldown: Duration = Field(
        default=timedelta(minutes=10), description="Least time between two retrainings."
    )
    max_per_day: int = Field(default=8, ge=0, le=1000, description="Retrainings per 24 hours.")
    max_causation_depth: int = Field(
        default=3,
        ge=1,
        le=20,
        description="Retrainings that one story may start before the loop is broken.",
    )
    follow_up_windows: int = Field(
        default=0,
        ge=0,
        le=100,
        description="One more retraining this many measured windows after a retraining, "
        "when its data were still mostly from before the change; 0 means none.",
    )


class ShareSettings(Part):
    """`[share]`: the project's part of the machine."""

    weight: float = Field(default=1.0, gt=0, le=1000, description="Relative share.")
    priority: Priority = Field(
        default=Priority.NORMAL, description="Order among projects that used the same share."
    )
    max_parallel: int = Field(
        default=2, ge=1, le=100, description="Workflows of this project that may run at once."
    )
    memory_gb: float | None = Field(
        default=None, gt=0, description="Memory in GiB that its workflows may hold together."
    )
    gpu_hours_per_day: float | None = Field(
        default=None, ge=0, description="GPU hours that its workflows may take in any 24 hours."
    )
    energy_wh_per_day: float | None = Field(
        default=None, gt=0, description="Watt-hours that its workflows may take in any 24 hours."
    )
    serving_memory_gb: float = Field(
        default=0.0,
        ge=0,
        description="Memory in GiB that workflows of all projects leave free for what this one serves.",
    )


class ProjectSettings(Part):
    """Everything a project says about itself; only the name is required."""

    name: Scope = Field(description="Names the project everywhere.")
    description: str = Field(default="", max_length=500, description="The project in one sentence.")
    train: TrainSettings = Field(default=TrainSettings(), description="How it trains.")
    federated: FederatedSettings = Field(
        default=FederatedSettings(), description="How it trains on several machines together."
    )
    data: DataSettings = Field(default=DataSettings(), description="Which datasets it has.")
    evaluate: EvaluateSettings = Field(
        default=EvaluateSettings(), description="How the gate decides."
    )
    serve: ServeSettings = Field(default=ServeSettings(), description="What it serves.")
    monitor: MonitorSettings = Field(default=MonitorSettings(), description="How it is watched.")
    alerts: AlertSettings = Field(default=AlertSettings(), description="Who hears of trouble.")
    retrain: RetrainSettings = Field(
        default=RetrainSettings(), description="What starts a retraining."
    )
    share: ShareSettings = Field(default=ShareSettings(), description="Its part of the machine.")
