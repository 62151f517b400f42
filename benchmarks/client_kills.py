# SPDX-License-Identifier: Apache-2.0
"""What is lost when processes are killed with -9 while metrics are logged: ten times the server, ten times who logs.

Our client against plain MLflow's asynchronous logging (synchronous calls stop the training until the server is back).
A point counts as logged when the call has returned. Writes benchmarks/results/client_kills.json.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mlflow_servers import free_port, nats_server, wait_for
from results_file import Figure, write

PROJECT = "bench"
KILLS = 10
STEPS_PER_S = 200
PEER = "plain mlflow, asynchronous"

OURS = """
import os, sys, time
from mlops.client import create_client
first, pause = int(sys.argv[1]), float(sys.argv[2])
run = create_client("bench").start_run("kills", hardware=False)
os.write(1, f"run {run.wait_for_id(60)}\\n".encode())
for step in range(first, first + 1_000_000):
    began = time.perf_counter()
    run.log_metrics({"loss": 0.5}, step=step)
    os.write(1, f"{step} {time.perf_counter() - began}\\n".encode())
    time.sleep(pause)
"""
THEIRS = """
import os, sys, time
import mlflow
first, pause = int(sys.argv[1]), float(sys.argv[2])
run = mlflow.start_run(run_id=os.environ.get("MLFLOW_RUN_ID"))
os.write(1, f"run {run.info.run_id}\\n".encode())
for step in range(first, first + 1_000_000):
    began = time.perf_counter()
    mlflow.log_metric("loss", 0.5, step=step, synchronous=False)
    os.write(1, f"{step} {time.perf_counter() - began}\\n".encode())
    time.sleep(pause)
