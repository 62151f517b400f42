# SPDX-License-Identifier: Apache-2.0
"""Two real workers beside a real Airflow: they train one model together, and one of them may be drained or die."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest

from integration.orchestration.conftest import calling, running
from mlops.chassis.bus_nats import NatsBus
from mlops.contracts.message import Message
from mlops.contracts.telemetry_agent import ThermalRecovered, ThermalThrottled
from servers.nats import start_nats

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.mlflow,
    pytest.mark.server,
    pytest.mark.timeout(420),
]

EXAMPLE = Path(__file__).parents[3] / "examples" / "federated"
MACHINES = ("node-b", "node-c")
# A thermal model at rest instead of the machine that the tests happen to run on, which may be hot.
COOL = "fanless_air:load=0.0,on=300,off=120"
_WAIT_S = 120


def mlops(home: Path, *words: str) -> Any:
    """Run the command as a person on one of the machines does; return what it tells programs."""
    env = {**os.environ, "MLOPS_HOME": str(home), "TELEMETRY_AGENT_SIMULATE": COOL}
    env.pop("MLOPS_GATEWAY_URL", None)
    command = [sys.executable, "-m", "mlops.cli", *words, "--json"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def until(true: Callable[[], bool], what: str, wait_s: float = _WAIT_S) -> None:
    deadline = time.monotonic() + wait_s
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)


@pytest.fixture(scope="module")
def site(airflow: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    nats = start_nats(tmp_path_factory.mktemp("nats"))
    env = {"ORCHESTRATION_BRIDGE_EDGE": "true", "ORCHESTRATION_BRIDGE_NODE": "central"}
    try:
        yield from running(airflow, nats, tmp_path_factory.mktemp("home"), **env)
    finally:
        nats.close()


@pytest.fixture(scope="module")
def machines(site: Any) -> Iterator[tuple[str, ...]]:
    try:
        for name in MACHINES:
            mlops(site.home, "node", "start", name, "--slots", "2")
        until(lambda: ready(site) == set(MACHINES), f"only {ready(site)} work")
        yield MACHINES
    finally:
        for name in MACHINES:
            mlops(site.home, "node", "stop", name)


@pytest.fixture
def caller(site: Any) -> Iterator[Any]:
    yield from calling(site)


def ready(site: Any) -> set[str]:
    """Return the machines that take work."""
    found = mlops(site.home, "node", "list")["nodes"]
    return {name for name, one in found.items() if one["worker"] and not one["closed"]}


def digits() -> Any:
    spec = importlib.util.spec_from_file_location("digits_example", EXAMPLE / "digits.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def together(caller: Any, tmp_path: Path, local: str = "", **federated: Any) -> str:
    """Register the example, its commands run by this environment's python."""
    folder = shutil.copytree(EXAMPLE, tmp_path / "digits")
    said = {
        "command": f"{local}exec $MLOPS_PYTHON local.py",
        "aggregate": "exec $MLOPS_PYTHON average.py",
        "nodes": 2,
        "rounds": 3,
        **federated,
    }
    project: str = caller.register(folder, federated=said, serve={"model": "digits"})
    return project


def shards(airflow: Any, project: str, key: str, round_: int) -> dict[str, Any]:
    """Return the shards of a round as Airflow tells of them, by the machine they were placed on."""
    login = {"username": "bridge", "password": airflow.password}
    with httpx.Client(base_url=airflow.url, trust_env=False) as client:
        token = client.post("/auth/token", json=login).json()["access_token"]
        path = f"/api/v2/dags/{project}__federated/dagRuns/{key}/taskInstances"
        client.headers["Authorization"] = f"Bearer {token}"
        found = client.get(path, params={"limit": 100}).json()["task_instances"]
    mine = [one for one in found if one["task_id"] == f"train_{round_}" and one["map_index"] >= 0]
    return {one["queue"].removeprefix("n_"): one for one in mine}


def metrics(caller: Any, project: str, run_id: str, key: str) -> list[float]:
    headers = {"X-MLFLOW-WORKSPACE": project}
    asked = {"run_id": run_id, "metric_key": key}
    with httpx.Client(base_url=caller.mlflow, headers=headers, trust_env=False) as client:
        told = client.get("/api/2.0/mlflow/metrics/get-history", params=asked).json()["metrics"]
    return [one["value"] for one in sorted(told, key=lambda one: int(one["step"]))]


def test_two_machines_train_what_neither_could_alone(
    airflow: Any, machines: tuple[str, ...], caller: Any, tmp_path: Path
) -> None:
    project = together(caller, tmp_path)

    key = caller.start(project, "federated")
    started = caller.wait(project, "workflow.started")["data"]
    caller.wait(project, "workflow.completed")

    assert sorted(started["nodes"]) == sorted(machines)
    for number in (1, 2, 3):
        found = shards(airflow, project, key, number)
        assert {name: one["hostname"] for name, one in found.items()} == {m: m for m in machines}
        assert {one["pool"] for one in found.values()} == {f"n_{m}" for m in machines}
    run = caller.run_of(project, key)["info"]
    assert run["status"] == "FINISHED"
    common = metrics(caller, project, run["run_id"], "accuracy")
    example = digits()
    for site in (0, 1):
        alone = example.trained(np.zeros((65, 10)), example.of_site(site, 2), steps=500)
        assert example.accuracy(alone, example.judged_by()) < 0.55
    for machine in machines:
        assert len(metrics(caller, project, run["run_id"], f"accuracy/{machine}")) == 3
    assert common[-1] > 0.8
    assert common == pytest.approx(expected_averages(example, 3))
    assert caller.wait(project, "model.registered")["data"]["run_id"] == run["run_id"]


