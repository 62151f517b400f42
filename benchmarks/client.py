# SPDX-License-Identifier: Apache-2.0
"""What logging costs whoever trains: our client against plain MLflow, synchronous and asynchronous, in turn.

Measured are the calls in the training loop, a million metrics of eight processes until the server has them, and real
training steps with and without logging. Writes benchmarks/results/client.json.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from mlflow_servers import nats_server, plain_mlflow, tracking
from results_file import Figure, compare, write

from mlops.client import MLOpsClient, create_client

PROJECT = "bench"
SYNC, ASYNC = "plain mlflow, synchronous", "plain mlflow, asynchronous"
BLOCKS = 30
CALLS = 200  # ours, per block; the peers' calls are slower and fewer
SYNC_CALLS, ASYNC_CALLS = 10, 40
PROCESSES, STEPS, KEYS = 8, 12_500, 10  # a million metrics
PEER_SECONDS = 15.0
LOOPS = ((20_000, 400), (80_000, 100))  # rows of a training step, steps of a block
STEP_BLOCKS = 8


def main() -> None:
    """Measure and write the results."""
    os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mlops-bench-")))
        nats = stack.enter_context(nats_server(folder / "nats"))
        ours, _ = stack.enter_context(tracking(folder / "ours", nats))
        peer, _ = stack.enter_context(plain_mlflow(folder / "peer"))
        make_workspace(ours)
        os.environ.update(MLFLOW_TRACKING_URI=ours, MLOPS_SPOOL=str(folder / "spool"))
        figures = latency(peer)
        for height, steps in LOOPS:
            figures += overhead(height, steps)
        figures += throughput(folder / "ours" / "state" / "tracking" / "mlflow.db", peer)
    write("client", figures)


def latency(peer: str) -> list[Figure]:
    """Return p50 and p99 of one call that logs a metric between steps of work, all three kinds in turn."""
    work = matrix_work()
    times: dict[str, list[float]] = {"ours": [], SYNC: [], ASYNC: []}
    with open_client() as client, client.start_run("latency") as run, plain_run(peer) as log:
        kinds: tuple[tuple[str, int, Callable[[int], None]], ...] = (
            ("ours", CALLS, lambda n: run.log_metrics({"loss": 0.5}, step=n)),
            (SYNC, SYNC_CALLS, lambda n: log(n, synchronous=True)),
            (ASYNC, ASYNC_CALLS, lambda n: log(n, synchronous=False)),
        )
        step = 0
        for name, calls, act in kinds * BLOCKS:
            for _ in range(calls):
                step += 1
                work()
                began = time.perf_counter()
                act(step)
                times[name].append((time.perf_counter() - began) * 1e6)
    return [
        figure(
            f"log_metrics in the loop, {label}", "µs", at(times["ours"]), other, at(times[other])
        )
        for label, at in (("p50", percentile(50)), ("p99", percentile(99)))
        for other in (SYNC, ASYNC)
    ]


def overhead(height: int, steps: int) -> list[Figure]:
    """Return how long real training steps take with full logging, as a ratio of the same steps without.

    A step that has gone through megabytes leaves cold caches behind, so that a call costs ten times what it does in
    `latency`. It costs the same at each length of step, therefore there are two. The blocks last some seconds, so that what the sender does in the background falls into those that caused it.
    Processor time is that of all threads of the process; it is the steadier figure on a busy machine.
    """
    from sklearn.linear_model import SGDClassifier  # noqa: PLC0415 - after the servers

    random = np.random.default_rng(0)
    rows = random.normal(size=(height, 100))
    labels = (rows[:, 0] + random.normal(size=height) > 0).astype(int)
    model = SGDClassifier(loss="log_loss", random_state=0)
    times: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    with open_client() as client, client.start_run("overhead") as run:
        for block in range(-1, STEP_BLOCKS * 2):
            logs = block % 4 in (0, 3)  # with, without, without, with …
            began, used = time.perf_counter(), time.process_time()
            for number in range(steps):
                model.partial_fit(rows, labels, classes=[0, 1])
                if logs:
                    step = block * steps + number
                    run.log_metrics({"loss": 0.1, "accuracy": 0.9, "rate": 1e-3}, step=step)
            if block >= 0:
                took = time.perf_counter() - began, time.process_time() - used
                times[logs].append((took[0] * 1000, took[1] * 1000))
    mine, theirs = list(zip(*times[True], strict=True)), list(zip(*times[False], strict=True))
    length_ms = statistics.median(theirs[0]) / steps
    metric = f"{steps} training steps of {length_ms:.0f} ms, all logged"
    peer = "the same steps, nothing logged"
    return [
        compare("client", f"{metric}: {what}", "ms", mine[which], peer, theirs[which])
        for which, what in enumerate(("elapsed", "processor time"))
    ]


def throughput(store: Path, peer: str) -> list[Figure]:
    """Return metrics per second until the server has them, and check that it has each of them once, in order."""
    spawn = multiprocessing.get_context("spawn")
    began = time.perf_counter()
    run_all(spawn, log_many)
    seconds = time.perf_counter() - began
    check(store)
    with spawn.Manager() as manager:
        counts = manager.list()
        run_all(spawn, log_plainly, peer, counts)
        theirs = sum(counts) / PEER_SECONDS
    total = PROCESSES * STEPS * KEYS
    metric = f"{total:,} metrics of {PROCESSES} processes, at the server"
    return [figure(metric, "1/s", total / seconds, SYNC, theirs)]


def log_many(number: int) -> None:
    """Log this process's part of the million, and wait until it is delivered."""
    with open_client() as client, client.start_run(f"many-{number}", hardware=False) as run:
        for step in range(STEPS):
            run.log_metrics({f"m{key}": step + key / KEYS for key in range(KEYS)}, step=step)
        left = client.flush(timeout_s=1200)
    if left.waiting or left.dropped or left.refused:
        raise SystemExit(f"process {number}: {left}")


