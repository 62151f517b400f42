# SPDX-License-Identifier: Apache-2.0
"""Audit: after the replay, whether anything was lost or done twice; a fold over what the bus holds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

AUDITED = (
    "prediction.logged",
    "label.recorded",
    "workflow.queued",
    "workflow.started",
    "workflow.completed",
    "model.registered",
    "model.promoted",
    "deployment.started",
    "deployment.completed",
)
_NAMED_BY = {
    "workflow.queued": "trigger_id",
    "workflow.started": "workflow_key",
    "workflow.completed": "workflow_key",
    "model.registered": "run_id",
    "model.promoted": "version",
    "deployment.started": "version",
    "deployment.completed": "version",
}


@dataclass
class Audit:
    """What was answered and told, against what the bus knows."""

    answered: set[str]
    told: set[str]
    _logged: set[str] = field(default_factory=set)
    _recorded: set[str] = field(default_factory=set)
    _seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    _ids: set[str] = field(default_factory=set)

    def add(self, envelope: dict[str, Any]) -> None:
        """Take in the next message; a repeated id is the same message."""
        message_id, type_ = str(envelope.get("id")), str(envelope.get("type"))
        if message_id in self._ids:
            return
        self._ids.add(message_id)
        data = envelope.get("data", {})
        if type_ == "prediction.logged":
            self._logged.update(row["request_id"] for row in data["predictions"])
        elif type_ == "label.recorded":
            self._recorded.update(label["request_id"] for label in data["labels"])
        elif type_ in _NAMED_BY:
            self._seen[type_, _name(type_, data)] += 1

    def figures(self) -> dict[str, Any]:
        """Return the counts; `lost` and `repeated` are what must be empty."""
        return {
            "predictions_answered": len(self.answered),
            "predictions_lost": len(self.answered - self._logged),
            "labels_told": len(self.told),
            "labels_lost": len(self.told - self._recorded),
            "repeated": sorted(
                f"{type_} {name}" for (type_, name), n in self._seen.items() if n > 1
            ),
        }


def _name(type_: str, data: dict[str, Any]) -> str:
    """Return what must not come twice: of a workflow that was moved, each of its attempts."""
    name, attempt = str(data[_NAMED_BY[type_]]), data.get("attempt", 1)
    return name if attempt == 1 else f"{name}.{attempt}"
