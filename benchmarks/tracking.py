# SPDX-License-Identifier: Apache-2.0
"""What tracking costs: our process against MLflow's own app call by call, and against `mlflow server` as it comes.

The first two are one uvicorn worker each over SQLite, with workspaces on and jobs off; calls take turns. The third is
MLflow's command with its defaults. Writes benchmarks/results/tracking.json.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from mlflow_servers import family_pss_mb, mlflow_server, nats_server, plain_mlflow, pss_mb, tracking
from results_file import Figure, compare, write

PEER = "plain mlflow"
DEFAULT = "mlflow server, defaults"
WARM_UP = 15
CALLS = {"log_metric": 250, "log_batch_10": 250, "create_and_terminate_run": 150}
STARTS = 3


def main() -> None:
    """Measure and write the results."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mlops-bench-")))
        nats = stack.enter_context(nats_server(folder / "nats"))
        weights = against_defaults(folder, nats)
        ours, our_pid = stack.enter_context(tracking(folder / "ours", nats))
        peer, peer_pid = stack.enter_context(plain_mlflow(folder / "peer"))
        mine, theirs = actions(ours), actions(peer)
        figures = [measure(name, calls, mine[name], theirs[name]) for name, calls in CALLS.items()]
        memory = compare(
            "tracking", "memory, PSS", "MB", [pss_mb(our_pid)], PEER, [pss_mb(peer_pid)]
        )
    write("tracking", [*figures, memory, *weights])


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


def against_defaults(folder: Path, nats: dict[str, str]) -> list[Figure]:
    """Return how long both take until they answer, in turn, and what their processes weigh together then."""
    mine: list[tuple[float, float]] = []
    theirs: list[tuple[float, float]] = []
    for number in range(STARTS):
        mine.append(started(tracking(folder / f"ours-{number}", nats)))
        theirs.append(started(mlflow_server(folder / f"default-{number}")))
    ours, peer = list(zip(*mine, strict=True)), list(zip(*theirs, strict=True))
    return [
        compare("tracking", "start until it answers", "s", ours[0], DEFAULT, peer[0]),
        compare("tracking", "memory of all processes, PSS", "MB", ours[1], DEFAULT, peer[1]),
    ]


def started(server: AbstractContextManager[tuple[str, int]]) -> tuple[float, float]:
    """Return the seconds until a server answers, and its megabytes then."""
    began = time.perf_counter()
    with server as (_, pid):
        return time.perf_counter() - began, family_pss_mb(pid)


if __name__ == "__main__":
    main()
