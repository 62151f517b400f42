# SPDX-License-Identifier: Apache-2.0
"""Assignment: which workflow of which project a step works for, as the orchestrator tells it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlops.client.steps.errors import PermanentError


@dataclass(frozen=True)
class Assignment:
    """What the environment of a step says; ids are empty when a person started the DAG by hand.

    `attempt` counts the starts of the workflow: more than 1 after its machine got too hot for it, or vanished.
    """

    project: str
    key: str
    correlation_id: str = ""
    causation_id: str = ""
    traceparent: str = ""
    kind: str = ""
    attempt: int = 1

    @property
    def tags(self) -> dict[str, str]:
        """Return what makes the MLflow run a part of the story."""
        found = {
            "mlops.workflow_key": self.key,
            "mlops.workflow_kind": self.kind,
            "mlops.correlation_id": self.correlation_id,
            "mlops.causation_id": self.causation_id,
            "mlops.traceparent": self.traceparent,
        }
        return {name: value for name, value in found.items() if value}


def read(environ: Mapping[str, str]) -> Assignment:
    """Return the assignment; PermanentError names a variable that is missing."""
    for name in ("MLOPS_PROJECT", "MLOPS_WORKFLOW_KEY"):
        if not environ.get(name):
            raise PermanentError(f"{name} is not set; steps are started by the orchestrator's DAG")
    return Assignment(
        project=environ["MLOPS_PROJECT"],
        key=environ["MLOPS_WORKFLOW_KEY"],
        correlation_id=environ.get("MLOPS_CORRELATION_ID", ""),
        causation_id=environ.get("MLOPS_CAUSATION_ID", ""),
        traceparent=environ.get("MLOPS_TRACEPARENT", ""),
        kind=environ.get("MLOPS_WORKFLOW_KIND", ""),
        attempt=_attempt(environ.get("MLOPS_WORKFLOW_ATTEMPT") or "1"),
    )


def _attempt(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise PermanentError(f"MLOPS_WORKFLOW_ATTEMPT is {text!r}; it counts from 1")
    return int(text)
