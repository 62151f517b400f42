# SPDX-License-Identifier: Apache-2.0
"""The real process: any MLflow client makes events, the gate acts on them, and no death loses one."""

from __future__ import annotations

import asyncio
import re
import resource
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from mlops.contracts.versioning import AddData
from servers.services import ServiceProcess

pytestmark = [pytest.mark.server, pytest.mark.mlflow, pytest.mark.timeout(240)]

TRAIN = """
import mlflow, pandas

class Same(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[float]) -> list[float]:
        return model_input

mlflow.set_experiment("rain")
with mlflow.start_run(tags={"mlops.correlation_id": "story", "mlops.dataset.weather": "3@abc"}):
    frame = pandas.DataFrame({"x": [1.0, 2.0]})
    mlflow.log_input(mlflow.data.from_pandas(frame, name="frame"))
    mlflow.log_input(mlflow.data.from_pandas(frame, source="FOLDER/data/rain.csv"))
    mlflow.log_input(mlflow.data.from_pandas(frame, source="snow.csv", name="it", digest="DIGEST"))
    mlflow.log_param("depth", 3)
    mlflow.log_metric("accuracy", 0.7)
    mlflow.log_metric("accuracy", 0.8, step=1)
    mlflow.pyfunc.log_model(name="model", python_model=Same(), registered_model_name="rain")
"""

FORTY_RUNS = """
import mlflow
from concurrent.futures import ThreadPoolExecutor
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

client = MlflowClient()
experiment = client.get_experiment_by_name("rain").experiment_id

def insist(act, *arguments, **named):
    # The client repeats refused connections by itself, but not an answer that broke off in the middle.
    try:
        return act(*arguments, **named)
    except MlflowException as error:
        if "Connection broken" not in str(error):
            raise
        return act(*arguments, **named)

def one(number):
    run_id = insist(client.create_run, experiment, run_name=f"run {number}").info.run_id
    insist(client.log_metric, run_id, "accuracy", number / 40)
    insist(client.set_terminated, run_id)
    print(run_id, flush=True)

with ThreadPoolExecutor(4) as threads:
    list(threads.map(one, range(40)))
"""

FAIL = """
import mlflow
mlflow.genai.register_prompt(name="ask", template="What is {{question}}?")
try:
    with mlflow.start_run():
        mlflow.log_metric("loss", float("nan"))
        raise ValueError("no convergence")
except ValueError:
    pass
"""


@pytest.fixture
def versioning(tracking: Any, nats_server: Any) -> Iterator[None]:
    process = ServiceProcess("versioning", tracking.home, nats_server)
    process.start()
    yield
    process.stop()


@pytest.mark.usefixtures("versioning")
async def test_an_unmodified_client_makes_events_and_the_gate_promotes(
    tracking: Any, listener: Any
) -> None:
    folder = tracking.home / "project"
    (folder / "data").mkdir(parents=True)
    for name in ("rain", "snow"):
        (folder / "data" / f"{name}.csv").write_text(f"x\n{len(name)}\n{name}\n")
    provisioned = await listener.register("rain", folder)
    for name in ("rain", "snow"):
        add = AddData(project="rain", name=name, path=f"data/{name}.csv")
        await listener.bus.publish(add)
    versioned = await listener.wait_for(2, "data.versioned")
    addresses = {event["data"]["name"]: event["data"]["hash"] for event in versioned}
    assert provisioned["data"]["names"] == {
        "mlflow_workspace": "rain",
        "experiment": "rain",
        "tracking_uri": tracking.uri,
    }

    await tracking.run_client(
        TRAIN.replace("FOLDER", str(folder)).replace("DIGEST", addresses["snow"])
    )

    (promoted,) = await listener.wait_for(1, "model.promoted")
    (started,) = await listener.wait_for(1, "run.started")
    (completed,) = await listener.wait_for(1, "run.completed")
    (registered,) = await listener.wait_for(1, "model.registered")
    assert {event["project"] for event in (started, registered, completed, promoted)} == {"rain"}
    assert {e["correlationid"] for e in (started, registered, completed, promoted)} == {"story"}
    run = completed["data"]
    assert run["params"] == {"depth": "3"}
    assert run["metrics"] == {"accuracy": 0.8}
    assert run["experiment_name"] == "rain"
    assert run["artifact_uri"].startswith("mlflow-artifacts:/workspaces/rain/")
    read = {found["name"]: found for found in run["datasets"]}
    assert {name: found["version"] for name, found in read.items()} == {
        "weather": 3,
        "frame": None,
        "rain": None,
        "snow": 1,
    }
    assert read["snow"]["hash"] == addresses["snow"]
    assert (read["rain"]["likely_version"], read["frame"]["likely_version"]) == (1, None)
    model = registered["data"]
    assert model["datasets"] == run["datasets"]
    assert model["flavors"] == ["python_function"]
    assert model["size_bytes"] > 0
    assert '"inputs"' in model["signature"]
    assert model["metrics"] == {"accuracy": 0.8}
    assert promoted["causationid"] == registered["id"]
    assert promoted["data"]["candidate_metrics"] == {"accuracy": 0.8}
    assert "first champion" in promoted["data"]["reason"]
    assert promoted["source"] == "/services/tracking"


