# SPDX-License-Identifier: Apache-2.0
"""What the benchmarks of serving share: projects, models and deployments of their own on a running platform."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from mlops.cli.errors import CliError
from mlops.cli.gateway import Gateway
from mlops.cli.home import find_home
from mlops.client import endpoints
from mlops.client.endpoints import Endpoints

SCRIPTS = Path(__file__).parent / "serving_peers"
FEATURES = 4
_ROLLOUT_S = 300.0
_LOOK_S = 0.1
_ENDS = ("deployment.completed", "deployment.failed", "deployment.reverted")


@dataclass
class Platform:
    """An installation that runs; everything made here is taken away by `forget`."""

    where: Endpoints
    gateway: Gateway
    projects: list[str] = field(default_factory=list)

    def register(self, project: str, **serve: Any) -> None:
        """Make a project known, or give it these settings."""
        settings = {"name": project, "serve": {"model": project, **serve}}
        self._wish("cmd.project.register", project, {"settings": settings})
        if project not in self.projects:
            self.projects.append(project)

    def log(self, project: str, *kinds: str, keep: Path | None = None) -> list[int]:
        """Train and register a version of each kind; return their numbers. *keep*: a file for other servers."""
        wish = {"project": project, "model": project, "kinds": kinds, "keep": str(keep or "")}
        env = os.environ | {
            "MLFLOW_TRACKING_URI": self.where.address("mlflow"),
            "MLFLOW_TRACKING_TOKEN": self.where.token,
        }
        done = subprocess.run(
            [sys.executable, SCRIPTS / "log_models.py"],
            input=json.dumps(wish),
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"logging models: {done.stderr[-2000:]}")
        versions: list[int] = json.loads(done.stdout.splitlines()[-1])
        return versions

    def start_rollout(self, project: str, version: int, **more: Any) -> str:
        """Wish a version; return the name of its rollout."""
        data = {"model": project, "version": version, **more}
        found = self._wish("cmd.model.deploy", project, data, "deployment.started")
        started = [one for one in found if one["type"] == "deployment.started"]
        if not started:
            raise SystemExit(f"version {version} of {project} was not deployed: {found}")
        return str(started[0]["data"]["deployment_id"])

    def deploy(self, project: str, version: int) -> str:
        """Deploy a version and wait; return how that ended."""
        deployment = self.start_rollout(project, version)
        return str(self.end_of(project, deployment)["type"])

    def end_of(self, project: str, deployment: str) -> dict[str, Any]:
        """Wait for the end of a rollout."""
        found: list[dict[str, Any]] = []

        def ended() -> bool:
            asked = self.gateway.get(
                "/api/v1/events", type="deployment.*", project=project, limit=200
            )
            found[:] = [
                one
                for one in asked
                if one["type"] in _ENDS and one["data"]["deployment_id"] == deployment
            ]
            return bool(found)

        until(ended, _ROLLOUT_S, f"the end of rollout {deployment}")
        return found[0]

    def urls(self, project: str) -> dict[int, str]:
        """Return where each version of a project's model answers."""
        routes = self.gateway.query("serving", "routes")["routes"]
        return {
            int(one["version"]): str(one["url"])
            for route in routes
            if route["project"] == project
            for one in route["versions"]
        }

    def known(self, project: str) -> dict[str, Any]:
        """Return serving's own words about a project's model."""
        found = self.gateway.query("serving", "get", project=project, model=project)
        return dict(found["deployment"])

    def forget(self) -> None:
        """Archive what was made here: its versions are stopped."""
        for project in self.projects:
            self._wish("cmd.project.archive", project, {"reason": "the benchmark has ended"})
        self.projects.clear()

    def _wish(self, type_: str, project: str, data: dict[str, Any], *answers: str) -> list[Any]:
        command = self.gateway.command(type_, project, data)
        waited = answers or ("project.registered", "project.updated", "project.archived")
        found = self.gateway.result(command, waited, 30)
        refused = [one["data"]["reason"] for one in found if one["type"] == "command.refused"]
        if refused:
            raise SystemExit(f"{type_} is refused: {refused[0]}")
        return found


@contextmanager
def platform() -> Iterator[Platform]:
    """Open the installation of MLOPS_HOME, and leave it as it was."""
    home = find_home(None, os.environ, Path.cwd())
    try:
        where = endpoints.load(environ={**os.environ, "MLOPS_HOME": str(home.root)})
        with Gateway(home) as gateway:
            found = Platform(where, gateway)
            try:
                yield found
            finally:
                found.forget()
    except CliError as error:
        raise SystemExit(f"{error.what}; {error.fix}") from error


def until(is_so: Callable[[], bool], within_s: float, what: str) -> float:
    """Wait until something is so; return how long that took."""
    began = time.monotonic()
    while not is_so():
        if time.monotonic() - began > within_s:
            raise SystemExit(f"waited {within_s:g} s in vain for {what}")
        time.sleep(_LOOK_S)
    return time.monotonic() - began


def row(model: str) -> dict[str, Any]:
    """Return a request of one row in the Open Inference Protocol, for the models that `log_models.py` makes."""
    tensor = {"name": "input", "datatype": "FP64", "shape": [1, FEATURES]}
    return {"model_name": model, "inputs": [{**tensor, "data": [0.9, 0.1, 0.5, 0.2]}]}


def pss_mb(pids: list[int]) -> float:
    """Return the proportional memory of processes and their children, in MB."""
    found: dict[int, psutil.Process] = {}
    for pid in pids:
        if psutil.pid_exists(pid):
            first = psutil.Process(pid)
            found |= {one.pid: one for one in (first, *first.children(recursive=True))}
    total = 0
    for one in found.values():
        try:
            total += one.memory_full_info().pss
        except psutil.Error:
            continue
    return total / 1e6
