# SPDX-License-Identifier: Apache-2.0
"""The service as a process on a real bus: killed in the middle, it tells everything once."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlops.chassis.bus_nats import NatsBus
from mlops.contracts.gateway import Label, LabelRecorded
from mlops.contracts.serving import DeploymentCompleted, Prediction, PredictionLogged
from mlops.contracts.settings import MonitorSettings, ProjectSettings
from mlops.contracts.workspaces import ProjectRegistered

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]

WINDOW = 200
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


class Process:
    """The service, started and killed as a supervisor would."""

    def __init__(self, home: Path, server: Any) -> None:
        self._home = home
        self._env = {
            **os.environ,
            "MLOPS_HOME": str(home),
            "NATS_URL": server.url,
            "NATS_TOKEN": server.token,
        }
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._home / "monitoring.log").open("ab") as log:
            command = [sys.executable, "-m", "mlops.monitoring"]
            self._child = subprocess.Popen(command, env=self._env, stdout=log, stderr=log)

    def kill(self) -> None:
        if self._child is not None:
            self._child.kill()
            self._child.wait(10)
            self._child = None


@pytest.fixture
def process(tmp_path: Path, nats_server: Any) -> Iterator[Process]:
    found = Process(tmp_path, nats_server)
    found.start()
    yield found
    found.kill()


@pytest.fixture
async def bus(tmp_path: Path, nats_server: Any) -> AsyncIterator[NatsBus]:
    found = NatsBus(
        nats_server.url, token=nats_server.token, name="probe", outbox=tmp_path / "probe.db"
    )
    await found.start()
    yield found
    await found.stop()


async def send_window(bus: NatsBus, first: int, right: int) -> None:
    ids = [str(i) for i in range(first, first + WINDOW)]
    predictions = tuple(
        Prediction(request_id=name, at=NOON, features={"x": 0.5}, prediction=1) for name in ids
    )
    labels = tuple(
        Label(request_id=name, label=int(i < right), at=NOON) for i, name in enumerate(ids)
    )
    await bus.publish(
        PredictionLogged(project="weather", model="rain", version=1, predictions=predictions)
    )
    await bus.publish(LabelRecorded(project="weather", model="rain", labels=labels))


async def told(bus: NatsBus, type_: str) -> list[int]:
    found = [one async for one in bus.follow([type_], live=False)]
    return [int(one.envelope["data"]["window"]["index"]) for one in found]


async def until_told(bus: NatsBus, type_: str, indices: list[int]) -> None:
    async with asyncio.timeout(60):
        while await told(bus, type_) != indices:
            await asyncio.sleep(0.2)


async def test_a_killed_service_goes_on_and_repeats_nothing(process: Process, bus: NatsBus) -> None:
    settings = ProjectSettings(name="weather", monitor=MonitorSettings(window=WINDOW))
    await bus.publish(ProjectRegistered(project="weather", settings=settings, revision=1))
    async with asyncio.timeout(60):
        while not [one async for one in bus.follow(["workspace.provisioned"], live=False)]:
            await asyncio.sleep(0.2)
    await bus.publish(
        DeploymentCompleted(
            project="weather",
            deployment_id="d",
            model="rain",
            version=1,
            endpoint="/x",
            metrics={"accuracy": 0.9},
        )
    )
    await send_window(bus, 0, right=190)
    await until_told(bus, "performance.measured", [0])

    process.kill()
    await send_window(bus, WINDOW, right=100)
    process.start()
    await until_told(bus, "performance.degraded", [1])
    await send_window(bus, 2 * WINDOW, right=190)
    await until_told(bus, "performance.recovered", [2])

    assert await told(bus, "performance.measured") == [0, 1, 2]
    assert await told(bus, "performance.degraded") == [1]
