# SPDX-License-Identifier: Apache-2.0
"""The real thing: a Ray head with Serve behind HAProxy, an MLflow server with workspaces, NATS, and our service."""

from __future__ import annotations

import asyncio
import http
import importlib.util
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.error
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

HERE = Path(__file__).parent
PYTHON = sys.executable


def beside(name: str) -> ModuleType:
    """Return a module of this folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


ray_head = beside("ray_head")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def ray(home: Path, shared_nats: Any) -> Iterator[Any]:
    head = ray_head.RayHead(
        home, extra_env={"NATS_URL": shared_nats.url, "NATS_TOKEN": shared_nats.token}
    )
    head.start()
    yield head
    head.close()
    assert head.processes() == []


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("mlflow")
    [port] = ray_head.free_ports(1)
    url = f"http://127.0.0.1:{port}"
    command = [PYTHON, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--workers", "1", "--enable-workspaces", "--artifacts-destination"]
    command += [str(folder / "artifacts"), "--backend-store-uri", f"sqlite:///{folder}/db"]
    env = os.environ | {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, env=env, stdout=log, stderr=log, process_group=0)
    try:
        wait_until(lambda: answers(f"{url}/health"), 120, (folder / "log").read_text)
        yield url
    finally:
        os.killpg(server.pid, 15)
        server.wait(20)


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
            [PYTHON, str(HERE / "log_models.py")],
            env=os.environ | {"MLFLOW_TRACKING_URI": mlflow_url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        yield Trainer(process)


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
def serving(home: Path, ray: Any, mlflow_url: str, shared_nats: Any) -> Iterator[Serving]:
    service = serving_on(home, ray, mlflow_url, shared_nats)
    service.start()
    yield service
    service.stop()


def serving_on(home: Path, ray: Any, mlflow_url: str, nats: Any) -> Serving:
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
    [port] = ray_head.free_ports(1)
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
        wait_until(lambda: answers(f"{url}/readyz"), 60, (folder / "log").read_text)
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
        return await self.hear("deployment.completed", version=version, within_s=within_s)


@pytest.fixture
async def project(
    request: pytest.FixtureRequest,
    serving: Serving,  # noqa: ARG001 - it must run
    trainer: Trainer,
    bus: NatsBus,
) -> AsyncIterator[Project]:
    name = request.node.name.removeprefix("test_").replace("_", "-")[:40].strip("-")
    project = Project(name, bus, trainer)
    yield project
    await bus.publish(ProjectArchived(project=project.name))


@pytest.fixture
async def direct(
    tmp_path: Path, nats_server: Any, mlflow_url: str, trainer: Trainer
) -> AsyncIterator[Direct]:
    """A house of its own without HAProxy: another Ray head, bus and serving."""
    home = tmp_path / "home"
    home.mkdir()
    extra = {"NATS_URL": nats_server.url, "NATS_TOKEN": nats_server.token}
    head = ray_head.RayHead(home, extra_env=extra, ingress="direct")
    await asyncio.to_thread(head.start)
    service = serving_on(home, head, mlflow_url, nats_server)
    service.start()
    bus = NatsBus(nats_server.url, token=nats_server.token, name="test", outbox=tmp_path / "o.db")
    await bus.start()
    yield Direct(Project("direct", bus, trainer), service, head)
    await bus.stop()
    await asyncio.to_thread(service.stop)
    await asyncio.to_thread(head.close)
    assert head.processes() == []


@dataclass(frozen=True)
class Direct:
    """What a test without HAProxy works with."""

    project: Project
    serving: Serving
    ray: Any


@pytest.fixture(scope="session")
def callers() -> ModuleType:
    """The helpers of `traffic.py` and of this file, for tests."""
    module = beside("traffic")
    for helper in (ask, ask_two, columns, pid_at):
        setattr(module, helper.__name__, helper)
    return module


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as reply:  # noqa: S310 - our own server
            return bool(reply.status == 200)
    except OSError:
        return False


def wait_until(is_true: Callable[[], bool], within_s: float, explain: Callable[[], str]) -> None:
    deadline = time.monotonic() + within_s
    while not is_true():
        if time.monotonic() > deadline:
            raise TimeoutError(explain()[-3000:])
        time.sleep(0.1)


def ask(
    url: str, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Return status and JSON of a GET, or of a POST of *body*."""
    data = None if body is None else json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **(headers or {})}
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - our own server
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:  # noqa: S310 - as above
            return reply.status, json.load(reply)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def columns(**values: list[float]) -> list[dict[str, Any]]:
    return [
        {"name": name, "datatype": "FP64", "shape": [len(row)], "data": row}
        for name, row in values.items()
    ]


def ask_two(url: str, model: str) -> list[tuple[int, Any]]:
    """Ask for one row, then for two."""
    one = columns(temperature=[0.9], dew_point=[0.1], visibility=[0.5])
    many = columns(temperature=[0.9, 0.1], dew_point=[0.1, 0.2], visibility=[0.5, 0.3])
    path = f"{url}/v2/models/{model}/infer"
    return [
        ask(path, {"id": name, "inputs": inputs}) for name, inputs in (("one", one), ("many", many))
    ]


def pid_at(url: str) -> int | None:
    """Return the process that answers at *url*, or None."""
    try:
        status, facts = ask(f"{url}/v2")
    except (OSError, ValueError):
        return None
    return int(facts["pid"]) if status == http.HTTPStatus.OK else None
