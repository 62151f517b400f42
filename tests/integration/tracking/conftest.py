# SPDX-License-Identifier: Apache-2.0
"""The real tracking process beside a real nats-server, and unmodified MLflow clients."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops.chassis.bus_nats import NatsBus
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.workspaces import ProjectRegistered

PATIENCE_S = 120


@dataclass
class Tracking:
    """`python -m mlops.tracking` on a free port, with its own home; may be killed and started again."""

    home: Path
    nats_url: str
    nats_token: str
    port: int
    process: asyncio.subprocess.Process | None = None
    more: dict[str, str] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.home / "tracking.log").read_text()

    async def launch(self) -> None:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "MLOPS_HOME": str(self.home),
            "NATS_URL": self.nats_url,
            "NATS_TOKEN": self.nats_token,
            "MLOPS_HTTP_PORT": str(self.port),
            **self.more,
        }
        with (self.home / "tracking.log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "mlops.tracking",
                env=env,
                stdout=log,
                stderr=log,
                cwd=self.home,
            )

    async def start(self) -> None:
        await self.launch()
        await self.until_ready(200)

    async def until_ready(self, status: int) -> dict[str, str]:
        async with httpx.AsyncClient() as http, asyncio.timeout(PATIENCE_S):
            while True:
                assert self.process is not None
                assert self.process.returncode is None, self.log
                try:
                    answer = await http.get(f"{self.uri}/readyz")
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
                    continue
                if answer.status_code == status:
                    found: dict[str, str] = answer.json()
                    return found
                await asyncio.sleep(0.05)

    async def kill(self, number: int = signal.SIGKILL) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await self.process.wait()

    def client(self, workspace: str | None) -> dict[str, str]:
        """Return the environment of somebody who has only MLflow."""
        own = {"MLFLOW_WORKSPACE": workspace} if workspace else {}
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "MLFLOW_TRACKING_URI": self.uri,
            **own,
        }

    async def run_client(self, script: str, workspace: str | None = "rain") -> str:
        """Run a script that knows nothing of us and return what it printed."""
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            script,
            env=self.client(workspace),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            cwd=self.home,
        )
        async with asyncio.timeout(2 * PATIENCE_S):
            said, _ = await child.communicate()
        assert child.returncode == 0, said.decode() + self.log
        return said.decode()


@dataclass
class Listener:
    """What the bus holds, as CloudEvents."""

    bus: NatsBus

    async def events(self, *types: str) -> list[dict[str, Any]]:
        return [found.envelope async for found in self.bus.follow(types, live=False)]

    async def wait_for(self, count: int, *types: str) -> list[dict[str, Any]]:
        async with asyncio.timeout(PATIENCE_S):
            while len(found := await self.events(*types)) < count:
                await asyncio.sleep(0.1)
        return found

    async def register(
        self, project: str, folder: Path | None = None, **evaluate: object
    ) -> dict[str, Any]:
        settings = ProjectSettings.model_validate({"name": project, "evaluate": evaluate})
        path = str(folder) if folder else None
        registered = ProjectRegistered(project=project, settings=settings, revision=1, path=path)
        await self.bus.publish(registered)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                found = await self.events("workspace.provisioned", "workspace.refused")
                mine = [
                    event
                    for event in found
                    if (event["project"], event["data"]["component"]) == (project, "tracking")
                ]
                if mine:
                    return mine[0]
                await asyncio.sleep(0.05)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
async def listener(nats_server: Any, tmp_path: Path) -> AsyncIterator[Listener]:
    bus = NatsBus(
        nats_server.url, token=nats_server.token, name="listener", outbox=tmp_path / "listener.db"
    )
    await bus.start()
    yield Listener(bus)
    await bus.stop()


@pytest.fixture
async def unstarted(nats_server: Any, tmp_path: Path) -> AsyncIterator[Tracking]:
    home = tmp_path / "home"
    home.mkdir()
    tracking = Tracking(home, nats_server.url, nats_server.token, free_port())
    yield tracking
    if tracking.process is not None:
        await tracking.kill()


@pytest.fixture
async def tracking(unstarted: Tracking) -> Tracking:
    await unstarted.start()
    return unstarted
