# SPDX-License-Identifier: Apache-2.0
"""A training under a real Airflow whose machine gets hot: it saves, leaves and goes on where it stopped, or is stopped.

The two machines are names whose heat the tests tell; Airflow runs both. What is real is all the rest: the request on the
bus, the step that asks the gateway, the signal, the artifacts, the second attempt.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from integration.orchestration.conftest import calling, running
from mlops.chassis.bus_nats import NatsBus
from mlops.contracts.message import Message
from mlops.contracts.telemetry_agent import (
    HardwareSample,
    TelemetrySampled,
    Thermal,
    ThermalRecovered,
    ThermalThrottled,
)
from servers.nats import start_nats

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.mlflow,
    pytest.mark.server,
    pytest.mark.timeout(300),
]

# Counts its epochs on from what it finds; writes down each, and what it was asked.
TRAINING = """
import json, os, pathlib, signal, sys, time

folder = pathlib.Path(os.environ["MLOPS_CHECKPOINT_DIR"])
state, attempt = folder / "epoch.json", os.environ["MLOPS_WORKFLOW_ATTEMPT"]
epoch = json.loads(state.read_text())["epoch"] if state.exists() else 0
asked = []
signal.signal(signal.SIGUSR1, lambda *_: asked.append(1))
epochs = pathlib.Path(os.environ["EPOCHS"])
while epoch < int(os.environ["UNTIL"]):
    time.sleep(0.1)
    epoch += 1
    with epochs.open("a") as lines:
        lines.write(f"{attempt} {epoch}\\n")
    if asked:
        asked.clear()
        request = json.loads(pathlib.Path(os.environ["MLOPS_CHECKPOINT_REQUEST"]).read_text())
        fresh = folder / ".fresh"
        fresh.write_text(json.dumps({"epoch": epoch}))
        fresh.replace(state)
        print("asked to", request["ask"], "at epoch", epoch)
        if request["ask"] == "leave":
            sys.exit(75)
