# SPDX-License-Identifier: Apache-2.0
"""What it costs to keep 1000 predictions a second in windows, of one model and of 200 at once.

    python benchmarks/monitoring.py [--seconds 15] [--rounds 3] [--large 1000000]

The real service and a peer read the same stream of a real bus at the same time, so every figure is of the same rows.
The peer does the least that could be done: it parses each message and appends its rows to one SQLite table, one
transaction for each message; no windows, no request ids told apart, nothing judged, no labels. Windows have 500 rows,
as by default: those of the one model are judged twice a second, the 200 models fill theirs (what their decisions cost
is measured by `monitoring_large.py`). In the last mix a window of a million rows of one model more, filled before, closes in the
midst of the traffic. Figures are processor seconds of
either process per second of traffic. Lag: how long the oldest message that is not yet acknowledged has waited.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import secrets
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import nats
import numpy as np
import psutil
from mlflow_servers import nats_server, process, pss_mb
from monitoring_large import Bench
from nats.aio.client import Client
from nats.js import JetStreamContext
from results_file import Figure, compare, write

from mlops.contracts.gateway import Label, LabelRecorded
from mlops.contracts.message import Message
from mlops.contracts.monitor_settings import MonitorSettings
from mlops.contracts.serving import DeploymentCompleted, Prediction, PredictionLogged
from mlops.contracts.settings import EvaluateSettings, Goal, ProjectSettings
from mlops.contracts.workspaces import ProjectRegistered
from mlops.monitoring.model.windows import ModelKey

PEER = "rows appended to SQLite"
CONSUMER = "monitoring-prediction-logged"
PEER_CONSUMER = "bench-raw"
RATE = 1000
WINDOW = 500
PROJECT = "bench"
LARGE = ModelKey(PROJECT, "large")


@dataclass(frozen=True)
class Traffic:
    """Rows of *models* models; each message holds *rows* rows of one of them, and their truth comes in another if it is *labelled*.

    One model more has a window of *large* rows, of which the last come with the traffic.
    """

    name: str
    models: int
    rows: int
    labelled: bool = False
    large: int = 0


def mixes(large: int) -> tuple[Traffic, ...]:
    """Return what is sent; one window of the last has so many rows."""
    return (
        Traffic("1 model, 100 rows a message", 1, 100),
        Traffic("the same and its labels", 1, 100, labelled=True),
        Traffic("200 models, 3 rows a message", 200, 3),
        Traffic(f"the same while a window of {large} rows closes", 200, 3, large=large),
    )


@dataclass
class Probe:
    """What one process used, and how far behind it was."""

    consumer: str
    pid: int
    cpu_s: float = 0.0
    lags_s: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Cost:
    """What one process took of a mix: percent of a core, its longest lag, and memory it grew by for each model."""

    core: float
    lag_s: float
    grown_mb: float


def main() -> None:
    """Measure and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", type=int, default=1_000_000)
    asked = parser.parse_args()
    rounds = [
        [measured(mix, asked.seconds) for mix in mixes(asked.large)] for _ in range(asked.rounds)
    ]
    write("monitoring", [one for column in zip(*rounds, strict=True) for one in figures(column)])


def figures(rounds: Sequence[tuple[str, Cost, Cost]]) -> Iterator[Figure]:
    """Yield what all rounds of one mix say."""
    names, ours, theirs = zip(*rounds, strict=True)
    for metric, unit, of in (
        (names[0], "% core", lambda cost: cost.core),
        (f"{names[0]}: lag", "s", lambda cost: cost.lag_s),
        (f"{names[0]}: memory", "MB/mod", lambda cost: max(cost.grown_mb, 0.001)),
    ):
        yield compare("monitoring", metric, unit, [*map(of, ours)], PEER, [*map(of, theirs)])


