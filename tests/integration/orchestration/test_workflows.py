# SPDX-License-Identifier: Apache-2.0
"""A project's own code, trained by a real Airflow: what becomes of it, and what is said when it fails."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlops.chassis.bus_nats import NatsBus
from mlops.contracts.monitoring import PerformanceDegraded, Window

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.mlflow,
    pytest.mark.server,
    pytest.mark.timeout(300),
]

TRAIN = """
import json, os
import mlflow

data = json.loads(os.environ["MLOPS_DATASETS"])["days"]
rows = open(data["path"]).read().splitlines()
assert not [name for name in os.environ if "AIRFLOW" in name]
with mlflow.start_run():
    mlflow.log_metric("accuracy", len(rows) / 10)
    model = lambda model_input: model_input
    mlflow.pyfunc.log_model(name="model", python_model=model, pip_requirements=["mlflow"])
"""
EVALUATE = """
import os
import mlflow

print("champion:", os.environ["MLOPS_CHAMPION_URI"] or "none")
if os.environ["MLOPS_CHAMPION_URI"]:
    with mlflow.start_run():
        mlflow.log_metric("champion_accuracy", 0.1)
"""
LASTING = """
import pathlib, signal, sys, time

def stop(number, frame):
    pathlib.Path("stopped").write_text("in order")
    sys.exit(1)

signal.signal(signal.SIGTERM, stop)
pathlib.Path("began").write_text("")
time.sleep(120)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "days.csv").write_text("a\nb\nc\n")
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "evaluate.py").write_text(EVALUATE)
    (tmp_path / "lasting.py").write_text(LASTING)
    return tmp_path


def tags(run: Any) -> dict[str, str]:
    return {tag["key"]: tag["value"] for tag in run["data"]["tags"]}


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 90
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.1)


def test_train_evaluate_register_and_again_against_the_champion(caller: Any, folder: Path) -> None:
    project = caller.register(
        folder,
        train={"command": "$MLOPS_PYTHON train.py"},
        evaluate={"command": "$MLOPS_PYTHON evaluate.py"},
        data={"datasets": {"days": "days.csv"}},
        serve={"model": "rain"},
    )

    key = caller.start(project)
    started = caller.wait(project, "workflow.started")
    completed = caller.wait(project, "workflow.completed")

    run = caller.run_of(project, key)
    versioned = caller.events(project, "data.versioned")[0]["data"]
    registered = caller.wait(project, "model.registered")
    assert (completed["data"]["workflow_key"], completed["causationid"]) == (key, started["id"])
    assert run["info"]["status"] == "FINISHED"
    assert tags(run)["mlops.dataset.days"] == f"1@{versioned['hash']}"
    assert tags(run)["mlops.causation_id"] == started["id"]
    assert tags(run)["mlops.workflow_kind"] == "train"
    assert registered["data"]["run_id"] == run["info"]["run_id"]
    assert {e["correlationid"] for e in (started, completed, registered)} == {
        started["correlationid"]
    }

    caller.wait(project, "model.promoted")
    second = caller.start(project)
    caller.wait(project, "workflow.completed", lambda e: e["data"]["workflow_key"] == second)

    run = caller.run_of(project, second)
    metrics = {metric["key"]: metric["value"] for metric in run["data"]["metrics"]}
    assert tags(run)["mlops.champion_version"] == "1"
    assert metrics["champion_accuracy"] == 0.1