"""


@dataclass
class Seen:
    """What a writer has said: its run, the last step whose call returned, the slowest call."""

    run_id: str = ""
    last: int = -1
    slowest_s: float = 0.0
    rest: bytes = field(default=b"", repr=False)

    def read(self, said: bytes) -> None:
        """Take in what was written so far; half a line waits for its rest."""
        *lines, self.rest = (self.rest + said).split(b"\n")
        for line in lines:
            first, second = line.decode().split()
            if first == "run":
                self.run_id = second
            else:
                self.last, self.slowest_s = int(first), max(self.slowest_s, float(second))


class Server:
    """The tracking service, killed and started again on the same port and store."""

    def __init__(self, home: Path, nats: dict[str, str]) -> None:
        home.mkdir()
        self.home = home
        self.uri = f"http://127.0.0.1:{free_port()}"
        port = self.uri.rpartition(":")[2]
        self._env = {**os.environ, **nats, "MLOPS_HOME": str(home), "MLOPS_HTTP_PORT": port}
        self._process = self._start()

    @property
    def store(self) -> Path:
        """Return the database."""
        return self.home / "state" / "tracking" / "mlflow.db"

    def kill(self) -> None:
        """Kill it and start it again."""
        self._process.kill()
        self._process.wait()
        self._process = self._start()

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait(30)

    def _start(self) -> subprocess.Popen[bytes]:
        with (self.home / "log").open("ab") as log:
            command = [sys.executable, "-m", "mlops.tracking"]
            process = subprocess.Popen(command, env=self._env, stdout=log, stderr=log)
        wait_for(f"{self.uri}/readyz")
        return process


def main() -> None:
    """Measure and write the results."""
    chance = random.Random(7)  # noqa: S311 - when to kill, nothing secret
    with (
        tempfile.TemporaryDirectory(prefix="mlops-bench-") as name,
        contextlib.ExitStack() as stack,
    ):
        folder = Path(name)
        nats = stack.enter_context(nats_server(folder / "nats"))
        server = Server(folder / "ours", nats)
        stack.callback(server.stop)
        make_workspace(server.uri)
        env = {
            **os.environ,
            "MLFLOW_TRACKING_URI": server.uri,
            "MLOPS_SPOOL": str(folder / "spool"),
        }
        plain = {**env, "MLFLOW_WORKSPACE": PROJECT, "MLFLOW_EXPERIMENT_NAME": PROJECT}
        figures = []
        for what, act in (("server", kill_servers), ("client", kill_clients)):
            ours = act(server, OURS, env, chance)
            lost = deliver_and_count(server, ours, env)
            theirs = act(server, THEIRS, plain, chance)
            figures += told(what, ours, lost, theirs, count(server, theirs))
    write("client_kills", figures)


def kill_servers(server: Server, code: str, env: dict[str, str], chance: random.Random) -> Seen:
    """Log while the server is killed ten times; then let the writer end in its own time."""
    with writer(code, env, 0) as (process, seen):
        begun(process, seen, -1)
        for _ in range(KILLS):
            listen(process, seen, chance.uniform(0.5, 2.0))
            server.kill()
        listen(process, seen, 2.0)
        process.send_signal(signal.SIGINT)
        listen(process, seen, 60.0)
    return seen


def kill_clients(server: Server, code: str, env: dict[str, str], chance: random.Random) -> Seen:
    """Kill the writer ten times; each next one goes on in the same run, behind the last step that was logged."""
    del server  # it runs on
    seen = Seen()
    for _ in range(KILLS):
        env = {**env, **({"MLFLOW_RUN_ID": seen.run_id} if seen.run_id else {})}
        with writer(code, env, seen.last + 1, seen) as (process, _):
            begun(process, seen, seen.last)
            listen(process, seen, chance.uniform(0.5, 2.0))
            process.kill()
            listen(process, seen, 5.0)
    return seen


@contextlib.contextmanager
def writer(
    code: str, env: dict[str, str], first: int, seen: Seen | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], Seen]]:
    """Run a process that logs; its output says what was logged."""
    command = [sys.executable, "-c", code, str(first), str(1 / STEPS_PER_S)]
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield process, seen or Seen()
        finally:
            if process.poll() is None:
                process.kill()


def begun(process: subprocess.Popen[bytes], seen: Seen, before: int) -> None:
    """Wait until a writer has logged its first point, behind *before*."""
    while seen.last == before and process.poll() is None:
        listen(process, seen, 0.2)


def listen(process: subprocess.Popen[bytes], seen: Seen, seconds: float) -> None:
    """Take in what a writer says for a while, or until it ends."""
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        said = process.stdout.read()
        seen.read(said or b"")
        if ended and not said:
            return
        time.sleep(0.01)


def deliver_and_count(server: Server, seen: Seen, env: dict[str, str]) -> tuple[int, int]:
    """Deliver what dead processes left, as `mlops spool flush` does; return lost and doubled points."""
    code = "from pathlib import Path; import os; from mlops.client import spool\n"
    code += "print(spool.flush_all(Path(os.environ['MLOPS_SPOOL']), timeout_s=120))"
    subprocess.run([sys.executable, "-c", code], env=env, check=True)
    return count(server, seen)


def count(server: Server, seen: Seen) -> tuple[int, int]:
    """Return how many points of a run the server lacks, and how many it has more than once."""
    with contextlib.closing(sqlite3.connect(f"file:{server.store}?mode=ro", uri=True)) as database:
        rows = database.execute(
            "select step, count(*) from metrics where run_uuid = ? and key = 'loss' group by step",
            (seen.run_id,),
        ).fetchall()
    found = {int(step): int(times) for step, times in rows}
    lost = sum(step not in found for step in range(seen.last + 1))
    return lost, sum(times - 1 for times in found.values())


def told(
    what: str, ours: Seen, our_loss: tuple[int, int], theirs: Seen, their_loss: tuple[int, int]
) -> list[Figure]:
    """Return the figures of one kind of killing."""
    name = f"{what} killed {KILLS} times"
    rows: list[tuple[str, str, Callable[[Seen, tuple[int, int]], float]]] = [
        ("points logged", "", lambda seen, _: float(seen.last + 1)),
        ("points lost", "", lambda _, loss: float(loss[0])),
        ("points doubled", "", lambda _, loss: float(loss[1])),
        ("slowest call", "ms", lambda seen, _: round(seen.slowest_s * 1000, 1)),
    ]
    return [
        figure(f"{name}: {row}", unit, of(ours, our_loss), of(theirs, their_loss))
        for row, unit, of in rows
    ]


def figure(metric: str, unit: str, ours: float, theirs: float) -> Figure:
    """Return one line of the results."""
    ratio = round(ours / theirs, 4) if theirs else 0.0
    return Figure("client_kills", metric, unit, ours, PEER, theirs, ratio, 1)


def make_workspace(uri: str) -> None:
    """Make the project's workspace, as its registration would."""
    import mlflow  # noqa: PLC0415 - after the servers

    mlflow.set_tracking_uri(uri)
    mlflow.create_workspace(PROJECT)


if __name__ == "__main__":
    main()
