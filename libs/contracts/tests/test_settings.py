# SPDX-License-Identifier: Apache-2.0
"""A project needs only its name; what contradicts itself is refused with the fix."""

from __future__ import annotations

import tomllib
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from mlops.contracts.settings import Consent, Goal, ProjectSettings

EVERYTHING = """
name = "electricity"
[train]
command = "uv run train.py"
resources = { cpu = 1, memory_gb = 2, accelerator = "any" }
[evaluate]
metric = "accuracy"
goal = "max"
min_gain = 0.0
promote = "auto"
[serve]
model = "price-direction"
backend = "auto"
rollout = "canary"
steps = [0.05, 0.5, 1.0]
min_replicas = 1
max_replicas = 2
memory_gb = 1
log_predictions = 1.0
[monitor]
window = 500
drift = { share = 0.5, alpha = 0.05, persist_windows = 2 }
accuracy = { min = 0.7 }
[retrain]
on = ["drift.detected", "performance.degraded"]
mode = "auto"
cooldown = "10m"
max_per_day = 8
max_causation_depth = 3
[share]
weight = 1
priority = "normal"
max_parallel = 2
"""


def test_only_the_name_is_needed() -> None:
    settings = ProjectSettings(name="fraud")

    assert settings.evaluate.goal is Goal.MAX
    assert settings.retrain.cooldown == timedelta(minutes=10)
    assert settings.serve.steps[-1] == 1.0


def test_the_documented_file_reads_strictly() -> None:
    settings = ProjectSettings.model_validate(tomllib.loads(EVERYTHING), extra="forbid")

    assert settings.serve.model == "price-direction"
    assert settings.monitor.accuracy.min == 0.7
    assert settings.retrain.mode is Consent.AUTO


def test_settings_survive_the_wire() -> None:
    settings = ProjectSettings.model_validate(tomllib.loads(EVERYTHING))

    assert ProjectSettings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"name": ""}, "name"),
        ({"name": "Fraud"}, "name"),
        ({"name": "a.b"}, "name"),
        ({"name": "a" * 64}, "name"),
        ({"serve": {"steps": [0.5, 0.1, 1.0]}}, r"must rise and end with 1\.0"),
        ({"serve": {"steps": [0.5, 0.5, 1.0]}}, r"must rise and end with 1\.0"),
        ({"serve": {"steps": [0.5]}}, r"must rise and end with 1\.0"),
        ({"serve": {"steps": []}}, "at least 1 item"),
        ({"serve": {"min_replicas": 3, "max_replicas": 2}}, "must not exceed max_replicas"),
        ({"monitor": {"window": 10}}, "greater than or equal to 50"),
        ({"monitor": {"drift": {"alpha": 1}}}, "less than 1"),
        ({"retrain": {"cooldown": 600}}, '"10m"'),
        ({"share": {"weight": 0}}, "greater than 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(values: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        ProjectSettings.model_validate({"name": "fraud", **values})


def test_mistyped_key_is_found_when_read_strictly() -> None:
    with pytest.raises(ValidationError, match=r"retrain\.cool_down"):
        ProjectSettings.model_validate(
            {"name": "fraud", "retrain": {"cool_down": "5m"}}, extra="forbid"
        )
