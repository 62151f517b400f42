# SPDX-License-Identifier: Apache-2.0
"""The real thing: a Ray head with Serve behind HAProxy, an MLflow server with workspaces, NATS, and our service."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from mlops.chassis.bus_nats import NatsBus
from mlops.contracts.settings import ProjectSettings, ServeSettings
from mlops.contracts.tracking import ModelPromoted
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered
from servers import traffic
from servers.nats import NatsServer, start_nats
from servers.programs import free_port, until
from servers.ray_head import RayHead
from servers.serving import Trainer, with_stand_ins

PYTHON = sys.executable


@pytest.fixture(scope="session")
def home(serving_home: Path) -> Path:
    return serving_home


@dataclass
class Serving:
    """Our service as a process."""

    home: Path
    env: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.home / "serving.log"

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [PYTHON, "-m", "mlops.serving"], env=os.environ | self.env, stdout=log, stderr=log
            )

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture(scope="session")
def serving(
    home: Path, ray: RayHead, mlflow_url: str, shared_nats: NatsServer
) -> Iterator[Serving]:
    service = serving_on(home, ray, mlflow_url, shared_nats)
    service.start()
    ray.has_writer = True
    yield service
    service.stop()


def serving_on(home: Path, ray: RayHead, mlflow_url: str, nats: NatsServer) -> Serving:
    return Serving(
        home,
        {
            "MLOPS_HOME": str(home),
            "NATS_URL": nats.url,
            "NATS_TOKEN": nats.token,
            "SERVING_RAY_ADDRESS": ray.address,
            "SERVING_URL": ray.url,
            "SERVING_MLFLOW_URL": mlflow_url,
            "SERVING_INGRESS": ray.ingress,
            "RAY_AUTH_MODE": "disabled",
            "PYTHONPATH": with_stand_ins(),
            # Recovery would take minutes, and hold the rollouts of the tests after it as long.
            "SERVING_RECOVER_STEP_S": "1",
        },
    )


@dataclass(frozen=True)
class Gateway:
    """The one door, as a process."""

    url: str
    headers: dict[str, str]

    async def weights(self) -> dict[str, float]:
        return {self.url: 1.0}


@pytest.fixture(scope="session")
def gateway(shared_nats: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder, token = tmp_path_factory.mktemp("door"), secrets.token_hex(16)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    env = {
        "MLOPS_HOME": str(folder),
        "NATS_URL": shared_nats.url,
        "NATS_TOKEN": shared_nats.token,
        "GATEWAY_TOKEN": token,
        "MLOPS_HTTP_PORT": str(port),
        "GATEWAY_WAKE_TIMEOUT_S": "90",
    }
    with (folder / "log").open("wb") as log:
        command = [PYTHON, "-m", "mlops.gateway"]
        process = subprocess.Popen(command, env=os.environ | env, stdout=log, stderr=log)
    try:
        until(lambda: answers(f"{url}/readyz"), 60, (folder / "log").read_text)
        yield Gateway(url, {"Authorization": f"Bearer {token}"})
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture
async def bus(shared_nats: Any, tmp_path: Path) -> AsyncIterator[NatsBus]:
    bus = NatsBus(shared_nats.url, token=shared_nats.token, name="test", outbox=tmp_path / "o.db")
    await bus.start()
    yield bus
    await bus.stop()


async def known_to_serving(bus: NatsBus, project: str) -> None:
    """Return when serving has taken a project's settings: a promotion could overtake them at its start."""
    async with asyncio.timeout(60):
        async for one in bus.follow(("workspace.provisioned",), project):
            if one.envelope["source"] == "/services/serving":
                return