@pytest.mark.parametrize(
    ("settings", "step", "said"),
    [
        (
            {"train": {"command": "echo hello; $MLOPS_PYTHON -c 'import torchy'"}},
            "train",
            ["exit status 1", "environment lacks torchy", "hello"],
        ),
        (
            {"train": {"command": "true"}, "serve": {"model": "rain"}},
            "train",
            ["logged no model in run", "mlflow.sklearn.log_model"],
        ),
        (
            {"train": {"command": "true"}, "data": {"datasets": {"a": "nope.csv"}}},
            "data",
            ["dataset 'a': there is no 'nope.csv'", "[data].datasets"],
        ),
        (
            {"train": {"command": "sleep 60", "timeout": "1s"}},
            "train",
            ["ran longer than 0:00:01"],
        ),
        (
            {
                "train": {"command": "$MLOPS_PYTHON train.py"},
                "data": {"datasets": {"days": "days.csv"}},
                "evaluate": {"metric": "recall"},
                "serve": {"model": "rain"},
            },
            "evaluate",
            ["no metric 'recall'", "logged: accuracy"],
        ),
    ],
)
def test_a_failure_is_told_with_step_reason_and_fix_and_not_tried_again(
    caller: Any, folder: Path, settings: dict[str, Any], step: str, said: list[str]
) -> None:
    project = caller.register(folder, **settings)

    key = caller.start(project)
    failed = caller.wait(project, "workflow.failed")["data"]

    assert (failed["workflow_key"], failed["step"]) == (key, step)
    assert [text for text in said if text not in failed["diagnosis"]] == []
    runs = [e["type"] for e in caller.events(project) if e["type"].startswith("run.")]
    assert runs.count("run.failed") == (step != "data")


def test_cancelling_ends_the_projects_own_command_in_order(caller: Any, folder: Path) -> None:
    project = caller.register(folder, train={"command": "exec $MLOPS_PYTHON lasting.py"})
    key = caller.start(project)
    wait_for(folder / "began")

    wish = {"workflow_key": key, "reason": "enough"}
    caller.command("cmd.workflow.cancel", project, wish, "workflow.cancelled")

    wait_for(folder / "stopped")
    caller.wait(project, "run.failed")
    assert caller.events(project, "workflow.failed") == []


def test_a_killed_bridge_comes_back_and_repeats_nothing(
    platform: Any, caller: Any, folder: Path
) -> None:
    project = caller.register(
        folder,
        train={"command": "touch began; sleep 3; echo ran >> ran"},
        retrain={"cooldown": "1s"},
    )
    key = caller.start(project)
    wait_for(folder / "began")

    platform.kill("orchestration_bridge")
    time.sleep(4)
    platform.start("orchestration_bridge")

    completed = caller.wait(project, "workflow.completed")
    assert completed["data"]["workflow_key"] == key
    assert (folder / "ran").read_text() == "ran\n"
    told = [e["type"] for e in caller.events(project, "workflow.*")]
    assert told == ["workflow.queued", "workflow.started", "workflow.completed"]


async def test_degradation_retrains_once_and_the_queue_says_why_it_waits(
    platform: Any, caller: Any, folder: Path
) -> None:
    project = caller.register(
        folder, train={"command": "true"}, retrain={"mode": "approve", "cooldown": "1s"}
    )
    at = datetime.now(UTC)
    alarm = PerformanceDegraded(
        source="/services/monitoring",
        project=project,
        model="rain",
        version=1,
        metric="accuracy",
        value=0.61,
        threshold=0.7,
        window=Window(index=3, rows=500, labelled=500, first_at=at, last_at=at),
    )

    bus = NatsBus(
        platform.nats_url, token=platform.nats_token, name="tests", outbox=folder / "o.db"
    )
    await bus.start()
    await bus.publish(alarm)
    await bus.publish(alarm)
    await bus.stop(timedelta(seconds=5))

    queued = caller.wait(project, "workflow.queued")
    answer = caller.gateway.get(
        "/api/v1/query/orchestration_bridge/queue", params={"project": project}
    ).json()
    waiting = answer["projects"][0]["workflows"][0]
    assert queued["causationid"] == alarm.id
    assert queued["data"]["kind"] == "retrain"
    assert "a person must approve it" in waiting["decision"]["reason"]
    why = caller.gateway.get(
        "/api/v1/query/orchestration_bridge/why", params={"workflow_key": waiting["key"]}
    ).json()
    assert (why["state"], why["reason"]) == ("awaits_approval", waiting["decision"]["reason"])
    wish = {"workflow_key": waiting["key"]}
    caller.command("cmd.workflow.approve", project, wish, "workflow.approved")
    caller.wait(project, "workflow.completed")
    assert len(caller.events(project, "workflow.queued")) == 1
