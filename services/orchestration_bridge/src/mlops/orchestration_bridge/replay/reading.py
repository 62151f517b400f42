# SPDX-License-Identifier: Apache-2.0
"""Reading: the messages of one project in a file of CloudEvents, one a line, as `mlops events tail --json` prints them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mlops.contracts.catalogue import CATALOGUE
from mlops.contracts.errors import MessageError
from mlops.contracts.message import Message
from mlops.contracts.monitoring import DriftDetected, PerformanceDegraded, PerformanceMeasured
from mlops.contracts.orchestration_bridge import (
    WorkflowApproved,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowDeclined,
    WorkflowFailed,
    WorkflowQueued,
    WorkflowStarted,
)
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered, ProjectUpdated

KINDS: tuple[type[Message], ...] = (
    ProjectRegistered,
    ProjectUpdated,
    ProjectArchived,
    DriftDetected,
    PerformanceMeasured,
    PerformanceDegraded,
    WorkflowQueued,
    WorkflowDeclined,
    WorkflowApproved,
    WorkflowStarted,
    WorkflowCompleted,
    WorkflowFailed,
    WorkflowCancelled,
)
_READ = {kind.type: kind for kind in KINDS}


class HistoryError(Exception):
    """The history cannot be read or says nothing; the text says what is wrong and what to do."""


@dataclass
class History:
    """A file that is read as often as needed and never held. `unread` counts what was not understood, by type."""

    path: Path
    project: str
    unread: Counter[str] = field(default_factory=Counter)

    def messages(self) -> Iterator[Message]:
        """Yield the messages that matter to the policy, in the order of the file."""
        self.unread.clear()
        try:
            with self.path.open(encoding="utf-8") as lines:
                for number, line in enumerate(lines, 1):
                    event = self._event(line, number)
                    if event is not None and event.get("project") == self.project:
                        yield from self._message(event)
        except UnicodeDecodeError as error:
            raise HistoryError(
                f"{self.path.name} is no text in UTF-8; give what `mlops events tail --json` printed"
            ) from error

    def _event(self, line: str, number: int) -> dict[str, object] | None:
        if not line.strip():
            return None
        try:
            found = json.loads(line)
        except ValueError as error:
            if not line.endswith("\n"):  # its writer was stopped in the middle of it
                self.unread["a last line that was cut off"] += 1
                return None
            raise HistoryError(
                f"line {number} is not JSON: {error}; give what `mlops events tail --json` printed"
            ) from error
        if not isinstance(found, dict) or not isinstance(found.get("type"), str):
            raise HistoryError(
                f"line {number} is no message; give what `mlops events tail --json` printed"
            )
        return found

    def _message(self, event: dict[str, object]) -> Iterator[Message]:
        type_ = str(event["type"])
        kind = _READ.get(type_)
        if kind is None:
            if type_.partition("_v")[0] in _READ or type_ not in CATALOGUE:
                self.unread[type_] += 1
            return
        try:
            yield kind.from_envelope(event)
        except MessageError:
            self.unread[type_] += 1
