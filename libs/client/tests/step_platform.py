# SPDX-License-Identifier: Apache-2.0
"""The gateway and MLflow's artifacts in memory, as far as a step needs them while its command runs."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx

from mlops.client.steps.assignment import Assignment
from mlops.client.steps.door import Door, Project
from mlops.client.steps.patience import PatientHttp
from mlops.client.steps.tracking import Run, Tracking
from mlops.client.steps.work import Work
from mlops.contracts.settings import ProjectSettings

PROXY = "/api/2.0/mlflow-artifacts/artifacts/"
ROOT = "runs/r1/artifacts"
RUN = Run("r1", "1", "RUNNING", f"mlflow-artifacts:/{ROOT}")


@dataclass
class Platform:
    """The gateway and MLflow's artifacts in memory; `away` makes the gateway fail."""

    workflow: Any = None
    files: dict[str, bytes] = field(default_factory=dict)
    statuses: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    status: int = 200
    refuses: str = ""
    asked: int = 0

    def answer(self, request: httpx.Request) -> httpx.Response:
        path = unquote(request.url.path)
        if path.startswith("/api/v1/workflows/"):
            self.asked += 1
            return httpx.Response(self.status, content=json.dumps(self.workflow))
        if path.startswith(PROXY):
            return self._artifact(request, path.removeprefix(PROXY))
        if path.endswith("/artifacts/list"):
            return self._listed(f"{ROOT}/{request.url.params['path']}/")
        body = json.loads(request.content or b"{}")
        if path.endswith("runs/update"):
            self.statuses.append(body["status"])
        if path.endswith("runs/log-batch"):
            self.tags |= {tag["key"]: tag["value"] for tag in body["tags"]}
        if path.endswith("get-by-name"):
            return httpx.Response(200, json={"experiment": {"experiment_id": "1"}})
        if path.endswith("runs/search"):
            return httpx.Response(200, json={"runs": [self._run()]})
        return httpx.Response(200, json={})

    def _run(self) -> dict[str, Any]:
        pairs = [{"key": key, "value": value} for key, value in self.tags.items()]
        info = {"run_id": "r1", "experiment_id": "1", "status": "RUNNING"}
        uri = {"artifact_uri": RUN.artifact_uri}
        return {"info": {**info, **uri}, "data": {"tags": pairs}}

    def _artifact(self, request: httpx.Request, path: str) -> httpx.Response:
        if request.method == "PUT":
            if self.refuses and self.refuses in path:
                return httpx.Response(500, text="no space left")
            self.files[path] = request.read()
            return httpx.Response(200, json={})
        if request.method == "DELETE":
            self.files = {k: v for k, v in self.files.items() if not k.startswith(f"{path}/")}
            return httpx.Response(200, json={})
        if path not in self.files:
            return httpx.Response(404, text="no such artifact")
        return httpx.Response(200, content=self.files[path])

    def _listed(self, below: str) -> httpx.Response:
        rests = {k.removeprefix(below).split("/")[0] for k in self.files if k.startswith(below)}
        shown = below.removeprefix(f"{ROOT}/")
        found = [{"path": f"{shown}{name}", "is_dir": True} for name in sorted(rests)]
        return httpx.Response(200, json={"files": found})

    def ask(self, ask: str, request: int = 1, attempt: int = 1, age_s: float = 0.0) -> None:
        asked = {"ask": ask, "request": request, "attempt": attempt, "reason": "n1 is hot"}
        self.workflow = {"attempt": attempt, "asked": {**asked, "age_s": age_s}}

    @property
    def kept(self) -> list[str]:
        below = f"{ROOT}/checkpoints/"
        return sorted(k.removeprefix(below) for k in self.files if k.startswith(below))


def work(platform: Platform, folder: Path, attempt: int = 1, **settings: Any) -> Work:
    def http(part: str) -> PatientHttp:
        transport = httpx.MockTransport(platform.answer)
        return PatientHttp(part, "http://test", {}, limit_s=0.5, transport=transport)

    given = Assignment("rain", "rain-1", attempt=attempt)
    said = ProjectSettings.model_validate({"name": "rain", **settings})
    project = Project(said, folder)
    door, tracking = Door(http("the gateway"), given), Tracking(http("MLflow"), "rain")
    return Work(given, project, door, tracking, listens_every_s=0.05)
