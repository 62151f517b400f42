# SPDX-License-Identifier: Apache-2.0
"""Example messages of tracking: a run, its model, and what the gate said."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from mlops.contracts.energy import EnergyUse
from mlops.contracts.message import Message
from mlops.contracts.tracking import (
    ModelNominated,
    ModelPromoted,
    ModelRegistered,
    ModelRejected,
    PromoteModel,
    RunCompleted,
    RunFailed,
    RunStale,
    RunStarted,
)
from mlops.contracts.units import DatasetVersion

_RUN_ID = "0b7c9a4be61b4f0f8f8f3a5a3c1f2d11"
_SOURCE_URI = "models:/m-3f1c8a90b2e94b1d9a77d6a0c5f4e210"
_DATASETS = (
    DatasetVersion(
        name="weather", version=3, hash="d41d8cd98f00b204e9800998ecf8427e", likely_version=None
    ),
    DatasetVersion(name="stations", version=None, hash="8a1f03c2", likely_version=2),
)
_RUN: dict[str, Any] = {
    "project": "rainfall",
    "run_id": _RUN_ID,
    "experiment_id": "1",
    "experiment_name": "rainfall",
    "run_name": "wistful-hare-12",
    "user": "ada",
    "started_at": datetime(2026, 3, 1, 11, 58, 0, tzinfo=UTC),
    "source_commit": "6f1d2c3b4a59687766554433221100ffeeddccbb",
    "datasets": _DATASETS,
    "params": {"learning_rate": "0.1", "max_iter": "200"},
    "tags": {"mlops.workflow_key": "rainfall-train-7"},
    "artifact_uri": f"mlflow-artifacts:/workspaces/rainfall/1/{_RUN_ID}/artifacts",
}
_ENDED: dict[str, Any] = {
    **_RUN,
    "ended_at": datetime(2026, 3, 1, 11, 59, 30, tzinfo=UTC),
    "metrics": {"accuracy": 0.81, "champion_accuracy": 0.74},
    "again": False,
    "hardware": {"hw.chip": "Apple M2", "hw.accelerator": "none"},
    "energy": EnergyUse(
        joules=412.5,
        measured=True,
        node="node-1",
        machine_j=1650.0,
        share_ratio=0.25,
        known_ratio=0.98,
        how="package counter; share of processor time",
    ),
}
_MODEL: dict[str, Any] = {"project": "rainfall", "name": "rain", "version": 4, "run_id": _RUN_ID}
_GATE: dict[str, Any] = {
    "metric": "accuracy",
    "candidate_metrics": {"accuracy": 0.81},
    "champion_metrics": {"accuracy": 0.74},
}

EXAMPLES: tuple[Message, ...] = (
    RunStarted(**_RUN, resumed=False),
    RunCompleted(**_ENDED),
    RunFailed(**_ENDED, status="KILLED", reason="workflow rainfall-train-7 was cancelled: by ada"),
    RunStale(
        **_ENDED,
        last_seen_at=datetime(2026, 3, 1, 11, 59, 0, tzinfo=UTC),
        reason="no heartbeat for 5.0 min: its process is gone, or cannot reach us",
    ),
    ModelRegistered(
        **_MODEL,
        source_uri=_SOURCE_URI,
        flavors=("python_function", "sklearn"),
        size_bytes=182_345,
        signature='{"inputs": "[…]", "outputs": "[…]", "params": null}',
        metrics={"accuracy": 0.81},
        datasets=_DATASETS,
        apple_compatibility={"mlx": "no: no MLX flavour", "cpu": "yes"},
    ),
    ModelNominated(
        **_MODEL,
        **_GATE,
        alias="challenger",
        answer="cmd.model.promote",
        champion_version=3,
        reason="accuracy 0.81 beats 0.74 by at least 0.01; cmd.model.promote makes it champion",
    ),
    ModelPromoted(
        **_MODEL,
        **_GATE,
        alias="champion",
        source_uri=_SOURCE_URI,
        previous_version=3,
        reason="accuracy 0.81 beats 0.74 by at least 0.01",
    ),
    ModelRejected(
        **_MODEL, **_GATE, champion_version=3, reason="accuracy 0.81 does not beat 0.74 by 0.1"
    ),
    PromoteModel(project="rainfall", name="rain", version=4, reason="Checked by hand."),
)