@dataclass
class Project:
    """A project of one test: its own workspace, model and endpoint."""

    name: str
    bus: NatsBus
    trainer: Trainer

    async def register(self, **serve: Any) -> None:
        settings = ProjectSettings(
            name=self.name,
            serve=ServeSettings(
                **{
                    "model": self.name,
                    "steps": (0.1, 1.0),
                    "step_hold": "2s",
                    "allow_pickle": True,
                    **serve,
                }
            ),
        )
        await self.bus.publish(ProjectRegistered(project=self.name, settings=settings, revision=1))
        await known_to_serving(self.bus, self.name)

    def log(self, *kinds: str) -> list[int]:
        return self.trainer.log(self.name, *kinds)

    async def promote(self, version: int) -> ModelPromoted:
        event = ModelPromoted(
            project=self.name,
            name=self.name,
            version=version,
            metric="accuracy",
            candidate_metrics={"accuracy": 0.8},
        )
        await self.bus.publish(event)
        return event

    async def hear(self, *types: str, version: int, within_s: float = 90) -> dict[str, Any]:
        """Return the first event of these types about *version*."""
        async with asyncio.timeout(within_s):
            async for one in self.bus.follow(types, self.name):
                if one.envelope["data"]["version"] == version:
                    return one.envelope
        raise AssertionError

    async def hear_phase(self, phase: str) -> dict[str, Any]:
        """Return what is told first of a phase."""
        async with asyncio.timeout(120):
            async for one in self.bus.follow(("deployment.progressed",), self.name):
                found = dict(one.envelope["data"])
                if found["phase"] == phase:
                    return found
        raise AssertionError

    async def facts(self) -> list[str]:
        return [
            f"v{one.envelope['data']['version']} {one.envelope['type'].partition('.')[2]} "
            f"{one.envelope['data'].get('phase', '')}".strip()
            async for one in self.bus.follow((), self.name, live=False)
            if one.envelope["type"].startswith("deployment.")
            and one.envelope["type"] != "deployment.metered"
        ]

    async def weights(self) -> dict[str, float]:
        """Return the weight of each version's URL."""
        answer = await self.bus.ask("serving", "routes", {})
        return {
            version["url"]: version["weight"]
            for route in answer["routes"]
            if route["project"] == self.name
            for version in route["versions"]
        }

    async def serve(self, version: int, within_s: float = 120) -> dict[str, Any]:
        await self.promote(version)
        ends = ("deployment.completed", "deployment.failed")
        told = await self.hear(*ends, version=version, within_s=within_s)
        assert told["type"] == "deployment.completed", told["data"].get("reason")
        return told


@pytest.fixture
async def project(
    request: pytest.FixtureRequest,
    serving: Serving,  # noqa: ARG001 - it must run
    trainer: Trainer,
    bus: NatsBus,
) -> AsyncIterator[Project]:
    project = Project(name_of(request), bus, trainer)
    yield project
    await bus.publish(ProjectArchived(project=project.name))


@pytest.fixture
async def projects(
    serving: Serving,  # noqa: ARG001 - it must run
    trainer: Trainer,
    bus: NatsBus,
) -> AsyncIterator[Callable[[str], Project]]:
    """Return what makes projects, for tests that need several."""
    made: list[Project] = []

    def make(name: str) -> Project:
        made.append(Project(name, bus, trainer))
        return made[-1]

    yield make
    for one in made:
        await bus.publish(ProjectArchived(project=one.name))


def name_of(request: pytest.FixtureRequest) -> str:
    name: str = request.node.name
    return name.removeprefix("test_").replace("_", "-")[:40].strip("-")


@dataclass(frozen=True)
class House:
    """A bus, a Ray head and a serving."""

    nats: NatsServer
    ray: RayHead
    serving: Serving


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, mlflow_url: str) -> Iterator[House]:
    """A house without HAProxy for the tests of one file, in which a model may not compute for long."""
    home = tmp_path_factory.mktemp("house")
    nats = start_nats(home)
    bus = {"NATS_URL": nats.url, "NATS_TOKEN": nats.token}
    ray = RayHead(home, extra_env={**bus, "SERVING_REPLICA_INFER_TIMEOUT_S": "4"}, ingress="direct")
    ray.start()
    service = serving_on(home, ray, mlflow_url, nats)
    service.start()
    yield House(nats, ray, service)
    service.stop()
    ray.close()
    assert ray.processes() == []
    nats.close()


@dataclass(frozen=True)
class Direct:
    """What a test without HAProxy works with; *beside* is another project."""

    project: Project
    beside: Project
    serving: Serving
    ray: RayHead


@pytest.fixture
async def direct(
    request: pytest.FixtureRequest, house: House, trainer: Trainer, tmp_path: Path
) -> AsyncIterator[Direct]:
    nats = house.nats
    bus = NatsBus(nats.url, token=nats.token, name="test", outbox=tmp_path / "o.db")
    await bus.start()
    project, beside = (Project(f"{name_of(request)}{one}", bus, trainer) for one in ("", "-b"))
    yield Direct(project, beside, house.serving, house.ray)
    for one in (project, beside):
        await bus.publish(ProjectArchived(project=one.name))
    await bus.stop()


@pytest.fixture(scope="session")
def callers() -> ModuleType:
    """Return those who ask, for tests."""
    return traffic


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:  # noqa: S310 - our own server
            return bool(reply.status == 200)
    except OSError:
        return False
