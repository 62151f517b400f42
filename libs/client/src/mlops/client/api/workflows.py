# SPDX-License-Identifier: Apache-2.0
"""Calls about workflows and what happens in the project: start, wait, explain."""

from __future__ import annotations

import time
from dataclasses import dataclass

from mlops.client.api.link import Json, Link, Params, part
from mlops.client.errors import (
    NoAnswerError,
    NotFoundError,
    NotRunningError,
    RefusedError,
)

_ENDED = ("completed", "failed", "cancelled")
_POLL_S = 0.5
_SLOWEST_POLL_S = 3.0


@dataclass(frozen=True)
class Workflow:
    """A workflow that stands in the queue, or further on."""

    key: str
    state: str
    why: str = ""
    diagnosis: str = ""
    suggestion: str = ""


class WorkflowCalls(Link):
    """Workflows, and what is known of the project."""

    def submit_workflow(
        self, kind: str = "train", *, model: str | None = None, why: str = ""
    ) -> Workflow:
        """Queue a workflow; return its place in the platform. RefusedError with the reason when it is declined.

        Example: `client.wait(client.submit_workflow(why="new features"))`
        """
        data = {"kind": kind, "model": model, "why": why}
        event = self._done("cmd.workflow.start", data, ("workflow.queued",), "workflow.declined")
        told = event["data"]
        return Workflow(str(told["workflow_key"]), "queued", str(told.get("why", "")))

    def wait(self, workflow: Workflow | str, timeout_s: float = 3600.0) -> Workflow:
        """Return the workflow once it has ended; RefusedError with the diagnosis when it failed.

        A gateway that is started again meanwhile is waited for. NoAnswerError after *timeout_s*.
        """
        key = workflow if isinstance(workflow, str) else workflow.key
        found = self._ended(key, timeout_s)
        if found.state != "completed":
            told = f"{key} {found.state}: {found.diagnosis or found.why}"
            raise RefusedError(
                "workflow", "wait", told, found.suggestion or f"see `mlops explain {key}`"
            )
        return found

    def get_status(self) -> Json:
        """Return all that is known of this project: models, rollouts, workflows, alerts, performance."""
        found: Json = self._get(f"/api/v1/projects/{part(self.project)}", "get status")
        return found

    def energy(self, by: str = "day", limit: int = 100) -> list[Json]:
        """Return what this project's work took, oldest first: an entry per "day", "workflow", "run" or "version".

        Each has `joules` and `measured_j`, the part that machines have counted themselves; None where nobody knows.

        Example: `sum(one["joules"] for one in client.energy())`
        """
        params: Params = {"project": self.project, "by": by, "limit": limit}
        return list(self._get("/api/v1/energy", "read energy", params)["rows"])

    def explain(self, asked: str) -> Json:
        """Return why something happened and what came of it, as a tree; *asked* is an event, a run or a workflow."""
        found: Json = self._get(f"/api/v1/explain/{part(asked)}", f"explain {asked}")
        return found

    def events(self, types: str = "", limit: int = 100) -> list[Json]:
        """Return the newest events of this project, oldest first; *types* like `run.*,drift.detected`."""
        params: Params = {"type": types, "project": self.project, "limit": limit}
        return list(self._get("/api/v1/events", "list events", params))

    def _ended(self, key: str, timeout_s: float) -> Workflow:
        deadline, pause = time.monotonic() + timeout_s, _POLL_S
        found: Workflow | None = None
        while True:
            try:
                found = self._workflow(key)
            except NotRunningError:
                if found is None:
                    raise
            if found is not None and found.state in _ENDED:
                return found
            if time.monotonic() + pause > deadline:
                state = found.state if found else "unknown"
                told = f"{key} is {state} after {timeout_s:g} s"
                raise NoAnswerError("workflow", "wait", told, f"see `mlops explain {key}`")
            time.sleep(pause)
            pause = min(_SLOWEST_POLL_S, pause * 1.5)

    def _workflow(self, key: str) -> Workflow | None:
        try:
            found = self._get(f"/api/v1/workflows/{part(key)}", f"look at {key}")
        except NotFoundError:
            return None  # not yet heard of
        names = ("workflow_key", "state", "why", "diagnosis", "suggestion")
        return Workflow(*(str(found.get(name, "")) for name in names))
