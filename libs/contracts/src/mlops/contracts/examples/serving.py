# SPDX-License-Identifier: Apache-2.0
"""Example messages of serving: the rollout of version 4, and what it answered."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mlops.contracts.energy import EnergyUse
from mlops.contracts.message import Message
from mlops.contracts.serving import (
    DeploymentCompared,
    DeploymentCompleted,
    DeploymentFailed,
    DeploymentMetered,
    DeploymentProgressed,
    DeploymentRemoved,
    DeploymentReverted,
    DeploymentStarted,
    DeployModel,
    Prediction,
    PredictionLogged,
    RollbackModel,
    UndeployModel,
    Vector,
)
from mlops.contracts.settings import RolloutKind

_ROLLOUT: dict[str, Any] = {
    "project": "rainfall",
    "deployment_id": "rain-4-5f0e9a52",
    "model": "rain",
    "version": 4,
}
_PACKED: dict[str, Any] = {"bento_tag": "rainfall-rain:4", "backend": "sklearn"}
_ENDPOINT = "/v2/models/rain/infer"

EXAMPLES: tuple[Message, ...] = (
    DeploymentStarted(
        **_ROLLOUT, endpoint=_ENDPOINT, previous_version=3, why="promoted: accuracy 0.81"
    ),
    DeploymentProgressed(
        **_ROLLOUT,
        **_PACKED,
        phase="slowed",
        replicas=2,
        traffic_ratio=0.5,
        error_ratio=0.0,
        latency_ms=4.5,
        concurrency=4,
        reason="node-1 is at level 2: thermal pressure is heavy",
    ),
    DeploymentCompleted(
        **_ROLLOUT,
        **_PACKED,
        endpoint=_ENDPOINT,
        replicas=1,
        previous_version=3,
        metric="accuracy",
        metrics={"accuracy": 0.81},
        error_ratio=0.0,
        latency_ms=4.5,
        duration_s=18.75,
    ),
    DeploymentFailed(**_ROLLOUT, phase="packed", reason="the model has no flavour we can run"),
    DeploymentReverted(
        **_ROLLOUT, to_version=3, reason="4 of 50 requests failed, 0.02 allowed", error_ratio=0.08
    ),
    DeploymentRemoved(**_ROLLOUT, reason="version 5 answers all requests"),
    DeploymentCompared(
        **_ROLLOUT,
        against_version=3,
        requests=1200,
        dropped=4,
        failed=2,
        agreement_ratio=0.97,
        mean_difference=0.012,
        latency_p95_ms=8.0,
        against_latency_p95_ms=6.7,
        since=datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC),
    ),
    DeploymentMetered(
        **_ROLLOUT,
        since=datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC),
        until=datetime(2026, 3, 1, 12, 10, 0, tzinfo=UTC),
        predictions=1800,
        energy=EnergyUse(
            joules=63.0,
            measured=True,
            node="node-1",
            machine_j=2100.0,
            share_ratio=0.03,
            known_ratio=1.0,
            how="package counter; share of processor time",
        ),
        joules_per_1000=35.0,
        requests=1790,
        failed=2,
        latency_counts={"18": 1700, "22": 70, "26": 20},
        latency_p50_ms=2.8284,
        latency_p95_ms=2.8284,
        replicas=2,
    ),
    PredictionLogged(
        project="rainfall",
        model="rain",
        version=4,
        predictions=(
            Prediction(
                request_id="day-3017",
                at=datetime(2026, 3, 1, 11, 59, 59, tzinfo=UTC),
                features={"temperature": 54.3, "dew_point": 49.1, "station": "725030"},
                prediction=1,
                vectors={"sky": Vector(values=(0.25, -1.5, None), length=768, largest=401)},
                answer=Vector(values=(0.125, -0.375), length=1000, largest=401),
                latency_ms=3.25,
            ),
        ),
        dropped=2,
    ),
    DeployModel(
        project="rainfall",
        model="rain",
        version=4,
        why="Roll it out again.",
        rollout=RolloutKind.BLUE_GREEN,
    ),
    UndeployModel(project="rainfall", model="rain"),
    RollbackModel(project="rainfall", model="rain", to_version=3),
)
