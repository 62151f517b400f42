# SPDX-License-Identifier: Apache-2.0
"""MLOpsClient: what training code and notebooks need of the platform, in a few calls; all go through the gateway."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from mlops.client import endpoints, project_file, tensors
from mlops.client.endpoints import Endpoints
from mlops.client.errors import (
    MLOpsClientError,
    NoAnswerError,
    NotFoundError,
    NotRunningError,
    RefusedError,
)
from mlops.client.transport import Transport

Json = dict[str, Any]
Params = Mapping[str, str | float]

_WAIT_S = 60.0
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


class MLOpsClient:
    """A project's client; use it in a `with`, or `close` it."""

    def __init__(
        self,
        project: str,
        where: Endpoints | None = None,
        *,
        folder: Path | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.project = project
        self._folder = folder
        self._transport = Transport(where or endpoints.load(folder), transport)

    @classmethod
    def from_project(cls, name: str | None = None, folder: Path | None = None) -> Self:
        """Return the client of the project in *folder* (or here, or above); *name* needs no project file."""
        if name is not None:
            return cls(name, folder=folder)
        found = project_file.load_project_file(folder)
        return cls(found.name, folder=found.folder)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connection."""
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._transport.close()

    def register(self, folder: Path | None = None) -> Json:
        """Make the project of *folder* known, or tell its changed settings; return the event that says so."""
        found = project_file.load_project_file(folder or self._folder)
        data = {"settings": found.settings.model_dump(mode="json"), "path": str(found.folder)}
        self.project = found.name
        return self._done("cmd.project.register", data, ("project.registered", "project.updated"))

    def dvc_add(self, path: str, name: str = "") -> Json:
        """Version the content of *path* (relative to the project); return `data.versioned`."""
        return self._done("cmd.data.add", {"path": path, "name": name}, ("data.versioned",))

    def dvc_push(self, name: str) -> Json:
        """Transfer what the remote lacks of a dataset; return `data.pushed`."""
        return self._done("cmd.data.push", {"name": name}, ("data.pushed",))

    def dvc_pull(self, name: str) -> Json:
        """Fetch the newest version of a dataset into the project's folder; return `data.restored`."""
        return self._done("cmd.data.pull", {"name": name}, ("data.restored",))

    def submit_workflow(
        self, kind: str = "train", *, model: str | None = None, why: str = ""
    ) -> Workflow:
        """Queue a workflow; return its place in the platform."""
        data = {"kind": kind, "model": model, "why": why}
        event = self._done("cmd.workflow.start", data, ("workflow.queued",), "workflow.declined")
        told = event["data"]
        return Workflow(str(told["workflow_key"]), "queued", str(told.get("why", "")))

    def wait(self, workflow: Workflow | str, timeout_s: float = 3600.0) -> Workflow:
        """Return the workflow once it has ended; RefusedError with the diagnosis when it failed.

        A gateway that is started again meanwhile is waited for.
        """
        key = workflow if isinstance(workflow, str) else workflow.key
        found = self._ended(key, timeout_s)
        if found.state != "completed":
            told = f"{key} {found.state}: {found.diagnosis or found.why}"
            raise RefusedError("workflow", "wait", told, f"see `mlops explain {key}`")
        return found

    def predict(
        self,
        data: tensors.Rows | tensors.Columns | tensors.Frame,
        *,
        model: str,
        request_id: str | None = None,
        version: int | None = None,
    ) -> list[Any]:
        """Return one prediction per row; label them later under *request_id* (`<id>:<row>` with several rows).

        *data* is a dict for each row, a dict of columns, or a data frame.
        """
        pinned = f"/versions/{version}" if version is not None else ""
        body = {"id": request_id or str(uuid.uuid4()), **tensors.request_of(data)}
        path = f"/v2/models/{_part(f'{self.project}.{model}')}{pinned}/infer"
        return tensors.values_of(self._transport.post(path, f"predict with {model}", body))

    def log_label(self, model: str, request_id: str, label: tensors.Value) -> None:
        """Say what turned out to be true for one prediction."""
        self.log_labels(model, {request_id: label})

    def log_labels(
        self, model: str, labels: Mapping[str, tensors.Value] | Sequence[Mapping[str, Any]]
    ) -> None:
        """Say what turned out to be true: request id to label, or `{request_id, label, at}` each."""
        body = {"project": self.project, "model": model, "labels": tensors.labels_of(labels)}
        self._transport.post("/api/v1/labels", f"label {len(labels)} predictions of {model}", body)

    def deploy_model(self, model: str, version: int, why: str = "") -> Json:
        """Roll out a version; return `deployment.started`."""
        data = {"model": model, "version": version, "why": why}
        return self._done("cmd.model.deploy", data, ("deployment.started",), "deployment.failed")

    def list_deployments(self) -> list[Json]:
        """Return the rollouts of this project, and how each stands."""
        found = self._get("/api/v1/deployments", "list deployments", {"project": self.project})
        return list(found["deployments"])

    def get_status(self) -> Json:
        """Return all that is known of this project: models, rollouts, workflows, alerts, performance."""
        found: Json = self._get(f"/api/v1/projects/{_part(self.project)}", "get status")
        return found

    def explain(self, asked: str) -> Json:
        """Return why something happened and what came of it, as a tree."""
        found: Json = self._get(f"/api/v1/explain/{_part(asked)}", f"explain {asked}")
        return found

    def events(self, types: str = "", limit: int = 100) -> list[Json]:
        """Return the newest events of this project, oldest first."""
        params: Params = {"type": types, "project": self.project, "limit": limit}
        return list(self._get("/api/v1/events", "list events", params))

    def command(self, type_: str, data: Mapping[str, Any]) -> str:
        """Send any command of the catalogue; return its id once it is stored."""
        # The id is made here, so that a retry after a lost answer is the same command.
        body = {"id": str(uuid.uuid4()), "type": type_, "project": self.project, "data": dict(data)}
        return str(self._transport.post("/api/v1/commands", type_, body)["id"])

    def result(
        self, command_id: str, types: Sequence[str] = (), timeout_s: float = _WAIT_S
    ) -> list[Json]:
        """Return the events that a command caused, once one of *types* (or a refusal) is among them."""
        params: Params = {"timeout_s": timeout_s, "type": ",".join(types)}
        path = f"/api/v1/commands/{_part(command_id)}/result"
        return list(self._transport.get(path, "wait for the result", params, wait_s=timeout_s))

    def _done(
        self, type_: str, data: Mapping[str, Any], types: Sequence[str], no: str = "command.refused"
    ) -> Json:
        for event in self.result(self.command(type_, data), (*types, no)):
            if event["type"] in types:
                return event
            if event["type"] in ("command.refused", no):
                told = event["data"]
                who = told.get("refused_by") or str(event.get("source", "")).rpartition("/")[2]
                raise RefusedError(str(who), type_, str(told["reason"]))
        hint = "see `mlops status`; the command is stored and will be done when its service is back"
        raise NoAnswerError(
            "platform", type_, f"no {' or '.join(types)} within {_WAIT_S:g} s", hint
        )

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
            found = self._get(f"/api/v1/workflows/{_part(key)}", f"look at {key}")
        except NotFoundError:
            return None  # not yet heard of
        names = ("workflow_key", "state", "why", "diagnosis")
        return Workflow(*(str(found.get(name, "")) for name in names))

    def _get(self, path: str, operation: str, params: Params | None = None) -> Any:
        return self._transport.get(path, operation, params)


def _part(name: str) -> str:
    return quote(name, safe="")


__all__ = ["MLOpsClient", "MLOpsClientError", "Workflow"]
