# SPDX-License-Identifier: Apache-2.0
"""The gateway as its own process on a real bus, beside real services, under one home."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import httpx
import pytest

from mlops.chassis.bus_nats import NatsBus
from mlops.client.endpoints import Endpoints


class Server(Protocol):
    """The part of the nats-server fixture that is used here."""

    url: str
    token: str

    def start(self) -> None:
        """Start it, with what it stored."""

    def kill(self) -> None:
        """Kill it, as a power cut would."""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass
class Platform:
    """Services as processes, under one home."""

    nats: Server
    home: Path
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    port: int = field(default_factory=free_port)
    mlflow_port: int = field(default_factory=free_port)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def endpoints(self) -> Endpoints:
        return Endpoints(self.url, self.token)

    def start(self, service: str, port: int = 0, **settings: str) -> None:
        env = {
            **os.environ,
            "MLOPS_HOME": str(self.home),
            "NATS_URL": self.nats.url,
            "NATS_TOKEN": self.nats.token,
            "GATEWAY_TOKEN": self.token,
            "GATEWAY_MLFLOW_URL": f"http://127.0.0.1:{self.mlflow_port}",
            "MLOPS_HTTP_PORT": str(port),
            **settings,
        }
        with (self.home / f"{service}.log").open("ab") as log:
            command = [sys.executable, "-m", f"mlops.{service}"]
            self.processes[service] = subprocess.Popen(command, env=env, stderr=log)

    def start_gateway(self) -> None:
        self.start("gateway", self.port)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"{self.url}/readyz").is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise TimeoutError((self.home / "gateway.log").read_text()[-3000:])

    def start_tracking(self) -> None:
        self.start("tracking", self.mlflow_port)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                if httpx.get(f"http://127.0.0.1:{self.mlflow_port}/readyz").is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise TimeoutError((self.home / "tracking.log").read_text()[-3000:])

    def wait_for_workspaces(self) -> None:
        """Until it answers, the gateway cannot know which projects there are, and takes facts of any."""
        headers = {"Authorization": f"Bearer {self.token}"}
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if httpx.get(f"{self.url}/api/v1/query/workspaces/list", headers=headers).is_success:
                return
            time.sleep(0.05)
        raise TimeoutError((self.home / "workspaces.log").read_text()[-3000:])

    def kill(self, service: str) -> None:
        process = self.processes.pop(service)
        process.kill()
        process.wait(10)

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(15)


@pytest.fixture
def platform(nats_server: Server, tmp_path: Path) -> Iterator[Platform]:
    home = tmp_path / "home"
    home.mkdir()
    found = Platform(nats_server, home)
    found.start("workspaces")
    found.start_gateway()
    found.wait_for_workspaces()
    yield found
    found.stop()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "rainfall"
    folder.mkdir()
    (folder / "mlops.toml").write_text('name = "rainfall"\n[serve]\nmodel = "rain"\n')
    return folder


@pytest.fixture
async def bus(nats_server: Server) -> AsyncIterator[NatsBus]:
    """The tests' own place on the bus, where they speak as serving."""
    made = NatsBus(nats_server.url, token=nats_server.token, name="serving")
    yield made
    await made.stop()
