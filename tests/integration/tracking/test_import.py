# SPDX-License-Identifier: Apache-2.0
"""Another MLflow moves in: into a project with its ids, times and files, or whole; and its history starts nothing."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.server, pytest.mark.mlflow, pytest.mark.timeout(240)]

# Somebody's work with plain MLflow, before they knew of us.
BEFORE = """
import os, sys
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
import mlflow, pandas
from mlflow import MlflowClient

class Same(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[float]) -> list[float]:
        return model_input

mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("weather")
client = MlflowClient()
with mlflow.start_run(run_name="parent", tags={"own": "yes"}) as parent:
    mlflow.log_param("depth", 3)
    for step in range(20):
        mlflow.log_metric("accuracy", step / 20, step=step)
    mlflow.log_metric("odd", float("nan"))
    mlflow.log_text("hello", "notes/a.txt")
    mlflow.log_input(mlflow.data.from_pandas(pandas.DataFrame({"x": [1.0]}), name="frame"), context="training")
    mlflow.pyfunc.log_model(name="model", python_model=Same(), registered_model_name="rain")
    with mlflow.start_run(nested=True, run_name="child"):
        mlflow.log_metric("loss", 1.0)
open_ = client.create_run(parent.info.experiment_id, run_name="open").info.run_id
gone = client.create_run(parent.info.experiment_id, run_name="gone").info.run_id
client.delete_run(gone)
client.create_model_version("rain", parent.info.artifact_uri + "/model", open_)
client.set_registered_model_alias("rain", "champion", 1)
client.set_registered_model_tag("rain", "team", "sky")
print(parent.info.run_id, open_)
"""
GO_ON = """
import os, sys
os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
import mlflow
from mlflow import MlflowClient

mlflow.set_tracking_uri(sys.argv[1])
client = MlflowClient()
client.log_metric(sys.argv[2], "accuracy", 0.99, step=99)
client.set_terminated(sys.argv[2])
print(client.create_run(client.get_experiment_by_name("weather").experiment_id, run_name="later").info.run_id)
"""
LOOK = """
import json
import mlflow
from mlflow import MlflowClient