def measured(mix: Traffic, seconds: float) -> tuple[str, Cost, Cost]:
    """Return what one mix cost us and the peer, each round with a bus and processes of its own."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mlops-bench-")))
        server = stack.enter_context(nats_server(folder / "nats"))
        env = {**os.environ, **server, "MLOPS_HOME": str(folder)}
        (folder / "ours").mkdir()
        (folder / "peer").mkdir()
        raw = [sys.executable, str(Path(__file__).parent / "monitoring_peer.py"), PEER_CONSUMER]
        service = [sys.executable, "-m", "mlops.monitoring"]
        asyncio.run(listening(server))
        ledger = folder / "state" / "monitoring"
        if mix.large:
            ledger.mkdir(parents=True)
            asyncio.run(filled(ledger, mix.large, mix.large - mix.rows))
            with (ledger / "ledger.db").open("rb") as written:
                os.fsync(
                    written
                )  # else the service would wait for what was written before it began
        pid = stack.enter_context(process(service, env, folder / "ours"))
        asyncio.run(listening(server, CONSUMER))  # it makes the streams that the peer reads
        peer = stack.enter_context(process(raw, env, folder / "peer"))
        ours, theirs = asyncio.run(run(mix, seconds, server, pid, peer))
        if mix.large:
            asyncio.run(check_judged(ledger))
        return mix.name, ours, theirs


async def filled(folder: Path, window: int, rows: int) -> None:
    """Make a ledger in which the *window* of the large model has so many rows already."""
    bench = await Bench.begun(folder, window)
    await bench.introduce(LARGE)
    await bench.fill(LARGE, rows)
    await bench.ledger.close()


async def check_judged(folder: Path) -> None:
    """Fail where the window of the large model was not judged."""
    bench = await Bench.begun(folder, WINDOW)
    await bench.check_judged([LARGE])
    await bench.ledger.close()


async def listening(server: dict[str, str], consumer: str | None = None) -> None:
    """Return when the bus answers, and a consumer is there."""
    client = await connected(server)
    if consumer is not None:
        await consumer_exists(client.jetstream(), consumer)
    await client.close()


async def run(
    mix: Traffic, seconds: float, server: dict[str, str], pid: int, peer: int
) -> list[Cost]:
    """Send the traffic and return what it cost."""
    client = await connected(server)
    js = client.jetstream()
    await consumer_exists(js, PEER_CONSUMER)
    await introduce(js, mix)
    sides = Probe(CONSUMER, pid), Probe(PEER_CONSUMER, peer)
    empty = [pss_mb(one.pid) for one in sides]
    spent = await send(js, mix, seconds, sides)
    await client.close()
    return [
        Cost(
            one.cpu_s / spent * 100,
            max(one.lags_s),
            (pss_mb(one.pid) - before) / mix.models,
        )
        for one, before in zip(sides, empty, strict=True)
    ]


async def introduce(js: JetStreamContext, mix: Traffic) -> None:
    """Make the project and its models known."""
    settings = ProjectSettings(
        name=PROJECT,
        evaluate=EvaluateSettings(metric="mae", goal=Goal.MIN),
        monitor=MonitorSettings(window=WINDOW),
    )
    await put(js, ProjectRegistered(project=PROJECT, settings=settings, revision=1))
    for number in range(mix.models):
        deployed = DeploymentCompleted(
            project=PROJECT,
            deployment_id=f"d{number}",
            model=f"model-{number}",
            version=1,
            endpoint="/x",
        )
        await put(js, deployed)
    await drained(js, "monitoring-deployment-completed")


async def send(
    js: JetStreamContext, mix: Traffic, seconds: float, sides: tuple[Probe, ...]
) -> float:
    """Send rows at the agreed rate; return how long until both sides had them all."""
    batches = list(messages(mix, seconds))
    before = [cpu_s(one.pid) for one in sides]
    sent: dict[int, float] = {}
    began = time.monotonic()
    watch = [asyncio.create_task(follow_lag(js, one, sent)) for one in sides]
    for number, (payload, labels) in enumerate(batches):
        due = began + number * mix.rows / RATE
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        stored = await js.publish(f"prediction.logged.{PROJECT}", payload)
        sent[stored.seq] = time.monotonic()
        if labels:
            await js.publish(f"label.recorded.{PROJECT}", labels)
    for one in sides:
        await drained(js, one.consumer)
    if mix.labelled:
        await drained(js, "monitoring-label-recorded")
    spent = time.monotonic() - began
    for task in watch:
        task.cancel()
    for one, used in zip(sides, before, strict=True):
        one.cpu_s = cpu_s(one.pid) - used
    return spent


def messages(mix: Traffic, seconds: float) -> Iterator[tuple[bytes, bytes]]:
    """Yield the traffic, written before it is sent: what it costs to write is not measured."""
    rng = np.random.default_rng(1)
    many = int(seconds * RATE / mix.rows)
    for number in range(many):
        rows = tuple(row(rng, number * mix.rows + i) for i in range(mix.rows))
        closes = mix.large and number == many // 2
        model = LARGE.model if closes else f"model-{number % mix.models}"
        logged = PredictionLogged(project=PROJECT, model=model, version=1, predictions=rows)
        truths = tuple(
            Label(request_id=one.request_id, label=float(rng.random()), at=one.at) for one in rows
        )
        recorded = LabelRecorded(project=PROJECT, model=model, labels=truths)
        yield logged.encode(), recorded.encode() if mix.labelled else b""


def row(rng: np.random.Generator, number: int) -> Prediction:
    """Return one prediction over eight numbers and two categories."""
    numbers = {f"x{i}": round(float(value), 6) for i, value in enumerate(rng.normal(size=8))}
    kinds = {f"k{i}": str(rng.choice(["a", "b", "c"])) for i in range(2)}
    return Prediction(
        request_id=f"{number}-{secrets.token_hex(8)}",
        at=datetime.now(UTC),
        features={**numbers, **kinds},
        prediction=float(rng.random()),
        latency_ms=1.5,
    )


async def follow_lag(js: JetStreamContext, side: Probe, sent: dict[int, float]) -> None:
    """Note again and again for how long the oldest message that is not acknowledged has waited."""
    while True:
        await asyncio.sleep(0.2)
        info = await js.consumer_info("EVENTS", side.consumer)
        floor = info.ack_floor.stream_seq if info.ack_floor else 0
        waiting = [at for sequence, at in sent.items() if sequence > floor]
        side.lags_s.append(time.monotonic() - min(waiting) if waiting else 0.0)


async def connected(server: dict[str, str]) -> Client:
    """Return a connection to a bus that may still be starting."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await nats.connect(
                    server["NATS_URL"],
                    token=server["NATS_TOKEN"],
                    allow_reconnect=False,
                    error_cb=unsaid,
                )
            except (OSError, nats.errors.Error):
                await asyncio.sleep(0.1)


async def unsaid(_: Exception) -> None:
    """Say nothing: the caller sees the error itself."""


async def consumer_exists(js: JetStreamContext, name: str) -> None:
    """Return when a process listens."""
    async with asyncio.timeout(60):
        while True:
            try:
                await js.consumer_info("EVENTS", name)
            except nats.js.errors.Error:
                await asyncio.sleep(0.2)
            else:
                return


async def drained(js: JetStreamContext, name: str) -> None:
    """Return when a consumer has acknowledged everything."""
    async with asyncio.timeout(300):
        while True:
            info = await js.consumer_info("EVENTS", name)
            if not info.num_pending and not info.num_ack_pending:
                return
            await asyncio.sleep(0.1)


async def put(js: JetStreamContext, message: Message) -> None:
    """Store one message."""
    await js.publish(message.subject, message.encode())


def cpu_s(pid: int) -> float:
    """Return the processor seconds of a process and its children, those that have ended too."""
    process = psutil.Process(pid)
    ended = process.cpu_times()
    each = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    own = sum(one.user + one.system for one in each)
    return own + ended.children_user + ended.children_system


if __name__ == "__main__":
    main()
