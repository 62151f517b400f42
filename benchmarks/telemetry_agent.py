# SPDX-License-Identifier: Apache-2.0
"""The telemetry agent: what it takes of a machine at its usual pace, and how many samples a second it could make.

Peers: the agent's own budget (1 % of a core, 80 MB), a process that does nothing but read the same things with psutil at
the same pace, and psutil alone in a loop. Everything in one run, so that ratios hold on a busy machine, too.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import psutil
from results_file import Figure, compare, write

from mlops.contracts.telemetry_agent import TelemetrySampled
from mlops.telemetry_agent.adapters.machine import probes_here
from mlops.telemetry_agent.adapters.watched import WatchedProbe
from mlops.telemetry_agent.sources.agent import to_sample
from mlops.telemetry_agent.sources.looking import Looking

NAME = "telemetry_agent"
BUDGET_CPU, BUDGET_MB = 0.01, 80.0
SETTLE_S, WATCH_S = 15.0, 60.0
ROUNDS, ROUND_S = 9, 1.0
READINGS_A_SAMPLE = 5
# What psutil can read of what the agent reads, at the agent's pace.
PLAIN = """
import psutil, time
while True:
    psutil.cpu_percent(None); psutil.virtual_memory(); psutil.swap_memory(); psutil.sensors_temperatures()
    psutil.sensors_fans(); psutil.cpu_freq(); psutil.sensors_battery()
    time.sleep(2)
"""


def main() -> None:
    """Measure, and write the results."""
    write(NAME, [*cost(), *speed()])


def cost() -> list[Figure]:
    """Return processor time and memory of the real agent, and of psutil alone, over the same minute."""
    with tempfile.TemporaryDirectory(prefix="mlops-agent-") as folder, agent(Path(folder)) as ours:
        plain = subprocess.Popen([sys.executable, "-c", PLAIN])
        try:
            time.sleep(SETTLE_S)
            shares, memory = watched([psutil.Process(ours), psutil.Process(plain.pid)])
        finally:
            plain.kill()
            plain.wait()
    return [
        figure("cpu", "core", shares[0], "the agent's budget", BUDGET_CPU),
        figure("cpu", "core", shares[0], "a psutil-only process", shares[1]),
        figure("memory (RSS)", "MB", memory[0], "the agent's budget", BUDGET_MB),
        figure("memory (RSS)", "MB", memory[0], "a psutil-only process", memory[1]),
    ]


def speed() -> list[Figure]:
    """Return how many readings and samples a second one core could make, against psutil alone."""
    probes = [
        WatchedProbe(one.probe, gives=one.gives)
        for one in probes_here(lambda: True, None, lambda _: None)
    ]
    looking = Looking(probes, time.monotonic)
    at_s = iter(range(10**9))

    def read() -> None:
        looking.look(float(next(at_s)))

    def sample() -> None:
        window = [looking.look(float(next(at_s))) for _ in range(READINGS_A_SAMPLE)]
        told = to_sample(looking.sum_up(window), 0, 1, "boot", datetime.now(UTC))
        TelemetrySampled(node="bench", sample=told).encode()

    series: dict[str, list[float]] = {"read": [], "sample": [], "psutil": []}
    for _ in range(ROUNDS):
        for name, work in (("read", read), ("psutil", plainly), ("sample", sample)):
            series[name].append(a_second(work))
    for probe in probes:
        probe.close()
    peer = "psutil alone, same things"
    return [
        compare(NAME, "readings of all probes", "1/s", series["read"], peer, series["psutil"]),
        compare(NAME, "samples of five readings", "1/s", series["sample"], peer, series["psutil"]),
    ]


def plainly() -> None:
    """Read with psutil what it can read of all that."""
    psutil.cpu_percent(None)
    psutil.virtual_memory()
    psutil.swap_memory()
    psutil.sensors_temperatures()
    psutil.sensors_fans()
    psutil.cpu_freq()
    psutil.sensors_battery()


def a_second(work: Callable[[], None]) -> float:
    """Return how often *work* is done in a second of this process' own processor time."""
    began, done = time.process_time(), 0
    while (spent := time.process_time() - began) < ROUND_S:
        work()
        done += 1
    return done / spent


def watched(processes: list[psutil.Process]) -> tuple[list[float], list[float]]:
    """Return the share of a core over a minute, and the memory at its end in MB, of each process."""
    before, began = [cpu_s(one) for one in processes], time.monotonic()
    time.sleep(WATCH_S)
    seconds = time.monotonic() - began
    shares = [(cpu_s(one) - then) / seconds for one, then in zip(processes, before, strict=True)]
    return shares, [one.memory_info().rss / 1e6 for one in processes]


def cpu_s(process: psutil.Process) -> float:
    """Return the processor time of a process so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def figure(metric: str, unit: str, ours: float, peer: str, theirs: float) -> Figure:
    """Return a figure of one measurement."""
    ratio = ours / theirs if theirs else float("inf")
    return Figure(NAME, metric, unit, round(ours, 5), peer, round(theirs, 5), round(ratio, 3), 1)


@contextmanager
def agent(folder: Path) -> Iterator[int]:
    """Run the real agent against a server of its own; yield its process id."""
    port = free_port()
    beside = Path(sys.executable).parent / "nats-server"
    program = str(beside) if beside.exists() else shutil.which("nats-server")
    assert program, "nats-server is not on PATH"
    server = subprocess.Popen(
        [program, "-js", "-sd", str(folder / "js"), "-a", "127.0.0.1", "-p", str(port)],
        stderr=subprocess.DEVNULL,
    )
    settings = {"MLOPS_HOME": str(folder), "NATS_URL": f"nats://127.0.0.1:{port}"}
    ours = subprocess.Popen(
        [sys.executable, "-m", "mlops.telemetry_agent"],
        env={**os.environ, **settings, "MALLOC_ARENA_MAX": "2"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield ours.pid
    finally:
        for child in (ours, server):
            child.terminate()
            child.wait(20)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


if __name__ == "__main__":
    main()
