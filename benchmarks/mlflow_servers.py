# SPDX-License-Identifier: Apache-2.0
"""The servers that benchmarks of MLflow need: our tracking process, MLflow's app alone, `mlflow server`, and a bus."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


@contextmanager
def tracking(home: Path, nats: dict[str, str]) -> Iterator[tuple[str, int]]:
    """Run our process."""
    home.mkdir()
    port = free_port()
    env = {**os.environ, **nats, "MLOPS_HOME": str(home), "MLOPS_HTTP_PORT": str(port)}
    with process([sys.executable, "-m", "mlops.tracking"], env, home) as pid:
        wait_for(f"http://127.0.0.1:{port}/readyz")
        yield f"http://127.0.0.1:{port}", pid


@contextmanager
def plain_mlflow(home: Path) -> Iterator[tuple[str, int]]:
    """Run MLflow's own app the same way, without us."""
    home.mkdir()
    port = free_port()
    env = {
        **os.environ,
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{home / 'mlflow.db'}",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": "mlflow-artifacts:/",
        "_MLFLOW_SERVER_ARTIFACT_DESTINATION": str(home / "artifacts"),
        "_MLFLOW_SERVER_SERVE_ARTIFACTS": "true",
        "MLFLOW_ENABLE_WORKSPACES": "true",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    app = ["mlflow.server.fastapi_app:app", "--port", str(port), "--log-level", "warning"]
    with process([sys.executable, "-m", "uvicorn", *app, "--loop", "uvloop"], env, home) as pid:
        wait_for(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}", pid


@contextmanager
def nats_server(folder: Path) -> Iterator[dict[str, str]]:
    """Run a bus of our own."""
    folder.mkdir()
    port, token = free_port(), secrets.token_hex(8)
    config = folder / "nats.conf"
    config.write_text(
        f'listen: "127.0.0.1:{port}"\nauthorization {{ token: "{token}" }}\n'
        f'jetstream {{ store_dir: "{folder}" }}\n'
    )
    beside = Path(sys.executable).parent / "nats-server"
    program = str(beside) if beside.exists() else shutil.which("nats-server") or "nats-server"
    with process([program, "-c", str(config)], dict(os.environ), folder):
        yield {"NATS_URL": f"nats://127.0.0.1:{port}", "NATS_TOKEN": token}


@contextmanager
def process(command: list[str], env: dict[str, str], folder: Path) -> Iterator[int]:
    """Run a program, its output in a file, until the block ends."""
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=folder)
        try:
            yield child.pid
        finally:
            below = psutil.Process(child.pid).children(recursive=True)
            child.terminate()
            child.wait(30)
            for one in psutil.wait_procs(below, timeout=10)[1]:
                one.kill()


def wait_for(url: str, seconds: float = 90) -> None:
    """Return when *url* answers 200."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own address
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.1)
    raise TimeoutError(f"{url} did not answer within {seconds} s")


def pss_mb(pid: int) -> float:
    """Return the proportional memory of a process; Linux only, else resident memory."""
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    if not rollup.exists():
        kib = subprocess.run(
            ["ps", "-o", "rss=", "-p", str(pid)], capture_output=True, text=True, check=True
        ).stdout
        return int(kib) * 1024 / 1e6
    line = next(line for line in rollup.read_text().splitlines() if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024 / 1e6


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def mlflow_server(home: Path) -> Iterator[tuple[str, int]]:
    """Run `mlflow server` as its documentation says, with its defaults."""
    home.mkdir()
    port = free_port()
    store = f"sqlite:///{home / 'mlflow.db'}"
    options = ["--port", str(port), "--backend-store-uri", store]
    folder = ["--artifacts-destination", str(home / "artifacts")]
    env = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "mlflow", "server", *options, *folder]
    with process(command, env, home) as pid:
        wait_for(f"http://127.0.0.1:{port}/health", seconds=300)
        yield f"http://127.0.0.1:{port}", pid


def family_pss_mb(pid: int) -> float:
    """Return the proportional memory of a process and of all its descendants."""
    children = psutil.Process(pid).children(recursive=True)
    return pss_mb(pid) + sum(pss_mb(child.pid) for child in children)
