# SPDX-License-Identifier: Apache-2.0
"""A real Airflow and the services a workflow needs, each a process of its own, for the stories of this folder."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

SERVICES = {
    "workspaces": "workspaces",
    "gateway": "gateway",
    "tracking": "mlflow",
    "versioning": "versioning",
    "orchestration_bridge": "orchestration_bridge",
}
_TOKEN = "token-of-the-gateway-0123456789"
_READY_S = 180
_WAIT_S = 120


def airflow_module() -> ModuleType:
    name = "mlops_tests_airflow_server"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            name, Path(__file__).with_name("airflow_server.py")
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    return sys.modules[name]


@dataclass
class Platform:
    """The services around a workflow; `home` is their $MLOPS_HOME."""

    home: Path
    ports: dict[str, int]
    dags: Path
    nats_url: str
    nats_token: str
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)

    def start(self, service: str) -> None:
        env = {
            **os.environ,
            "MLOPS_HOME": str(self.home),
            "NATS_URL": self.nats_url,
            "NATS_TOKEN": self.nats_token,
            "MLOPS_HTTP_PORT": str(self.ports[service]),
            "ORCHESTRATION_BRIDGE_DAGS_FOLDER": str(self.dags),
            **self.env,
        }
        with (self.home / f"{service}.log").open("ab") as log:
            self.processes[service] = subprocess.Popen(
                [sys.executable, "-m", f"mlops.{service}"],
                env=env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self, service: str) -> None:
        process = self.processes.pop(service)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)

    def stop(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for service in list(self.processes):
            try:
                self.processes[service].wait(15)
                self.processes.pop(service)
            except subprocess.TimeoutExpired:
                self.kill(service)

    def wait_ready(self, service: str) -> None:
        url = f"http://127.0.0.1:{self.ports[service]}/readyz"
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            if self.processes[service].poll() is not None:
                break
            try:
                if httpx.get(url, trust_env=False).is_success:
                    return
            except httpx.HTTPError:
                pass
            time.sleep(0.2)
        raise RuntimeError((self.home / f"{service}.log").read_text()[-3000:])


@dataclass
class Caller:
    """What a person or a program does at the gateway, and at MLflow."""

    gateway: httpx.Client
    mlflow: str

    def command(self, type_: str, project: str, data: dict[str, Any], answer: str) -> Any:
        path = f"/api/v1/commands/{self.send(type_, project, data)}/result"
        found = self.gateway.get(path, params={"timeout_s": 30, "type": answer}).json()
        assert answer in [event["type"] for event in found], found
        return next(event for event in found if event["type"] == answer)

    def send(self, type_: str, project: str, data: dict[str, Any]) -> str:
        body = {"type": type_, "project": project, "data": data}
        sent = self.gateway.post("/api/v1/commands", json=body)
        assert sent.status_code == 202, sent.text
        return str(sent.json()["id"])

    def register(self, folder: Path, **settings: Any) -> str:
        name = f"rain-{uuid.uuid4().hex[:6]}"
        data = {"settings": {"name": name, **settings}, "path": str(folder)}
        self.command("cmd.project.register", name, data, "project.registered")
        self.wait(name, "workspace.provisioned", lambda e: _by(e, "orchestration_bridge"))
        self.wait(name, "workspace.provisioned", lambda e: _by(e, "tracking"))
        return name

    def start(self, project: str, kind: str = "train") -> str:
        wish = {"why": "test", "kind": kind}
        queued = self.command("cmd.workflow.start", project, wish, "workflow.queued")
        return str(queued["data"]["workflow_key"])

    def events(self, project: str, type_: str = "") -> list[Any]:
        params = {"project": project, "type": type_, "limit": "200"}
        return list(self.gateway.get("/api/v1/events", params=params).json())

    def wait(self, project: str, type_: str, wanted: Callable[[Any], bool] = lambda _: True) -> Any:
        deadline = time.monotonic() + _WAIT_S
        while time.monotonic() < deadline:
            for event in self.events(project, type_):
                if wanted(event):
                    return event
            self._give_up_early(project, type_)
            time.sleep(0.3)
        told = [event["type"] for event in self.events(project)]
        raise TimeoutError(f"no {type_} of {project} within {_WAIT_S} s, only {told}")

    def _give_up_early(self, project: str, type_: str) -> None:
        if type_ == "workflow.completed":
            for event in self.events(project, "workflow.failed"):
                raise AssertionError(event["data"]["diagnosis"])

    def run_of(self, project: str, key: str) -> Any:
        headers = {"X-MLFLOW-WORKSPACE": project}
        with httpx.Client(base_url=self.mlflow, headers=headers, trust_env=False) as client:
            found = client.get(
                "/api/2.0/mlflow/experiments/get-by-name", params={"experiment_name": project}
            ).json()
            body = {
                "experiment_ids": [found["experiment"]["experiment_id"]],
                "filter": f"tags.`mlops.workflow_key` = '{key}'",
            }
            runs = client.post("/api/2.0/mlflow/runs/search", json=body).json()["runs"]
        assert len(runs) == 1
        return runs[0]


def _by(event: Any, component: str) -> bool:
    return bool(event["data"]["component"] == component)


@pytest.fixture(scope="session")
def airflow() -> Iterator[Any]:
    yield from airflow_module().shared()


@pytest.fixture(scope="session")
def platform(
    airflow: Any, shared_nats: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    yield from running(airflow, shared_nats, tmp_path_factory.mktemp("home"))


def running(airflow: Any, nats: Any, home: Path, **env: str) -> Iterator[Platform]:
    """Run the services of a platform in *home* until they are no longer needed."""
    ports = {service: airflow_module().free_port() for service in SERVICES}
    endpoints = {name: f"http://127.0.0.1:{ports[s]}" for s, name in SERVICES.items()}
    (home / "endpoints.json").write_text(
        json.dumps({**endpoints, "nats": nats.url, "airflow": airflow.url})
    )
    secrets = {
        "gateway_token": _TOKEN,
        "airflow_password": airflow.password,
        "airflow_jwt_secret": airflow.secret,
        "nats_token": nats.token,
    }
    (home / "credentials.json").write_text(json.dumps(secrets))
    found = Platform(home, ports, airflow.dags, nats.url, nats.token, env=env)
    try:
        for service in SERVICES:
            found.start(service)
        for service in SERVICES:
            found.wait_ready(service)
        yield found
    finally:
        found.stop()


@pytest.fixture
def caller(platform: Platform) -> Iterator[Caller]:
    yield from calling(platform)


def calling(platform: Platform) -> Iterator[Caller]:
    """Give somebody who calls a platform."""
    url = f"http://127.0.0.1:{platform.ports['gateway']}"
    headers = {"Authorization": f"Bearer {_TOKEN}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
        yield Caller(client, f"http://127.0.0.1:{platform.ports['tracking']}")
