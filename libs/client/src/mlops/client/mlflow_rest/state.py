# SPDX-License-Identifier: Apache-2.0
"""A run as it shall be, and as the server has it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class RunState:
    """A run as the server has it."""

    run_id: str
    status: str
    deleted: bool
    artifact_uri: str
    experiment_id: str
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ()


@dataclass(frozen=True)
class NewRun:
    """A run that the server shall have; `ref` is the name that its client gave it."""

    ref: str
    name: str
    started_ms: int
    tags: Mapping[str, str]


def state_of(found: Mapping[str, Any]) -> RunState:
    """Return a run from MLflow's answer."""
    info, content = found["info"], found.get("data", {})
    outputs = found.get("outputs", {}).get("model_outputs", [])
    return RunState(
        run_id=str(info["run_id"]),
        status=str(info.get("status", "")),
        deleted=info.get("lifecycle_stage") == "deleted",
        artifact_uri=str(info.get("artifact_uri", "")),
        experiment_id=str(info["experiment_id"]),
        tags={tag["key"]: tag["value"] for tag in content.get("tags", [])},
        params={param["key"]: param["value"] for param in content.get("params", [])},
        models=tuple(str(output["model_id"]) for output in outputs),
    )
