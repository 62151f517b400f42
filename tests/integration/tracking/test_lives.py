# SPDX-License-Identifier: Apache-2.0
"""The real process, and runs that nobody ends: dead clients, ended workflows, archived projects, collected garbage."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mlops.contracts.orchestration_bridge import WorkflowCancelled, WorkflowKind
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered

pytestmark = [pytest.mark.server, pytest.mark.mlflow, pytest.mark.timeout(240)]

# Quick enough for a test, slow enough for a machine that does something else for a second.
QUICK = {"TRACKING_REAP_EVERY": "0.5s", "TRACKING_STALE_AFTER": "6s", "TRACKING_SILENT_AFTER": "0"}

DIE = """
import mlflow, os, time
mlflow.set_experiment("rain")
run = mlflow.start_run(tags={"mlops.heartbeat": f"{int(time.time() * 1000)} a"})
mlflow.log_metric("loss", 0.5)
print(run.info.run_id, flush=True)
os._exit(0)
"""
BEAT = """
import mlflow
client = mlflow.MlflowClient()
client.set_tag("RUN", "mlops.heartbeat", "9 a")
run = client.get_run("RUN")
print(run.info.status, "mlops.stale" in run.data.tags, run.info.end_time)
client.set_terminated("RUN")
"""
TAGGED = """
import mlflow, os
mlflow.set_experiment("rain")
print(mlflow.start_run(tags={"mlops.workflow_key": "w1"}).info.run_id, flush=True)
os._exit(0)
"""
REFUSED = """
import mlflow
from mlflow.exceptions import MlflowException

client = mlflow.MlflowClient()
experiment = client.get_experiment_by_name("rain").experiment_id
(run, *_) = client.search_runs([experiment], run_view_type=mlflow.entities.ViewType.ALL)
acts = {
    "run": lambda: client.create_run(experiment),
    "version": lambda: client.create_model_version("rain", run.info.artifact_uri, run.info.run_id),
    "name": lambda: client.create_registered_model("x" * 257),
}
for name, act in acts.items():
    try:
        act()
        print(name, "taken")
    except MlflowException as error:
        print(name, error.error_code, str(error)[:200])
print("readable", run.data.metrics)
"""
MODEL = """
import mlflow, sys
mlflow.set_experiment("rain")
client = mlflow.MlflowClient()
with mlflow.start_run() as run:
    mlflow.log_metric("accuracy", 0.5)
client.create_registered_model("rain")
client.create_model_version("rain", run.info.artifact_uri, run.info.run_id)
client.delete_run(run.info.run_id)
print(run.info.run_id)
"""


@pytest.fixture
async def tracking(unstarted: Any) -> Any:
    unstarted.more.update(QUICK)
    await unstarted.start()
    return unstarted


async def test_a_dead_client_is_told_as_stale_and_may_come_back(
    tracking: Any, listener: Any
) -> None:
    await listener.register("rain")
    run_id = (await tracking.run_client(DIE)).split()[-1]

    (stale,) = await listener.wait_for(1, "run.stale")
    said = await tracking.run_client(BEAT.replace("RUN", run_id))
    await listener.wait_for(1, "run.completed")

    assert stale["data"]["run_id"] == run_id
    assert stale["data"]["metrics"] == {"loss": 0.5}
    assert stale["data"]["last_seen_at"] == stale["data"]["ended_at"]
    assert "no heartbeat for" in stale["data"]["reason"]
    assert said.split()[:3] == ["RUNNING", "False", "None"]
    told = await listener.events("run.started", "run.stale", "run.completed", "run.failed")
    assert [
        (event["type"], event["data"].get("resumed"), event["data"].get("again")) for event in told
    ] == [
        ("run.started", False, None),
        ("run.stale", None, False),
        ("run.started", True, None),
        ("run.completed", None, True),
    ]


async def test_nobody_is_stale_because_we_were_away(tracking: Any, listener: Any) -> None:
    await listener.register("rain")
    await tracking.run_client(DIE)
    await tracking.kill()
    await asyncio.sleep(6)

    await tracking.start()
    await asyncio.sleep(3)
    early = await listener.events("run.stale")
    late = await listener.wait_for(1, "run.stale")

    assert (early, len(late)) == ([], 1)


async def test_a_cancelled_workflow_leaves_no_run_running(tracking: Any, listener: Any) -> None:
    await listener.register("rain")
    run_id = (await tracking.run_client(TAGGED)).split()[-1]
    cancelled = WorkflowCancelled(
        project="rain", workflow_key="w1", kind=WorkflowKind.TRAIN, reason="by ada"
    )

    await listener.bus.publish(cancelled)

    (failed,) = await listener.wait_for(1, "run.failed")
    assert (failed["data"]["run_id"], failed["data"]["status"]) == (run_id, "KILLED")
    assert failed["data"]["reason"] == "workflow w1 was cancelled: by ada"
    assert failed["causationid"] == cancelled.id


async def test_an_archived_project_refuses_what_is_new_and_opens_again(
    tracking: Any, listener: Any
) -> None:
    await listener.register("rain")
    await tracking.run_client(MODEL)
    await listener.bus.publish(ProjectArchived(project="rain"))
    await until_said(tracking, "run PERMISSION_DENIED")

    said = await tracking.run_client(REFUSED)
    settings = ProjectSettings(name="rain")
    again = ProjectRegistered(project="rain", settings=settings, revision=2)
    await listener.bus.publish(again)
    await until_said(tracking, "run taken")

    assert "project 'rain' is archived: it takes no new runs" in said
    assert "version PERMISSION_DENIED" in said
    assert "it takes no new model versions" in said
    assert "name INVALID_PARAMETER_VALUE" in said
    assert "257 characters, 256 are allowed" in said
    assert "readable {'accuracy': 0.5}" in said


async def test_collected_garbage_harms_nothing(
    tracking: Any, listener: Any, tmp_path: Path
) -> None:
    await listener.register("rain")
    run_id = (await tracking.run_client(MODEL)).split()[-1]
    await listener.wait_for(1, "model.promoted")
    store = tracking.home / "state" / "tracking" / "mlflow.db"

    collected = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mlflow", "gc", "--all-workspaces"),
        *("--backend-store-uri", f"sqlite:///{store}", "--tracking-uri", tracking.uri),
        env=tracking.client(None),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=tmp_path,
    )
    said, _ = await collected.communicate()
    await tracking.run_client(MODEL.replace('client.create_registered_model("rain")', ""))
    rejected_or_promoted = await listener.wait_for(2, "model.promoted", "model.rejected")

    assert collected.returncode == 0, said.decode()
    assert run_id in said.decode()
    assert len(rejected_or_promoted) == 2
    told = Counter(event["data"]["run_id"] for event in await listener.events("run.completed"))
    assert set(told.values()) == {1}
    assert "Traceback" not in tracking.log


async def until_said(tracking: Any, word: str) -> None:
    async with asyncio.timeout(60):
        while word not in await tracking.run_client(REFUSED):
            await asyncio.sleep(0.2)
