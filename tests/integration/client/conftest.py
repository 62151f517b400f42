# SPDX-License-Identifier: Apache-2.0
"""An MLflow to log to, and programs that log; each test has its own spool."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlops.client import MLOpsClient
from mlops.client.spool import Listing, flush_all, listing
from servers.mlflow_server import MlflowProcess
from servers.programs import end

HEADER = """
import os, sys, time
from mlops.client import MLOpsClient
client = MLOpsClient("rain")
"""


@dataclass
class Place:
    """One server, one spool, and the environment of programs that use both."""

    server: MlflowProcess
    folder: Path

    @property
    def spool(self) -> Path:
        return self.folder / "spool"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "MLFLOW_TRACKING_URI": self.server.uri,
            "MLOPS_SPOOL": str(self.spool),
            "MLOPS_FLUSH_TIMEOUT_S": "20",
            "PYTHONUNBUFFERED": "1",
        }

    def program(self, script: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", HEADER + script],
            env=self.environment | environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, script: str, status: int = 0, **environment: str) -> str:
        with self.program(script, **environment) as child:
            said, _ = child.communicate(timeout=90)
        assert child.returncode == status, said
        return said

    def listing(self) -> Listing:
        return listing(self.spool)

    def flush(self, timeout_s: float = 60) -> None:
        flush_all(self.spool, timeout_s=timeout_s)

    def run_of(self, ref: str) -> str:
        rows = self.server.rows(
            "select run_uuid from tags where key = 'mlops.client_run' and value = ?", ref
        )
        assert len(rows) == 1, rows
        return str(rows[0][0])

    def points(self, run_id: str, key: str = "loss") -> list[int]:
        rows = self.server.rows(
            "select step from metrics where run_uuid = ? and key = ? order by step", run_id, key
        )
        return [int(step) for (step,) in rows]

    def status(self, run_id: str) -> str:
        return str(self.server.rows("select status from runs where run_uuid = ?", run_id)[0][0])

    def tags(self, run_id: str) -> dict[str, str]:
        return dict(self.server.rows("select key, value from tags where run_uuid = ?", run_id))

    def params(self, run_id: str) -> dict[str, str]:
        return dict(self.server.rows("select key, value from params where run_uuid = ?", run_id))


@pytest.fixture(scope="session")
def shared_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowProcess]:
    """One server for tests that do not kill it; with the workspace `rain`."""
    server = MlflowProcess(tmp_path_factory.mktemp("mlflow"))
    server.start()
    server.make_workspace("rain")
    yield server
    server.kill()


@pytest.fixture
def mortal_mlflow(tmp_path: Path) -> Iterator[MlflowProcess]:
    """A server of this test alone, not running yet, without workspaces."""
    server = MlflowProcess(tmp_path / "mlflow", workspaces=False)
    yield server
    server.kill()


@pytest.fixture
def place(shared_mlflow: MlflowProcess, tmp_path: Path) -> Place:
    return Place(shared_mlflow, tmp_path)


@pytest.fixture
def shaky(mortal_mlflow: MlflowProcess, tmp_path: Path) -> Place:
    return Place(mortal_mlflow, tmp_path)


@pytest.fixture
def client(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[MLOpsClient]:
    """A client in this process."""
    yield from _client(place, monkeypatch)


@pytest.fixture
def shaky_client(shaky: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[MLOpsClient]:
    """A client in this process, of a server that does not run yet."""
    yield from _client(shaky, monkeypatch)


def _client(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[MLOpsClient]:
    for name in ("MLFLOW_TRACKING_URI", "MLOPS_SPOOL", "MLOPS_FLUSH_TIMEOUT_S"):
        monkeypatch.setenv(name, place.environment[name])
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    monkeypatch.chdir(place.folder)
    with MLOpsClient("rain") as made:
        yield made


@pytest.fixture
def kill() -> Callable[[subprocess.Popen[Any]], None]:
    return end