"""


@pytest.fixture(scope="module")
def site(airflow: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    nats = start_nats(tmp_path_factory.mktemp("nats"))
    env = {"ORCHESTRATION_BRIDGE_NODE": "warm", "ORCHESTRATION_BRIDGE_NODES": "warm,cool"}
    try:
        yield from running(airflow, nats, tmp_path_factory.mktemp("home"), **env)
    finally:
        nats.close()


@pytest.fixture
def caller(site: Any) -> Iterator[Any]:
    yield from calling(site)


@pytest.fixture
def tell(site: Any, tmp_path: Path) -> Callable[..., None]:
    """Tell the heat of machines, by name; each is heard of for some minutes."""

    def said(node: str, level: int, episode: str) -> list[Message]:
        at = datetime.now(UTC)
        sample = HardwareSample(
            seq=1, boot_id=node, observed_at=at, window_s=200, thermal=Thermal(level=level)
        )
        edge: Message = ThermalThrottled(
            source="/agents/tests",
            node=node,
            episode_id=episode,
            level=level,
            reason="fan stopped",
            since=at,
            time=at,
        )
        if level == 0:
            edge = ThermalRecovered(
                source="/agents/tests",
                node=node,
                episode_id=episode,
                level=0,
                peak_level=4,
                duration_s=1,
                since=at,
                time=at,
            )
        return [TelemetrySampled(source="/agents/tests", node=node, sample=sample, time=at), edge]

    async def publish(messages: list[Message]) -> None:
        bus = NatsBus(site.nats_url, token=site.nats_token, name="tests", outbox=tmp_path / "o.db")
        await bus.start()
        for message in messages:
            await bus.publish(message)
        await bus.stop(timedelta(seconds=5))

    def heat(episode: str = "e", **levels: int) -> None:
        found = [one for node, level in levels.items() for one in said(node, level, episode)]
        asyncio.run(publish(found))

    return heat


def until(true: Callable[[], bool], what: str, wait_s: float = 60) -> None:
    deadline = time.monotonic() + wait_s
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    project = tmp_path / "project"
    project.mkdir()
    (project / "training.py").write_text(TRAINING)
    return project


def epochs(folder: Path) -> list[tuple[int, int]]:
    lines = (folder / "epochs").read_text().split("\n") if (folder / "epochs").exists() else []
    pairs = (line.split() for line in lines if line)
    return [(int(attempt), int(epoch)) for attempt, epoch in pairs]


def begin(
    caller: Any, tell: Callable[..., None], folder: Path, last: int, *, saves: bool = True
) -> tuple[str, str]:
    """Start the training on the machine `warm`, the only one that is cool just then, and wait for its first epochs."""
    tell(warm=0, cool=2)
    line = f"EPOCHS={folder}/epochs UNTIL={last} $MLOPS_PYTHON training.py"
    line = line if saves else f"MLOPS_CHECKPOINT_DIR=nowhere {line}"
    checkpoint = {"checkpoint": {"grace": "20s"}} if saves else {}
    project = caller.register(folder, train={"command": line, **checkpoint})
    key = caller.start(project)
    started = caller.wait(project, "workflow.started")["data"]
    assert (started["node"], started["attempt"]) == ("warm", 1)
    until(lambda: len(epochs(folder)) > 3, "the training never began")
    return project, key


def told(caller: Any, project: str) -> list[str]:
    kinds = ("workflow.", "checkpoint.")
    return [e["type"] for e in caller.events(project) if e["type"].startswith(kinds)]


def test_a_training_leaves_a_hot_machine_and_goes_on_at_its_epoch(
    caller: Any, tell: Callable[..., None], folder: Path
) -> None:
    project, key = begin(caller, tell, folder, 150)
    run = caller.run_of(project, key)["info"]["run_id"]

    tell(cool=0)
    tell(warm=3)
    asked = caller.wait(project, "checkpoint.requested")
    tell("e2", cool=2)  # so that it waits, and the folder may go: another machine has none
    moved = caller.wait(project, "workflow.rescheduled", lambda e: e["data"]["attempt"] == 1)
    left = epochs(folder)
    shutil.rmtree(folder / "checkpoints")
    view = caller.gateway.get(f"/api/v1/workflows/{key}").json()
    tell("e2", cool=0)
    completed = caller.wait(project, "workflow.completed")

    assert (asked["data"]["ask"], asked["data"]["node"]) == ("leave", "warm")
    assert "cool is cooler" in asked["data"]["reason"]
    assert moved["data"]["from_checkpoint"] is True
    assert moved["data"]["from_node"] == "warm"
    assert (view["attempt"], view["asked"]) == (2, None)
    saved = left[-1][1]
    assert 3 < saved < 150
    found = epochs(folder)
    assert found == [(1, n) for n in range(1, saved + 1)] + [(2, n) for n in range(saved + 1, 151)]
    again = [e["data"] for e in caller.events(project, "workflow.started")]
    assert [(one["attempt"], one["node"]) for one in again] == [(1, "warm"), (2, "cool")]
    assert again[1]["dag_run_id"] == f"{key}.2"
    assert completed["data"]["duration_s"] > 0.1 * 150
    info = caller.run_of(project, key)["info"]
    assert (info["run_id"], info["status"]) == (run, "FINISHED")
    assert told(caller, project).count("checkpoint.requested") == 1
    explained = caller.gateway.get(f"/api/v1/explain/{key}").json()
    assert "with what it saved" in json.dumps(explained)


def test_a_training_that_is_asked_to_save_saves_and_goes_on(
    caller: Any, tell: Callable[..., None], folder: Path
) -> None:
    project, key = begin(caller, tell, folder, 120)

    tell("e3", warm=2)
    asked = caller.wait(project, "checkpoint.requested")["data"]
    view = caller.gateway.get(f"/api/v1/workflows/{key}").json()
    caller.wait(project, "workflow.completed")

    assert asked["ask"] == "save"
    assert (view["asked"]["ask"], view["asked"]["request"]) == ("save", 1)
    kept = json.loads((folder / "checkpoints" / key / "epoch.json").read_text())
    assert 3 < kept["epoch"] < 120
    assert [attempt for attempt, _ in epochs(folder)] == [1] * 120
    assert told(caller, project) == [
        "workflow.queued",
        "workflow.started",
        "checkpoint.requested",
        "workflow.completed",
    ]


def test_work_on_a_machine_in_danger_is_stopped_and_starts_again_elsewhere(
    caller: Any, tell: Callable[..., None], folder: Path
) -> None:
    (folder / "nowhere").mkdir()
    project, key = begin(caller, tell, folder, 60, saves=False)

    tell(cool=0)
    tell("e4", warm=4)
    asked = caller.wait(project, "checkpoint.requested")["data"]
    moved = caller.wait(project, "workflow.rescheduled")["data"]
    caller.wait(project, "workflow.completed")

    assert asked["ask"] == "stop"
    assert (moved["from_checkpoint"], moved["to_node"]) == (False, "cool")
    found = epochs(folder)
    assert [epoch for attempt, epoch in found if attempt == 2] == list(range(1, 61))
    why = caller.gateway.get(
        "/api/v1/query/orchestration_bridge/why", params={"workflow_key": key}
    ).json()
    assert [(one["node"], one["parted"]) for one in why["attempts"]] == [("warm", "evicted")]
