# SPDX-License-Identifier: Apache-2.0
"""Artifacts on S3, behind the same door: clients need no credentials, models are told with what their files say."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.server, pytest.mark.mlflow, pytest.mark.timeout(240)]

WORK = """
import json, os, pathlib, tempfile
import mlflow
from mlflow import MlflowClient

class Same(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: list[float]) -> list[float]:
        return model_input

mlflow.set_experiment("rain")
client = MlflowClient()
big = os.urandom(9_000_000)
with mlflow.start_run() as run:
    folder = pathlib.Path(tempfile.mkdtemp())
    (folder / "big.bin").write_bytes(big)
    mlflow.log_artifacts(folder, "deep")
    mlflow.log_text("hello", "notes/a.txt")
    mlflow.log_metric("accuracy", 0.8)
    mlflow.pyfunc.log_model(name="model", python_model=Same(), registered_model_name="rain", pip_requirements=["mlflow"])
back = pathlib.Path(client.download_artifacts(run.info.run_id, "deep/big.bin")).read_bytes()
print(json.dumps({
    "listed": sorted(item.path for item in client.list_artifacts(run.info.run_id)),
    "same": back == big,
    "predicted": mlflow.pyfunc.load_model("models:/rain/1").predict([1.0]),
    "uri": run.info.artifact_uri,
    "run_id": run.info.run_id,
}))
"""
UPLOAD = """
import os
os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "1"
import mlflow
mlflow.set_experiment("rain")
with mlflow.start_run():
    mlflow.log_metric("accuracy", 0.8)
    try:
        mlflow.log_text("hello", "a.txt")
    except Exception as error:
        print("refused:", error)
"""
COLLECT = """
import json, os, sys
import mlflow
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.cli import cli

run_id = sys.argv[1] if len(sys.argv) > 1 else os.environ["RUN"]
MlflowClient().delete_run(run_id)
words = ["gc", "--backend-store-uri", os.environ["STORE"], "--tracking-uri", os.environ["MLFLOW_TRACKING_URI"]]
result = CliRunner().invoke(cli, [*words, "--run-ids", run_id, "--workspace", "rain"])
print(result.exit_code, result.output)
"""


@pytest.fixture
async def tracking(unstarted: Any, s3: Any) -> Any:
    unstarted.more.update(s3.environment)
    unstarted.more["TRACKING_ARTIFACTS"] = s3.bucket("artifacts") + "/mlops"
    await unstarted.start()
    return unstarted


def objects(folder: Path) -> list[str]:
    bucket = folder / "buckets" / "artifacts"
    return sorted(str(path.relative_to(bucket)) for path in bucket.rglob("*") if path.is_file())


async def test_artifacts_go_to_s3_and_come_back(
    tracking: Any, listener: Any, tmp_path: Path
) -> None:
    await listener.register("rain")

    said = json.loads((await tracking.run_client(WORK)).splitlines()[-1])

    (registered,) = await listener.wait_for(1, "model.registered")
    assert said["listed"] == ["deep", "notes"]
    assert said["same"]
    assert said["predicted"] == [1.0]
    assert said["uri"].startswith("mlflow-artifacts:/workspaces/rain/")
    assert registered["data"]["flavors"] == ["python_function"]
    assert registered["data"]["size_bytes"] > 0
    assert '"inputs"' in registered["data"]["signature"]
    kept = objects(tmp_path)
    assert [path for path in kept if path.endswith("deep/big.bin")]
    assert all(path.startswith("mlops/workspaces/rain/") for path in kept)
    assert not (tracking.home / "artifacts").exists()
    # What is deleted is deleted there too.
    store = f"sqlite:///{tracking.home / 'state' / 'tracking' / 'mlflow.db'}"
    collected = await python(COLLECT, tracking, {"STORE": store, "RUN": said["run_id"]})
    assert collected.startswith("0 "), collected
    assert [path for path in objects(tmp_path) if said["run_id"] in path] == []


async def test_a_backup_names_artifacts_on_s3_and_copies_them_on_demand(
    tracking: Any, listener: Any, tmp_path: Path
) -> None:
    await listener.register("rain")
    await tracking.run_client(WORK)

    without = await command(tracking, "backup", str(tmp_path / "without"))
    with_them = await command(tracking, "backup", str(tmp_path / "with"), "--artifacts")

    assert (without["files"], without["artifacts_included"]) == (1, False)
    assert without["artifacts"] == "s3://artifacts/mlops"
    copied = tmp_path / "with" / "artifacts"
    found = sorted(str(path.relative_to(copied)) for path in copied.rglob("*") if path.is_file())
    assert [f"mlops/{path}" for path in found] == objects(tmp_path)
    assert with_them["files"] == len(found) + 1


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "correct AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ACCESS_KEY_ID": "WRONG"}, "correct AWS_ACCESS_KEY_ID"),
        ({"TRACKING_ARTIFACTS": "s3://no-such-bucket/mlops"}, "create the bucket"),
        ({"AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9"}, "correct AWS_ENDPOINT_URL_S3"),
    ],
)
async def test_what_s3_refuses_is_said_and_costs_only_the_upload(
    unstarted: Any, s3: Any, listener: Any, wrong: dict[str, str], says: str
) -> None:
    unstarted.more.update(s3.environment)
    unstarted.more["TRACKING_ARTIFACTS"] = s3.bucket("artifacts") + "/mlops"
    unstarted.more.update(wrong)
    await unstarted.launch()
    told = await unstarted.until_ready(503)
    await listener.register("rain")

    said = await unstarted.run_client(UPLOAD)

    (completed,) = await listener.wait_for(1, "run.completed")
    assert "refused:" in said
    assert told["artifacts"].startswith("artifacts s3://")
    assert says in told["artifacts"]
    assert "artifacts.failed" in unstarted.log
    assert completed["data"]["metrics"] == {"accuracy": 0.8}


async def command(tracking: Any, *words: str) -> dict[str, Any]:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "mlops.tracking", *words, "--json"),
        env={"PATH": os.environ["PATH"], "MLOPS_HOME": str(tracking.home), **tracking.more},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(120):
        said, progress = await child.communicate()
    assert child.returncode == 0, progress.decode()
    found: dict[str, Any] = json.loads(said)
    return found


async def python(script: str, tracking: Any, more: dict[str, str]) -> str:
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script),
        env={**tracking.client("rain"), **more},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=tracking.home,
    )
    async with asyncio.timeout(120):
        said, _ = await child.communicate()
    return said.decode()
