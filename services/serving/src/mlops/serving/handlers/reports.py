# SPDX-License-Identifier: Apache-2.0
"""What a replica tells of itself when it asks for its limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mlops.contracts.latency import Latencies
from mlops.serving.model.apps import app_name
from mlops.serving.model.metering import Reading
from mlops.serving.ports import Report

_COUNTS = ("answered", "busy_s", "cpu_s")
_MORE_COUNTS = ("requests", "errors", "shed", "dropped", "waiting")


def app_of(question: Mapping[str, Any]) -> str:
    """Return the application that asks."""
    project, model = (str(question.get(name, "")) for name in ("project", "model"))
    version = str(question.get("version", ""))
    return app_name(project, model, int(version) if version.isdecimal() else 0)


def read_report(question: Mapping[str, Any]) -> Report | None:
    """Return what a replica tells with its question; None for people's questions, whose words are all text."""
    replica, node = question.get("replica"), question.get("node", "")
    answered, busy_s, cpu_s = (_count(question.get(name)) for name in _COUNTS)
    if not isinstance(replica, str) or not replica or not isinstance(node, str):
        return None
    if answered is None or busy_s is None or cpu_s is None:
        return None
    accelerated = question.get("accelerated") is True
    reading = Reading(replica, node, int(answered), busy_s, cpu_s, accelerated)
    memory = _count(question.get("memory_bytes"))
    latencies = question.get("latencies")
    return Report(
        reading,
        **{name: int(_count(question.get(name)) or 0) for name in _MORE_COUNTS},
        memory_bytes=None if memory is None else int(memory),
        latencies=Latencies.read(latencies).as_json(),
    )


def _count(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) and value >= 0 else None
