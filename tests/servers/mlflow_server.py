# SPDX-License-Identifier: Apache-2.0
"""An unmodified MLflow of one process for tests: loopback, SQLite, artifacts through its proxy; a kill loses nothing."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from servers.programs import end, free_port, until

_START_S = 180


@dataclass
class MlflowProcess:
    """MLflow's own application under uvicorn, with or without workspaces; may be killed and started again."""

    folder: Path
    workspaces: bool = True
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def database(self) -> Path:
        return self.folder / "mlflow.db"

    def log(self) -> str:
        return (self.folder / "mlflow.log").read_text()

    def start(self) -> None:
        self.launch()
        self.until_ready()

    def launch(self) -> None:
        (self.folder / "artifacts").mkdir(parents=True, exist_ok=True)
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{self.database}",
            "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
            "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
            "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(self.folder / "artifacts"),
            "_MLFLOW_SGI_NAME": "uvicorn",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_ENABLE_WORKSPACES": str(self.workspaces).lower(),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
        }
        app = ["uvicorn", "mlflow.server.fastapi_app:app", "--host", "127.0.0.1"]
        command = [sys.executable, "-m", *app, "--port", str(self.port), "--log-level", "warning"]
        with (self.folder / "mlflow.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=env)

    def until_ready(self) -> None:
        until(self._answers, _START_S, self.log)

    def kill(self) -> None:
        if self.process is not None:
            end(self.process)
            self.process = None

    def make_workspace(self, name: str) -> None:
        answer = httpx.post(f"{self.uri}/api/3.0/mlflow/workspaces", json={"name": name})
        assert answer.status_code in (200, 201), answer.text

    def rows(self, question: str, *values: object) -> list[tuple[Any, ...]]:
        """Look into the database itself."""
        with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as database:
            found = database.execute(question, values).fetchall()
        database.close()
        return found

    def call(self, method: str, path: str, workspace: str = "", **request: Any) -> dict[str, Any]:
        headers = {"X-MLFLOW-WORKSPACE": workspace} if workspace else {}
        url = f"{self.uri}/api/2.0/mlflow/{path}"
        answer = httpx.request(method, url, headers=headers, timeout=30, **request)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.uri}/health", timeout=5).status_code == 200
        except httpx.TransportError:
            return False
