# SPDX-License-Identifier: Apache-2.0
"""What serving stands on, once for all tests of a run: a Ray head behind HAProxy, an MLflow, and who trains models.

The conformance suite of `Replicas` and the tests of the whole service take turns on the same head.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from servers.mlflow_server import MlflowProcess
from servers.nats import NatsServer
from servers.ray_head import RayHead

SCRIPTS = Path(__file__).parents[1] / "integration" / "serving"


@pytest.fixture(scope="session")
def serving_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def ray(serving_home: Path, shared_nats: NatsServer) -> Iterator[RayHead]:
    bus = {"NATS_URL": shared_nats.url, "NATS_TOKEN": shared_nats.token}
    head = RayHead(serving_home, extra_env={**bus, "PYTHONPATH": with_stand_ins()})
    head.start()
    yield head
    head.close()
    assert head.processes() == []


def with_stand_ins() -> str:
    """Return a PYTHONPATH with what writes texts where mlx-lm is not installed."""
    return os.pathsep.join(
        filter(None, [str(SCRIPTS / "stand_ins"), os.environ.get("PYTHONPATH", "")])
    )


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = MlflowProcess(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server.uri
    server.kill()


@dataclass
class Trainer:
    """`log_models.py` as a process that stays: importing MLflow takes longer than training."""

    process: subprocess.Popen[str]

    def log(self, project: str, *kinds: str) -> list[int]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        wish = {"project": project, "model": project, "kinds": kinds}
        self.process.stdin.write(json.dumps(wish) + "\n")
        self.process.stdin.flush()
        versions: list[int] = json.loads(self.process.stdout.readline())
        return versions


@pytest.fixture(scope="session")
def trainer(mlflow_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainer]:
    path = tmp_path_factory.mktemp("trainer") / "log"
    with (
        path.open("wb") as log,
        subprocess.Popen(
            [sys.executable, str(SCRIPTS / "log_models.py")],
            env=os.environ | {"MLFLOW_TRACKING_URI": mlflow_url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        yield Trainer(process)
