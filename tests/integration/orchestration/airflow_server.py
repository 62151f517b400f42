# SPDX-License-Identifier: Apache-2.0
"""A real, lean Airflow for tests: SQLite, no triggerer, workers of other machines allowed; one for the whole test process."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mlops.cli.supervisor import node_plan
from mlops.cli.supervisor.parts import airflow as parts
from mlops.cli.supervisor.processes import belonging, created, end_all, scan

PARTS = ("api-server", "scheduler", "dag-processor")
OPTIONS = {"scheduler": ("--skip-serve-logs",)}
USER = "bridge"
_START_S = 240


@dataclass
class AirflowServer:
    """An Airflow of our own: a free port, random secrets, a folder that goes with it."""

    folder: Path
    port: int
    password: str
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def dags(self) -> Path:
        return self.folder / "dags"

    def start(self) -> None:
        self.dags.mkdir(parents=True, exist_ok=True)
        parts.place_hooks(self.folder / "config", wanted=True)
        passwords = self.folder / "passwords.json"
        passwords.write_text(json.dumps({"admin": secrets.token_hex(8), USER: self.password}))
        passwords.chmod(0o600)
        env = self.environment()
        with (self.folder / "migrate.log").open("wb") as log:
            subprocess.run(
                [program(), "db", "migrate"], env=env, stdout=log, stderr=log, check=True
            )
        try:
            for part in PARTS:
                self._start(part, env)
            self._wait()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every part, and what it started in sessions of its own: workers and their steps."""
        roots = {one.pid: created(one.pid) for one in self.processes.values()}
        end_all(lambda: belonging(scan(), roots=roots), 10)
        for process in self.processes.values():
            process.wait(10)
        self.processes.clear()

    def _start(self, part: str, env: dict[str, str]) -> None:
        command = [program(), part, *OPTIONS.get(part, ())]
        with (self.folder / f"{part}.log").open("wb") as log:
            self.processes[part] = subprocess.Popen(
                command, env=env, stdout=log, stderr=log, start_new_session=True
            )

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if "AIRFLOW" not in name}
        return {
            **kept,
            "AIRFLOW_HOME": str(self.folder),
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": f"admin:admin,{USER}:op",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(
                self.folder / "passwords.json"
            ),
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{self.folder}/airflow.db",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self.port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__BASE_URL": self.url,
            "AIRFLOW__API__SECRET_KEY": secrets.token_hex(16),
            "AIRFLOW__API_AUTH__JWT_SECRET": self.secret,
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "30",
            "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
            "AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES": "1",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "5",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "1",
            # As the platform's own supervisor has them: a step that died with its machine is missed soon.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            **parts.edge(self.url),
        }

    @contextlib.contextmanager
    def worker(self, name: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a worker that serves the queue of a machine of that name, without any DAG file."""
        folder = self.folder / "workers" / name
        folder.mkdir(parents=True)
        way = node_plan.Way({"airflow": self.url}, {"airflow_jwt_secret": self.secret})
        (folder / "airflow.cfg").write_text(node_plan.configuration(folder, way))
        kept = {key: value for key, value in os.environ.items() if "AIRFLOW" not in key}
        command = [program(), "edge", "worker", "-q", f"n_{name}", "-H", name, "-c", "1"]
        with (folder / "worker.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                env={**kept, "AIRFLOW_HOME": str(folder)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            process.terminate()
            process.wait(20)

    @property
    def secret(self) -> str:
        path = self.folder / "jwt.secret"
        if not path.exists():
            path.write_text(secrets.token_hex(40))
        return path.read_text()

    def _wait(self) -> None:
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            if self._healthy():
                return
            for part, process in self.processes.items():
                if process.poll() is not None:
                    raise RuntimeError((self.folder / f"{part}.log").read_text()[-3000:])
            time.sleep(0.3)
        raise TimeoutError(
            f"Airflow was not well after {_START_S} s; its logs are in {self.folder}"
        )

    def _healthy(self) -> bool:
        import httpx  # noqa: PLC0415 - only where Airflow is started

        try:
            parts = httpx.get(f"{self.url}/api/v2/monitor/health", trust_env=False).json()
        except (httpx.HTTPError, ValueError):
            return False
        wanted = ("metadatabase", "scheduler", "dag_processor")
        return all(parts.get(part, {}).get("status") == "healthy" for part in wanted)


def program() -> str:
    """Return the path of `airflow`; without it skip here, fail in CI."""
    beside = Path(sys.executable).parent / "airflow"
    found = str(beside) if beside.exists() else shutil.which("airflow")
    if found:
        return found
    if os.environ.get("CI"):
        pytest.fail("airflow is not installed")
    pytest.skip("airflow is not installed")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@functools.cache
def _shared() -> AirflowServer:
    folder = Path(tempfile.mkdtemp(prefix="airflow-"))
    server = AirflowServer(folder, free_port(), secrets.token_hex(8))
    server.start()
    return server


def shared() -> Iterator[AirflowServer]:
    """Give the one Airflow of this test run, started at the first call; a fixture of the session yields from it."""
    yield _shared()
    _shared().stop()
    shutil.rmtree(_shared().folder, ignore_errors=True)
