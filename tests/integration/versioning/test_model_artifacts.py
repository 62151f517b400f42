# SPDX-License-Identifier: Apache-2.0
"""A model that an unmodified MLflow client registers becomes a version, with real MLflow and real DVC."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from mlops.contracts.tracking import ModelRegistered
from mlops.contracts.versioning import DataVersioned, PullData, RestoreData
from mlops.versioning.adapters.dvc_places import own_places
from mlops.versioning.adapters.mlflow_models import MlflowModels
from servers.mlflow_server import MlflowProcess
from servers.versioning import Versioning

pytestmark = [pytest.mark.mlflow, pytest.mark.timeout(300)]

NAME = "rain's 'ünï' #1"
REGISTER = """
import mlflow, pathlib, sys
class Rain(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[str]) -> list[str]:
        return model_input
mlflow.set_experiment("rain")
with mlflow.start_run() as run:
    pathlib.Path("weights.bin").write_bytes(sys.argv[1].encode() * 1000)
    mlflow.pyfunc.log_model(name="model", python_model=Rain(), artifacts={"weights": "weights.bin"},
        registered_model_name=sys.argv[2], pip_requirements=[])
    print(run.info.run_id)
"""
REGISTER_FILE = """
import mlflow, pathlib
from mlflow import MlflowClient
mlflow.set_experiment("rain")
with mlflow.start_run() as run:
    pathlib.Path("weights.bin").write_bytes(b"lone")
    mlflow.log_artifact("weights.bin")
client = MlflowClient()
client.create_registered_model("lone")
client.create_model_version("lone", f"{run.info.artifact_uri}/weights.bin", run.info.run_id)
"""


@pytest.fixture(scope="module")
def mlflow_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowProcess]:
    server = MlflowProcess(tmp_path_factory.mktemp("mlflow"))
    server.start()
    server.make_workspace("rain")
    yield server
    server.kill()


@pytest.fixture
async def models(mlflow_server: MlflowProcess, tmp_path: Path) -> AsyncIterator[MlflowModels]:
    models = MlflowModels(mlflow_server.uri, own_places(tmp_path / "state"))
    yield models
    await models.close()


@pytest.fixture
async def platform(versioning: Versioning, models: MlflowModels) -> Versioning:
    versioning.start(models)
    await versioning.register()
    return versioning


def register(server: MlflowProcess, folder: Path, weights: str, name: str = "wet") -> str:
    """Log and register a model as people do; return the run."""
    return ran(server, folder, REGISTER, weights, name).split()[-1]


def ran(server: MlflowProcess, folder: Path, script: str, *arguments: str) -> str:
    """Run a script in a process of its own, as people have it; return what it prints."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "MLFLOW_TRACKING_URI": server.uri,
            "MLFLOW_WORKSPACE": "rain",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def registered(version: int, run_id: str = "run-1", name: str = "wet") -> ModelRegistered:
    return ModelRegistered(
        project="rain",
        name=name,
        version=version,
        run_id=run_id,
        source_uri="models:/m-1",
    )


async def test_a_registered_model_is_versioned_with_its_run_and_can_be_restored(
    platform: Versioning, mlflow_server: MlflowProcess, folder: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    run_id = register(mlflow_server, theirs, "first", NAME)
    first = await platform.tell(registered(1, run_id, NAME))
    register(mlflow_server, theirs, "second", NAME)
    second = await platform.tell(registered(2, run_id, NAME))

    assert isinstance(first, DataVersioned)
    assert isinstance(second, DataVersioned)
    assert (first.name, first.version, first.run_id) == (f"model/{NAME}", 1, run_id)
    assert (second.version, second.parent_version) == (2, 1)
    assert not (folder / "models").exists()

    await platform.tell(PullData(project="rain", name=first.name, alias="v1"))

    restored = folder / "models" / NAME
    kept = sorted(restored.rglob("weights.bin"))
    assert [file.read_bytes() for file in kept] == [b"first" * 1000]
    assert (restored / "MLmodel").is_file()
    assert not list(restored.rglob("registered_model_meta"))
    assert sum(1 for file in restored.rglob("*") if file.is_file()) == first.files

    await platform.tell(RestoreData(project="rain", name=first.name, version=2))

    assert [file.read_bytes() for file in kept] == [b"second" * 1000]


async def test_a_model_that_comes_again_is_the_version_it_was(
    platform: Versioning, mlflow_server: MlflowProcess, tmp_path: Path
) -> None:
    register(mlflow_server, tmp_path / "theirs", "first")
    event = registered(1)

    first = await platform.tell(event)
    platform.start(platform.models)
    again = await platform.tell(event)

    assert isinstance(first, DataVersioned)
    assert isinstance(again, DataVersioned)
    assert (again.version, again.hash) == (first.version, first.hash)
    assert len(await platform.versions.known("rain")) == 1
    [alias] = await platform.versions.aliases("rain")
    assert (alias.alias, alias.version) == ("v1", 1)


@pytest.mark.usefixtures("mlflow_server")
async def test_a_model_that_mlflow_no_longer_has_is_passed_over(platform: Versioning) -> None:
    await platform.tell(registered(7))

    assert [m.type for m in platform.bus.published if m.type == "data.versioned"] == []
    assert platform.bus.dead == []


async def test_a_model_that_is_a_single_file_is_versioned_with_it(
    platform: Versioning, mlflow_server: MlflowProcess, folder: Path, tmp_path: Path
) -> None:
    ran(mlflow_server, tmp_path / "theirs", REGISTER_FILE)
    beside = Path(platform.place.cache).parent
    for name, age_s in (("killed", 5 * 3600), ("at-work", 60)):
        (beside / f"mlops-model-{name}").mkdir(parents=True)
        os.utime(beside / f"mlops-model-{name}", (time.time() - age_s,) * 2)

    told = await platform.tell(registered(1, name="lone"))
    assert isinstance(told, DataVersioned)
    await platform.tell(RestoreData(project="rain", name=told.name, version=1))

    assert (told.files, told.size_bytes) == (1, 4)
    assert [one.name for one in beside.glob("mlops-model-*")] == ["mlops-model-at-work"]
    assert (folder / "models" / "lone" / "weights.bin").read_bytes() == b"lone"