def expected_averages(example: Any, rounds: int) -> list[float]:
    """Return the accuracy after each round as averaging says, worked out in one place."""
    weights, found = np.zeros((65, 10)), []
    rows = [example.of_site(site, 2) for site in (0, 1)]
    for _ in range(rounds):
        learnt = [example.trained(weights, one) for one in rows]
        weights = np.average(learnt, axis=0, weights=[len(one.digits) for one in rows])
        found.append(example.accuracy(weights, example.judged_by()))
    return found


def test_a_training_of_one_machine_goes_to_a_machine_that_works(
    machines: tuple[str, ...], caller: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "plain"
    folder.mkdir()
    project = caller.register(folder, train={"command": "echo $HOSTNAME > where"})

    caller.start(project)
    started = caller.wait(project, "workflow.started")["data"]
    caller.wait(project, "workflow.completed")

    assert started["node"] in machines
    assert (folder / "where").read_text().strip() == started["node"]


def test_a_person_drains_a_machine_and_lets_it_go(site: Any, machines: tuple[str, ...]) -> None:
    first, second = machines
    mlops(site.home, "node", "drain", first, "--why", "new disk")
    until(lambda: first not in ready(site), f"{first} still takes work")

    told = mlops(site.home, "node", "list")["nodes"][first]
    assert told["closed"] == f"{first} is drained: new disk"
    assert not told["worker"]["ours"]
    assert second in ready(site)

    mlops(site.home, "node", "undrain", first)
    until(lambda: ready(site) == set(machines), f"{first} takes no work again")


async def test_heat_drains_a_machine_within_seconds_and_says_why(
    site: Any, machines: tuple[str, ...], tmp_path: Path
) -> None:
    hot, since = machines[0], datetime.now(UTC)
    episode = {"source": "/services/telemetry_agent", "node": hot, "episode_id": "e-1"}
    throttled = ThermalThrottled(**episode, level=3, reason="fan stopped", since=since)
    cooled = ThermalRecovered(**episode, level=0, peak_level=3, duration_s=9, since=since)

    await tell(site, throttled, tmp_path)

    until(lambda: bool((worker_of(site, hot) or {}).get("ours")), f"{hot} is not drained")
    assert worker_of(site, hot)["why"] == f"[heat] {hot} is at heat level 3: fan stopped"

    await tell(site, cooled, tmp_path)
    until(lambda: heat_of(site, hot) == 0, f"{hot} stays hot")
    assert worker_of(site, hot)["ours"]  # it rests, unless a person lets it go
    mlops(site.home, "node", "undrain", hot)
    until(lambda: ready(site) == set(machines), f"{hot} takes no work again")


async def tell(site: Any, message: Message, folder: Path) -> None:
    bus = NatsBus(site.nats_url, token=site.nats_token, name="tests", outbox=folder / "o.db")
    await bus.start()
    await bus.publish(message)
    await bus.stop(timedelta(seconds=5))


def heat_of(site: Any, name: str) -> Any:
    return mlops(site.home, "node", "list")["nodes"][name]["heat"]["level"]


def worker_of(site: Any, name: str) -> Any:
    return mlops(site.home, "node", "list")["nodes"][name]["worker"]


def test_a_machine_that_dies_in_the_middle_is_done_without(
    airflow: Any, site: Any, machines: tuple[str, ...], caller: Any, tmp_path: Path
) -> None:
    first, doomed = machines
    began = tmp_path / "began"
    local = f'if [ "$MLOPS_NODE" = {doomed} ]; then touch {began}; sleep 300; fi; '
    project = together(caller, tmp_path, local, rounds=2, min_nodes=1)
    key = caller.start(project, "federated")
    until(began.exists, f"{doomed} never began")

    kill(site.home, doomed)

    caller.wait(project, "workflow.completed")
    run = caller.run_of(project, key)["info"]["run_id"]
    assert metrics(caller, project, run, "federated_updates") == [1.0, 1.0]
    assert shards(airflow, project, key, 1)[first]["state"] == "success"
    assert shards(airflow, project, key, 1)[doomed]["state"] == "failed"
    told = mlops(site.home, "node", "list")["nodes"][doomed]
    assert told["worker"]["work"] == "gone"

    waits = caller.start(project, "federated")
    why = caller.gateway.get(
        "/api/v1/query/orchestration_bridge/why", params={"workflow_key": waits}
    ).json()
    assert why["waits"]
    assert "1 of 2 machines are free" in why["reason"]
    assert doomed in why["reason"]
    wish = {"workflow_key": waits, "reason": "seen enough"}
    caller.command("cmd.workflow.cancel", project, wish, "workflow.cancelled")


def kill(home: Path, name: str) -> None:
    """End everything of a machine at once, as when its plug is pulled."""
    told = json.loads((home / "nodes" / name / "supervisor.json").read_text())
    supervisor = psutil.Process(int(told["pid"]))
    family = [supervisor, *supervisor.children(recursive=True)]
    for process in family:
        process.suspend()  # or those that watch would start again what died first
    for process in family:
        process.kill()
    psutil.wait_procs(family, timeout=20)
