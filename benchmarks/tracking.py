# SPDX-License-Identifier: Apache-2.0
"""What the outbox costs an MLflow client: our tracking process against MLflow's own app, call by call in turn.

Both are one uvicorn worker over SQLite with workspaces on and jobs off. Writes benchmarks/results/tracking.json.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from results_file import Figure, compare, write

PEER = "plain mlflow"
WARM_UP = 15
CALLS = {"log_metric": 250, "log_batch_10": 250, "create_and_terminate_run": 150}


def main() -> None:
    """Measure and write the results."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mlops-bench-")))
        nats = stack.enter_context(nats_server(folder / "nats"))
        ours, our_pid = stack.enter_context(tracking(folder / "ours", nats))
        peer, peer_pid = stack.enter_context(plain_mlflow(folder / "peer"))
        mine, theirs = actions(ours), actions(peer)
        figures = [measure(name, calls, mine[name], theirs[name]) for name, calls in CALLS.items()]
        memory = compare(
            "tracking", "memory, PSS", "MB", [pss_mb(our_pid)], PEER, [pss_mb(peer_pid)]
        )
    write("tracking", [*figures, memory])


def measure(name: str, calls: int, ours: Callable[[], None], peer: Callable[[], None]) -> Figure:
    """Return the figure of one action, each side's calls interleaved with the other's."""
    mine: list[float] = []
    theirs: list[float] = []
    for number in range(calls + WARM_UP):
        order = [(mine, ours), (theirs, peer)]
        for times, act in order if number % 2 else reversed(order):
            began = time.perf_counter()
            act()
            times.append((time.perf_counter() - began) * 1000)
    return compare("tracking", name, "ms", mine[WARM_UP:], PEER, theirs[WARM_UP:])


def actions(uri: str) -> dict[str, Callable[[], None]]:
    """Return what a client does to one server, each action complete with its answer."""
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    from mlflow import MlflowClient  # noqa: PLC0415 - only here, so that the servers start first
    from mlflow.entities import Metric  # noqa: PLC0415 - as above

    client = MlflowClient(tracking_uri=uri)
    experiment = client.create_experiment(f"bench-{secrets.token_hex(4)}")
    run_id = client.create_run(experiment).info.run_id
    batch = [Metric(f"m{number}", float(number), 1, 0) for number in range(10)]

    def create_and_terminate() -> None:
        client.set_terminated(client.create_run(experiment).info.run_id)

    return {
        "log_metric": lambda: client.log_metric(run_id, "accuracy", 0.5),
        "log_batch_10": lambda: client.log_batch(run_id, metrics=batch),
        "create_and_terminate_run": create_and_terminate,
    }


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
            child.terminate()
            child.wait(30)


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


if __name__ == "__main__":
    main()