async def test_a_client_without_a_workspace_belongs_to_the_default_project(
    tracking: Any, listener: Any
) -> None:
    await tracking.run_client(FAIL, workspace=None)

    (failed,) = await listener.wait_for(1, "run.failed")
    assert failed["project"] == "default"
    assert failed["data"]["status"] == "FAILED"
    assert failed["data"]["metrics"] == {}
    assert failed["correlationid"] == failed["data"]["run_id"]
    # A prompt stands in the same registry, and is no model.
    assert await listener.events("model.registered") == []


@pytest.mark.usefixtures("tracking")
async def test_a_name_that_mlflow_cannot_take_is_refused(listener: Any) -> None:
    refused = await listener.register("rain-")

    assert refused["type"] == "workspace.refused"
    assert "rain-" in refused["data"]["reason"]


async def test_kill_in_the_middle_of_forty_runs_loses_and_doubles_nothing(
    tracking: Any, listener: Any
) -> None:
    await listener.register("rain")
    client = asyncio.create_task(tracking.run_client(FORTY_RUNS))
    await listener.wait_for(12, "run.completed")
    assert not client.done()

    await tracking.kill()
    await tracking.start()
    said = await client

    run_ids = printed(said)
    assert len(run_ids) == 40
    completed = await listener.wait_for(40, "run.completed")
    started = await listener.events("run.started")
    ends = Counter(event["data"]["run_id"] for event in completed)
    begins = Counter(event["data"]["run_id"] for event in started)
    assert set(ends) == run_ids
    assert set(ends.values()) == {1}
    # A client that lost the answer to its create repeats it: that run of nobody is told once as well.
    assert run_ids <= set(begins)
    assert set(begins.values()) == {1}
    assert set(begins) == runs_in_the_store(tracking)


async def test_runs_made_while_the_bus_is_away_are_told_when_it_is_back(
    tracking: Any, listener: Any, nats_server: Any
) -> None:
    await listener.register("rain")
    nats_server.kill()

    said = await tracking.run_client(FORTY_RUNS)
    nats_server.start()

    completed = await listener.wait_for(40, "run.completed")
    assert {event["data"]["run_id"] for event in completed} == printed(said)
    assert len(completed) == len(await listener.wait_for(40, "run.started")) == 40


async def test_it_stops_cleanly_when_told(tracking: Any, listener: Any) -> None:
    await listener.register("rain")

    code = await tracking.kill(signal.SIGTERM)

    assert code == 0, tracking.log
    assert "service.stopped" in tracking.log
    assert "Traceback" not in tracking.log


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process need Linux")
async def test_a_full_disk_is_said_and_heals(tracking: Any, listener: Any) -> None:
    await listener.register("rain")
    folder = tracking.home / "state" / "tracking"
    limit(tracking.process.pid, 65536)

    workspace = {"X-MLFLOW-WORKSPACE": "rain"}
    made = 0
    async with httpx.AsyncClient(base_url=tracking.uri, headers=workspace) as http:
        while (await create_run(http)).status_code == 200:
            made += 1
        told = await tracking.until_ready(503)
        limit(tracking.process.pid, resource.RLIM_INFINITY)
        await tracking.until_ready(200)
        assert (await create_run(http)).status_code == 200

    assert str(folder / "mlflow.db") in told["store"]
    assert "store.failed" in tracking.log
    assert "store.recovered" in tracking.log
    assert len(await listener.wait_for(made + 1, "run.started")) == made + 1


async def test_a_store_that_another_process_holds_is_said_at_start(unstarted: Any) -> None:
    folder = unstarted.home / "state" / "tracking"
    folder.mkdir(parents=True)
    holder = sqlite3.connect(folder / "mlflow.db")
    holder.execute("CREATE TABLE held (x)")
    holder.execute("BEGIN EXCLUSIVE")

    await unstarted.launch()
    async with asyncio.timeout(60):
        code = await unstarted.process.wait()
    holder.close()

    assert code == 1
    assert "another process holds it" in unstarted.log
    assert "Traceback" not in unstarted.log


async def create_run(http: httpx.AsyncClient) -> httpx.Response:
    body = {"experiment_id": "1", "start_time": 1000}
    return await http.post("/api/2.0/mlflow/runs/create", json=body, timeout=60)


def printed(said: str) -> set[str]:
    return {word for word in said.split() if re.fullmatch("[0-9a-f]{32}", word)}


def limit(pid: int, size: int) -> None:
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, hard))


def runs_in_the_store(tracking: Any) -> set[str]:
    store = sqlite3.connect(tracking.home / "state" / "tracking" / "mlflow.db")
    found = {run_id for (run_id,) in store.execute("SELECT run_uuid FROM runs")}
    store.close()
    return found
