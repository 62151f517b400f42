# SPDX-License-Identifier: Apache-2.0
"""Example messages of workspaces: the project of the whole story."""

from __future__ import annotations

from datetime import timedelta

from mlops.contracts.alerts import AlertSettings
from mlops.contracts.datasets import DataSettings
from mlops.contracts.message import Message
from mlops.contracts.monitor_settings import DriftSettings, MonitorSettings, PerformanceSettings, ReferenceSettings
from mlops.contracts.settings import Accelerator, CheckpointSettings, CheckpointSignal, Consent, EvaluateSettings, FederatedSettings, Goal, Priority, ProjectSettings, Resources, RetrainSettings, RolloutKind, ServeSettings, ShareSettings, TrainSettings
from mlops.contracts.workspaces import (
    ArchiveProject,
    ProjectArchived,
    ProjectRegistered,
    ProjectUpdated,
    RegisterProject,
    UpdateProject,
    WorkspaceProvisioned,
    WorkspaceRefused,
)

_PATH = "/home/ada/rainfall"
_SETTINGS = ProjectSettings(
    name="rainfall",
    description="Does it rain today?",
    train=TrainSettings(
        command="python train.py",
        resources=Resources(cpu=2.0, memory_gb=1.5, accelerator=Accelerator.NONE),
        timeout=timedelta(minutes=30),
        latency_critical=False,
        checkpoint=CheckpointSettings(
            signal=CheckpointSignal.SIGUSR1, folder="checkpoints", grace=timedelta(minutes=2)
        ),
    ),
    federated=FederatedSettings(
        command="python local.py",
        aggregate="python average.py",
        nodes=3,
        min_nodes=2,
        rounds=5,
    ),
    data=DataSettings(
        datasets={"weather": "data/weather.csv"},
        remote="s3://datasets/rainfall",
        quota_gb=50,
        read_only=True,
        bandwidth="20MB/s",
    ),
    evaluate=EvaluateSettings(
        metric="accuracy",
        goal=Goal.MAX,
        min_gain=0.01,
        promote=Consent.AUTO,
        command="python evaluate.py",
    ),
    serve=ServeSettings(
        model="rain",
        backend="sklearn",
        rollout=RolloutKind.CANARY,
        steps=(0.1, 0.5, 1.0),
        step_hold=timedelta(milliseconds=2500),
        max_error_ratio=0.01,
        max_latency_ratio=2.5,
        revert_on_quality=True,
        keep_warm=timedelta(minutes=5),
        shadow_share=0.5,
        shadow_for=timedelta(minutes=30),
        min_agreement=0.95,
        min_replicas=1,
        max_replicas=2,
        sleep_after=timedelta(minutes=15),
        max_queue=32,
        memory_gb=0.5,
        allow_pickle=False,
        log_predictions=1.0,
    ),
    monitor=MonitorSettings(
        window=500,
        window_max_age=timedelta(hours=12),
        reference=ReferenceSettings(
            file="data/out_of_fold.parquet", prediction="answer", target="rain"
        ),
        drift=DriftSettings(share=0.5, alpha=0.05, persist_windows=2, cycle="24h"),
        accuracy=PerformanceSettings(min=0.6, drop=0.05, label_horizon=timedelta(days=7)),
    ),
    alerts=AlertSettings(
        notify=("team-chat", "mail"),
        escalate=("on-call",),
        escalate_after=timedelta(minutes=30),
        repeat_every=timedelta(hours=4),
        settle=timedelta(minutes=10),
    ),
    retrain=RetrainSettings(
        on=("performance.degraded",),
        mode=Consent.AUTO,
        cooldown=timedelta(minutes=10),
        max_per_day=8,
        max_causation_depth=3,
        follow_up_windows=2,
    ),
    share=ShareSettings(
        weight=1.0,
        priority=Priority.NORMAL,
        max_parallel=1,
        memory_gb=8.0,
        gpu_hours_per_day=6.0,
        energy_wh_per_day=250.0,
        serving_memory_gb=1.5,
    ),
)

EXAMPLES: tuple[Message, ...] = (
    ProjectRegistered(project="rainfall", settings=_SETTINGS, path=_PATH, revision=1),
    ProjectUpdated(project="rainfall", settings=_SETTINGS, path=_PATH, revision=2),
    ProjectArchived(project="rainfall", reason="The station was closed."),
    WorkspaceProvisioned(
        project="rainfall",
        component="tracking",
        names={"mlflow_workspace": "rainfall", "mlflow_experiment": "rainfall"},
        revision=1,
    ),
    WorkspaceRefused(
        project="rainfall",
        component="versioning",
        reason="the folder /home/ada/rainfall does not exist; register again from where it is",
        revision=1,
    ),
    RegisterProject(project="rainfall", settings=_SETTINGS, path=_PATH),
    UpdateProject(project="rainfall", settings=_SETTINGS, path=_PATH),
    ArchiveProject(project="rainfall", reason="The station was closed."),
)