client = MlflowClient()
experiment = client.get_experiment_by_name("weather")
found = client.search_runs([experiment.experiment_id], run_view_type=3, max_results=100)
runs = {run.info.run_name: run for run in found}
parent = runs["parent"]
(dataset,) = parent.inputs.dataset_inputs
model = mlflow.pyfunc.load_model("models:/rain@champion")
print(json.dumps({
    "names": sorted(runs),
    "status": {name: run.info.status for name, run in runs.items()},
    "stages": {name: run.info.lifecycle_stage for name, run in runs.items()},
    "id": parent.info.run_id,
    "params": parent.data.params,
    "history": [[point.step, point.value, point.timestamp] for point in client.get_metric_history(parent.info.run_id, "accuracy")],
    "latest": {name: run.data.metrics.get("accuracy") for name, run in runs.items()},
    "odd": str(parent.data.metrics["odd"]),
    "own": parent.data.tags["own"],
    "child": runs["child"].data.tags["mlflow.parentRunId"] == parent.info.run_id,
    "times": [parent.info.start_time, parent.info.end_time],
    "dataset": dataset.dataset.name,
    "context": dataset.tags[0].value,
    "note": open(client.download_artifacts(parent.info.run_id, "notes/a.txt")).read(),
    "predicted": model.predict([1.0, 2.0]),
    "team": client.get_registered_model("rain").tags["team"],
    "versions": sorted(int(v.version) for v in client.search_model_versions("name = 'rain'")),
    "logged": len(client.search_logged_models([experiment.experiment_id])),
}))
"""
STARTS = ("run.started", "run.completed", "run.failed", "model.registered", "model.promoted")


async def python(script: str, *words: str, folder: Path, more: dict[str, str] | None = None) -> str:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, *words),
        env={"PATH": os.environ["PATH"], "HOME": str(folder), **(more or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
    )
    async with asyncio.timeout(120):
        said, problems = await child.communicate()
    assert child.returncode == 0, problems.decode()
    return said.decode().splitlines()[-1]


async def move_in(tracking: Any, *words: str, code: int = 0) -> dict[str, Any]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mlops.tracking", "import", *words, "--json"),
        env={"PATH": os.environ["PATH"], "MLOPS_HOME": str(tracking.home), **tracking.more},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=tracking.home,
    )
    async with asyncio.timeout(120):
        said, progress = await child.communicate()
    assert child.returncode == code, progress.decode()
    assert b"Traceback" not in progress
    (line,) = said.decode().splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def _found(folder: Path, pattern: str) -> list[Path]:
    return list(folder.glob(pattern))


@dataclass(frozen=True)
class Old:
    """What somebody made with plain MLflow: its store, as a client and as a person name it, and two of its runs."""

    folder: Path
    uri: str
    store: str
    run_id: str
    still_open: str


async def worked(folder: Path, kind: str) -> Old:
    in_files = kind == "files"
    store = folder / ("mlruns" if in_files else "mlflow.db")
    uri = store.as_uri() if in_files else f"sqlite:///{store}"
    return Old(folder, uri, str(store), *(await python(BEFORE, uri, folder=folder)).split())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Old:
    """The work of all tests of this file, done once and kept beside its place: its paths are right there only."""
    old = asyncio.run(worked(tmp_path_factory.mktemp("old"), "database"))
    old.folder.rename(_kept(old))
    return old


def _kept(old: Old) -> Path:
    return old.folder.with_name("old-kept")


@pytest.fixture
def old(made: Old) -> Iterator[Old]:
    shutil.copytree(_kept(made), made.folder)
    yield made
    shutil.rmtree(made.folder)


@pytest.mark.parametrize("kind", ["database", "files"])
async def test_runs_models_and_files_come_and_nothing_is_told(
    tracking: Any, listener: Any, old: Old, tmp_path: Path, kind: str
) -> None:
    await listener.register("rain")
    before = old if kind == "database" else await worked(tmp_path, kind)

    first = await move_in(tracking, before.store, "--project", "rain")
    again = await move_in(tracking, before.store, "--project", "rain")
    came = json.loads((await tracking.run_client(LOOK)).splitlines()[-1])
    await python(GO_ON, before.uri, before.still_open, folder=before.folder)
    third = await move_in(tracking, before.store, "--project", "rain")
    later = json.loads((await tracking.run_client(LOOK)).splitlines()[-1])

    assert (first["runs_new"], first["versions_new"], first["models_new"]) == (4, 2, 1)
    assert (again["runs_new"], again["runs_known"], again["versions_new"]) == (0, 4, 0)
    assert (third["runs_new"], third["runs_known"]) == (1, 4)
    assert first["artifacts_missing"] == []
    assert came["names"] == ["child", "gone", "open", "parent"]
    assert came["status"] == {
        "child": "FINISHED",
        "gone": "RUNNING",
        "open": "RUNNING",
        "parent": "FINISHED",
    }
    assert came["stages"]["gone"] == "deleted"
    assert came["id"] == before.run_id
    assert came["params"] == {"depth": "3"}
    assert [[step, value] for step, value, _ in came["history"]] == [
        [step, step / 20] for step in range(20)
    ]
    assert came["times"][0] <= came["history"][0][2] <= came["times"][1]
    assert (came["odd"], came["own"], came["child"]) == ("nan", "yes", True)
    assert (came["dataset"], came["context"], came["note"]) == ("frame", "training", "hello")
    assert (came["predicted"], came["team"], came["versions"]) == ([1.0, 2.0], "sky", [1, 2])
    assert came["logged"] == 1
    # What the old one did since then comes with the next import.
    assert later["names"] == ["child", "gone", "later", "open", "parent"]
    assert (later["status"]["open"], later["latest"]["open"]) == ("FINISHED", 0.99)
    # History starts nothing, also not where the gate could judge it.
    assert await listener.events(*STARTS) == []


async def test_a_champion_is_rolled_out_on_demand_only_and_once(
    tracking: Any, listener: Any, old: Old
) -> None:
    await listener.register("rain")

    first = await move_in(tracking, old.store, "--project", "rain", "--promote")
    await move_in(tracking, old.store, "--project", "rain", "--promote")

    (promoted,) = await listener.wait_for(1, "model.promoted")
    await asyncio.sleep(6)  # the relay looks again after five seconds
    assert first["promoted"] == ["rain/1"]
    assert promoted["data"]["version"] == 1
    assert promoted["data"]["candidate_metrics"]["accuracy"] == 0.95
    assert "imported from" in promoted["data"]["reason"]
    assert [event["type"] for event in await listener.events(*STARTS)] == ["model.promoted"]


async def test_files_behind_the_old_server_come_with_their_folder(
    tracking: Any, listener: Any, old: Old
) -> None:
    await listener.register("rain")
    store = sqlite3.connect(old.store)
    proxied = "UPDATE {0} SET {1} = replace({1}, ?, 'mlflow-artifacts:')"
    places = {"experiments": "artifact_location", "runs": "artifact_uri"}
    for table, column in {**places, "logged_models": "artifact_location"}.items():
        store.execute(proxied.format(table, column), (str(old.folder / "mlruns"),))
    store.commit()
    store.close()

    without = await move_in(tracking, old.store, "--project", "rain")
    files = ("--artifacts", str(old.folder / "mlruns"))
    with_them = await move_in(tracking, old.store, "--project", "rain", *files)
    came = json.loads((await tracking.run_client(LOOK)).splitlines()[-1])

    assert without["artifacts_copied"] == 0
    assert without["artifacts_missing"] != []
    assert (with_them["artifacts_copied"], with_them["artifacts_missing"]) == (2, [])
    assert (came["note"], came["predicted"]) == ("hello", [1.0, 2.0])


async def test_an_alias_that_is_set_here_stays(tracking: Any, listener: Any, old: Old) -> None:
    await listener.register("rain")
    await move_in(tracking, old.store, "--project", "rain")
    moved = "from mlflow import MlflowClient; MlflowClient().set_registered_model_alias('rain', 'champion', 2)"
    await tracking.run_client(moved)

    again = await move_in(tracking, old.store, "--project", "rain", "--promote")

    assert (again["aliases_kept_here"], again["promoted"]) == (1, [])
    (promoted,) = await listener.wait_for(1, "model.promoted")
    assert promoted["data"]["version"] == 2


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (None, "there is no file or folder"),
        ("text", "file is not a database; move the file away"),
        ("CREATE TABLE x (y)", "is no database of MLflow"),
        (
            "CREATE TABLE alembic_version (version_num); INSERT INTO alembic_version VALUES ('f00')",
            "newer than this installation's; upgrade it first",
        ),
    ],
)
async def test_what_is_no_mlflow_is_refused(
    unstarted: Any, tmp_path: Path, prepare: str | None, says: str
) -> None:
    path = tmp_path / "mlflow.db"
    if prepare == "text":
        path.write_text("text" * 1000)
    elif prepare:
        store = sqlite3.connect(path)
        store.executescript(prepare)
        store.close()

    refused = await move_in(unstarted, str(path), "--project", "rain", code=1)

    assert says in refused["error"]


async def test_an_archived_project_takes_nothing(tracking: Any, listener: Any, old: Old) -> None:
    await listener.register("rain")
    store = sqlite3.connect(tracking.home / "state" / "tracking" / "mlflow.db")
    store.execute("INSERT INTO mlops_closed VALUES ('rain', 'archived')")
    store.commit()
    store.close()

    refused = await move_in(tracking, old.store, "--project", "rain", code=1)

    assert "project 'rain' is archived" in refused["error"]


async def test_a_whole_database_of_plain_mlflow_opens_and_its_runs_make_events(
    unstarted: Any, listener: Any, old: Old
) -> None:
    unstarted.more["TRACKING_STORE_URI"] = old.uri
    unstarted.more["TRACKING_ARTIFACTS"] = str(old.folder / "mlruns")

    await unstarted.start()
    came = json.loads((await unstarted.run_client(LOOK, workspace=None)).splitlines()[-1])
    before = await listener.events(*STARTS)
    ending = f"from mlflow import MlflowClient; MlflowClient().set_terminated({old.still_open!r})"
    await unstarted.run_client(ending, workspace=None)

    (completed,) = await listener.wait_for(1, "run.completed")
    assert (came["id"], came["note"], came["predicted"]) == (old.run_id, "hello", [1.0, 2.0])
    assert before == []
    assert (completed["project"], completed["data"]["run_id"]) == ("default", old.still_open)


async def test_a_bent_database_reads_no_other_folder_and_decides_nothing_here(
    tracking: Any, listener: Any, old: Old
) -> None:
    await listener.register("rain")
    secret = old.folder / "secret"
    secret.mkdir()
    (secret / "key").write_text("secret")
    (notes,) = _found(old.folder, f"mlruns/*/{old.run_id}/artifacts/notes")
    (notes / "link").symlink_to(secret / "key")
    store = sqlite3.connect(old.store)
    store.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid != ?", (str(secret), old.run_id))
    tag = "INSERT INTO model_version_tags (name, version, key, value, workspace) VALUES ('rain', 1, ?, ?, 'default')"
    gate = {"mlops.gate.decision": "rejected", "mlops.gate.candidate": "no number"}
    store.executemany(tag, [*gate.items(), ("own", "yes")])
    store.commit()
    store.close()

    result = await move_in(tracking, old.store, "--project", "rain")

    here = sqlite3.connect(tracking.home / "state" / "tracking" / "mlflow.db")
    tags = dict(here.execute("SELECT key, value FROM model_version_tags WHERE version = 1"))
    here.close()
    kept = [path.name for path in (tracking.home / "artifacts").rglob("*")]
    assert not {"key", "link"} & set(kept)
    assert "a.txt" in kept
    assert len(result["artifacts_missing"]) == 0
    assert (tags["mlops.gate.decision"], tags["own"]) == ("waiting", "yes")
    assert "mlops.gate.candidate" not in tags


async def test_files_that_a_killed_import_left_half_are_completed(
    tracking: Any, listener: Any, old: Old
) -> None:
    await listener.register("rain")
    await move_in(tracking, old.store, "--project", "rain")
    (note,) = _found(tracking.home / "artifacts", f"**/{old.run_id}/artifacts/notes/a.txt")
    (model,) = _found(tracking.home / "artifacts", "**/models/*/artifacts/MLmodel")
    note.write_text("he")
    model.unlink()

    await move_in(tracking, old.store, "--project", "rain")

    assert note.read_text() == "hello"
    assert model.exists()
