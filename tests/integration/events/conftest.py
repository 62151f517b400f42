# SPDX-License-Identifier: Apache-2.0
"""A small platform as `mlops up --mqtt` starts it: the bus with MQTT, workspaces, monitoring and the gateway."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops.chassis.bus_nats import NatsBus
from mlops.cli.home import Home, read_json
from mlops.cli.supervisor import processes
from mlops.contracts.serving import Prediction, PredictionLogged
from servers.programs import until

EXAMPLES = Path(__file__).resolve().parents[3] / "examples" / "events"
PATIENCE_S = 30
PROJECT = "rainfall"
MODEL = "rain"


@dataclass(frozen=True)
class Platform:
    """An installation, and the examples pointed at it."""

    home: Path

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, "MLOPS_HOME": str(self.home), "PYTHONUNBUFFERED": "1"}

    @property
    def endpoints(self) -> dict[str, str]:
        return read_json(self.home / "endpoints.json")

    @property
    def secrets(self) -> dict[str, str]:
        return read_json(self.home / "credentials.json")

    def mlops(self, *words: str, timeout_s: float = 120) -> str:
        command = [sys.executable, "-m", "mlops.cli", "--home", str(self.home), *words]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout_s, check=False
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def run(self, example: str, *words: str) -> str:
        """Run an example to its end and return what it printed."""
        done = subprocess.run(
            command_of(example, *words),
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def start(self, example: str, *words: str) -> subprocess.Popen[str]:
        """Start an example that goes on."""
        return subprocess.Popen(
            command_of(example, *words), env=self.environ, stdout=subprocess.PIPE, text=True
        )

    def ask(self, path: str, **params: str) -> Any:
        headers = {"Authorization": f"Bearer {self.secrets['gateway_token']}"}
        url = f"{self.endpoints['gateway']}/api/v1/{path}"
        return httpx.get(url, params=params, headers=headers).raise_for_status().json()

    def labelled(self) -> int:
        """Return how many predictions monitoring holds the truth of."""
        found = self.ask("query/monitoring/models", project=PROJECT, model=MODEL)["models"]
        return int(found[0]["labelled"]) if found else 0


def command_of(example: str, *words: str) -> list[str]:
    path = EXAMPLES / example
    program = ["sh"] if path.suffix == ".sh" else [sys.executable, "-W", "error"]
    return [*program, str(path), *words]


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    folder = tmp_path_factory.mktemp("events")
    found = Platform(folder / "home")
    found.mlops("up", "--mqtt", "--only", "nats,workspaces,monitoring,gateway")
    try:
        register(found)
        yield found
    finally:
        found.mlops("down")
        shutil.rmtree(Home(found.home).short, ignore_errors=True)
    assert processes.belonging(processes.scan(), home=str(found.home)) == set()


def register(platform: Platform) -> None:
    headers = {"Authorization": f"Bearer {platform.secrets['gateway_token']}"}
    wish = {
        "type": "cmd.project.register",
        "project": PROJECT,
        "data": {"settings": {"name": PROJECT}},
    }
    gateway = platform.endpoints["gateway"]
    httpx.post(f"{gateway}/api/v1/commands", json=wish, headers=headers).raise_for_status()
    until(
        lambda: PROJECT in json.dumps(platform.ask("projects")),
        PATIENCE_S,
        lambda: "not registered",
    )


@pytest.fixture
async def bus(platform: Platform) -> AsyncIterator[NatsBus]:
    found = NatsBus(
        platform.endpoints["nats"], token=platform.secrets["nats_token"], name="stranger"
    )
    await found.start()
    yield found
    await found.stop()


@pytest.fixture
async def predicted(bus: NatsBus) -> Callable[..., Any]:
    """Tell predictions, so that their labels count."""

    async def tell(*request_ids: str) -> None:
        now = datetime.now(UTC)
        rows = [
            Prediction(request_id=name, at=now, features={"x": 0.5}, prediction=1)
            for name in request_ids
        ]
        await bus.publish(
            PredictionLogged(project=PROJECT, model=MODEL, version=1, predictions=tuple(rows))
        )

    return tell
