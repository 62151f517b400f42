# SPDX-License-Identifier: Apache-2.0
"""Footprint: memory of every component of a running platform, and what it costs while nothing happens.

Memory is the proportional share (PSS), so that sums are true. Peers are the aims: our eight services below 500 MB, the
whole with Airflow and Ray below 3 GB. Measures the platform of MLOPS_HOME when one runs there, else one of its own.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import psutil
from results_file import Figure, write

from mlops.cli.home import Home, find_home
from mlops.cli.supervisor import figures, launch
from mlops.cli.supervisor import state as told
from mlops.cli.supervisor.figures import Figure as Component

SERVICES = (
    "workspaces",
    "tracking",
    "versioning",
    "orchestration_bridge",
    "serving",
    "monitoring",
    "telemetry_agent",
    "gateway",
)
AIM_SERVICES_MB = 500.0
AIM_WHOLE_MB = 3000.0
AIM_SUPERVISOR_MB = 50.0
SETTLE_S = 20.0
WATCH_S = 20.0


def main() -> None:
    """Measure, and write the results."""
    home = find_home(None, os.environ, Path.cwd())
    running = launch.supervisor_pid(home) is not None
    write("footprint", measure(home) if running else with_own_platform())


def with_own_platform() -> list[Figure]:
    """Start a platform in a temporary folder, measure it, stop it."""
    home = Home(Path(tempfile.mkdtemp(prefix="mlops-footprint-")).resolve())
    try:
        launch.start(home)
        launch.wait_until_up(home)
        wait_for_optional(home)
        return measure(home)
    finally:
        launch.stop(home)
        shutil.rmtree(home.root, ignore_errors=True)
        shutil.rmtree(home.short, ignore_errors=True)


def wait_for_optional(home: Home, at_most_s: float = 120.0) -> None:
    """Wait for what `up` does not wait for: Evidently's interface."""
    deadline = time.monotonic() + at_most_s
    while time.monotonic() < deadline and not all(one.up for one in told.read(home).components):
        time.sleep(1)


def measure(home: Home) -> list[Figure]:
    """Return the figures of a running platform."""
    time.sleep(SETTLE_S)
    found = figures.measure(home, told.read(home))
    before = {row.status.name: cpu_s(row.pids) for row in found}
    began = time.monotonic()
    time.sleep(WATCH_S)
    seconds = time.monotonic() - began
    idle = {row.status.name: (cpu_s(row.pids) - before[row.status.name]) / seconds for row in found}
    supervisor = int(figures.supervisor(told.read(home))["memory_bytes"]) / 1e6
    return [*totals(found, supervisor, idle), *per_component(found, idle)]


def totals(found: list[Component], supervisor: float, idle: dict[str, float]) -> list[Figure]:
    """Return what the aims are about."""
    services = sum(row.memory_bytes for row in found if row.status.name in SERVICES) / 1e6
    whole = sum(row.memory_bytes for row in found) / 1e6 + supervisor
    services_cpu = sum(share for name, share in idle.items() if name in SERVICES)
    cores = float(os.cpu_count() or 1)
    return [
        result("memory of our eight services", "MB", services, "aim: less than", AIM_SERVICES_MB),
        result("memory of the whole", "MB", whole, "aim: less than", AIM_WHOLE_MB),
        result("memory of the supervisor", "MB", supervisor, "aim: less than", AIM_SUPERVISOR_MB),
        result("idle CPU of our eight services", "cores", services_cpu, "cores here", cores),
        result("idle CPU of the whole", "cores", sum(idle.values()), "cores here", cores),
    ]


def per_component(found: list[Component], idle: dict[str, float]) -> Iterable[Figure]:
    """Return the share of each component that has processes."""
    whole = sum(row.memory_bytes for row in found) / 1e6
    whole_cpu = sum(idle.values())
    for row in found:
        if row.pids:
            name, count = row.status.name, len(row.pids)
            metric = f"memory of {name} ({count} process{'es' if count > 1 else ''})"
            yield result(metric, "MB", row.memory_bytes / 1e6, "the whole", whole)
            yield result(f"idle CPU of {name}", "cores", idle[name], "the whole", whole_cpu)


def result(metric: str, unit: str, ours: float, peer: str, peer_value: float) -> Figure:
    """Return one line of the results."""
    ratio = round(ours / peer_value, 3) if peer_value else 0.0
    return Figure(
        "footprint", metric, unit, round(ours, 3), peer, round(peer_value, 3), ratio, runs=1
    )


def cpu_s(pids: Iterable[int]) -> float:
    """Return the processor time that living processes have used."""
    total = 0.0
    for pid in pids:
        try:
            times = psutil.Process(pid).cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


if __name__ == "__main__":
    main()