def log_plainly(_: int, peer: str, counts: list[int]) -> None:
    """Log single metrics as plain MLflow does, for a while; say how many."""
    with plain_run(peer) as log:
        deadline, done = time.perf_counter() + PEER_SECONDS, 0
        while time.perf_counter() < deadline:
            log(done, synchronous=True)
            done += 1
    counts.append(done)


def check(store: Path) -> None:
    """Fail unless each point is there once and each key's history is in order."""
    found = "metrics m join runs r on r.run_uuid = m.run_uuid where r.name like 'many-%'"
    with contextlib.closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as database:
        rows = database.execute(f"select count(*) from {found}").fetchone()[0]  # noqa: S608 - our text
        points = f"select distinct m.run_uuid, m.key, m.step from {found}"  # noqa: S608 - our text
        once = database.execute(f"select count(*) from ({points})").fetchone()[0]  # noqa: S608 - our text
        disorder = database.execute(
            "select count(*) from (select m.timestamp - lag(m.timestamp) over "  # noqa: S608 - our text
            f"(partition by m.run_uuid, m.key order by m.step) as gap from {found}) where gap < 0"
        ).fetchone()[0]
    total = PROCESSES * STEPS * KEYS
    if (rows, once, disorder) != (total, total, 0):
        raise SystemExit(f"{rows} rows, {once} points of {total}, {disorder} out of order")


def run_all(
    spawn: multiprocessing.context.SpawnContext, work: Callable[..., None], *given: object
) -> None:
    """Run *work* in every process at once."""
    found = [spawn.Process(target=work, args=(number, *given)) for number in range(PROCESSES)]
    for process in found:
        process.start()
    for process in found:
        process.join()
    if any(process.exitcode for process in found):
        raise SystemExit("a process failed")


def open_client() -> MLOpsClient:
    """Return a client of the platform under test."""
    return create_client(PROJECT)


@contextlib.contextmanager
def plain_run(peer: str) -> Iterator[Callable[..., None]]:
    """Open a run on the plain server; yield a function that logs one metric to it."""
    import mlflow  # noqa: PLC0415 - only where it is measured

    client = mlflow.MlflowClient(tracking_uri=peer)
    run_id = client.create_run("0").info.run_id

    def log(step: int, *, synchronous: bool) -> None:
        client.log_metric(run_id, "loss", 0.5, step=step, synchronous=synchronous)

    yield log
    mlflow.flush_async_logging()
    client.set_terminated(run_id)


def make_workspace(uri: str) -> None:
    """Make the project's workspace, as its registration would."""
    import mlflow  # noqa: PLC0415 - after the servers

    mlflow.set_tracking_uri(uri)
    mlflow.create_workspace(PROJECT)


def matrix_work() -> Callable[[], object]:
    """Return about a millisecond of work, as a training step would do it."""
    matrix = np.random.default_rng(0).normal(size=(160, 160))
    return lambda: matrix @ matrix @ matrix


def percentile(which: int) -> Callable[[list[float]], float]:
    """Return the function that takes a percentile."""
    return lambda values: statistics.quantiles(values, n=100)[which - 1]


def figure(metric: str, unit: str, ours: float, peer: str, theirs: float) -> Figure:
    """Return a figure of two numbers of one run."""
    return Figure(
        "client", metric, unit, round(ours, 2), peer, round(theirs, 2), round(ours / theirs, 5), 1
    )


if __name__ == "__main__":
    main()
