# SPDX-License-Identifier: Apache-2.0
"""Unmodified MLflow clients, and a browser's requests, against real MLflow behind the real gateway."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from integration.gateway.conftest import Platform

pytestmark = [pytest.mark.server, pytest.mark.mlflow, pytest.mark.timeout(240)]

MEGABYTE = 1024 * 1024

LOG = """
import json, os, sys
from pathlib import Path
import mlflow, numpy
from mlflow import MlflowClient
from sklearn.linear_model import LogisticRegression

content = os.urandom(20 * 1024 * 1024)
Path("big.bin").write_bytes(content)
mlflow.create_workspace("rainfall")
mlflow.set_workspace("rainfall")
mlflow.set_experiment("rain")
with mlflow.start_run() as run:
    mlflow.log_params({"depth": 3, "rate": 0.1})
    for step in range(20):
        mlflow.log_metric("accuracy", 0.5 + step / 100, step=step)
    mlflow.log_artifact("big.bin", "deep/er")
    model = LogisticRegression().fit(numpy.array([[0.0], [1.0]]), [0, 1])
    mlflow.sklearn.log_model(model, name="model", registered_model_name="rain")
MlflowClient().set_registered_model_alias("rain", "champion", "1")
found = mlflow.search_runs(filter_string="params.depth = '3' and metrics.accuracy > 0.6")
got = mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path="deep/er/big.bin", dst_path="got")
loaded = mlflow.sklearn.load_model("models:/rain@champion")
print(json.dumps({
    "run": run.info.run_id,
    "experiment": run.info.experiment_id,
    "found": len(found),
    "history": len(MlflowClient().get_metric_history(run.info.run_id, "accuracy")),
    "same": Path(got).read_bytes() == content,
    "says": [int(one) for one in loaded.predict(numpy.array([[0.0], [1.0]]))],
}))
"""

SEARCH = """
import json
from mlflow import MlflowClient
try:
    print(json.dumps({"experiments": len(MlflowClient().search_experiments())}))
except Exception as error:
    print(json.dumps({"error": str(error)}))
"""


def client(platform: Platform, folder: Path, script: str, **env: str) -> dict[str, Any]:
    """Run a script that knows nothing but MLflow's own variables; return what it prints last."""
    folder.mkdir(exist_ok=True)
    own = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "MLFLOW_TRACKING_URI": f"{platform.url}/mlflow",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
        **env,
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        cwd=folder,
        env=own,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def peak_kb(platform: Platform, service: str) -> int:
    status = Path(f"/proc/{platform.processes[service].pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_unmodified_clients_work_through_the_gateway(platform: Platform, tmp_path: Path) -> None:
    platform.start_tracking()
    token = {"MLFLOW_TRACKING_TOKEN": platform.token}

    logged = client(platform, tmp_path / "client", LOG, **token)
    by_password = client(
        platform,
        tmp_path / "client",
        SEARCH,
        MLFLOW_TRACKING_USERNAME="ada",
        MLFLOW_TRACKING_PASSWORD=platform.token,
        MLFLOW_WORKSPACE="rainfall",
    )

    assert logged | {"run": "", "experiment": ""} == {
        "run": "",
        "experiment": "",
        "found": 1,
        "history": 20,
        "same": True,
        "says": [0, 1],
    }
    assert by_password == {"experiments": 1}
    place = f"/mlflow/api/2.0/mlflow-artifacts/artifacts/{logged['experiment']}/{logged['run']}"
    _large_files_are_not_held(platform, f"{platform.url}{place}/artifacts/large.bin")


def _large_files_are_not_held(platform: Platform, url: str) -> None:
    headers = {"Authorization": f"Bearer {platform.token}", "X-MLFLOW-WORKSPACE": "rainfall"}
    before = peak_kb(platform, "gateway")
    piece = os.urandom(MEGABYTE)

    sent = httpx.put(url, headers=headers, content=(piece for _ in range(100)), timeout=60)
    got = 0
    with httpx.stream("GET", url, headers=headers, timeout=60) as answer:
        for part in answer.iter_bytes():
            got += len(part)

    assert sent.is_success, sent.text
    assert got == 100 * MEGABYTE
    assert peak_kb(platform, "gateway") - before < 20 * 1024


def test_a_wrong_token_is_what_the_clients_error_says(platform: Platform, tmp_path: Path) -> None:
    wrong = client(platform, tmp_path / "client", SEARCH, MLFLOW_TRACKING_TOKEN="x" * 16)
    none = client(platform, tmp_path / "client", SEARCH)

    assert wrong["error"].startswith("PERMISSION_DENIED: the token is wrong")
    assert none["error"].startswith("UNAUTHENTICATED: no token")


def test_a_client_waits_while_mlflow_starts(platform: Platform, tmp_path: Path) -> None:
    away = httpx.get(
        f"{platform.url}/mlflow/version", headers={"Authorization": f"Bearer {platform.token}"}
    )
    platform.start("tracking", platform.mlflow_port)

    found = client(
        platform,
        tmp_path / "client",
        SEARCH,
        MLFLOW_TRACKING_TOKEN=platform.token,
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="7",
    )

    assert away.status_code == 502
    assert away.json()["error_code"] == "TEMPORARILY_UNAVAILABLE"
    assert found == {"experiments": 1}


def test_a_browser_looks_at_everything_and_changes_nothing(platform: Platform) -> None:
    platform.start_tracking()
    api = "/mlflow/ajax-api/2.0/mlflow"
    page = {"Origin": platform.url, "Sec-Fetch-Site": "same-origin"}
    with httpx.Client(base_url=platform.url, follow_redirects=True) as browser:
        browser.get("/", params={"token": platform.token})

        interface = browser.get("/mlflow")
        script = interface.text.partition('src="static-files/')[2].partition('"')[0]
        workspaces = browser.get("/mlflow/ajax-api/3.0/mlflow/workspaces", headers=page)
        runs = browser.post(f"{api}/runs/search", json={"experiment_ids": ["0"]}, headers=page)
        query = {
            "query": 'query { mlflowGetExperiment(input: {experimentId: "0"}) { experiment { name } } }'
        }
        graphql = browser.post("/mlflow/graphql", json=query, headers=page)
        create = browser.post(f"{api}/experiments/create", json={"name": "x"}, headers=page)
        elsewhere = {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"}
        other = browser.post(f"{api}/runs/search", json={}, headers=elsewhere)

        assert interface.url.path == "/mlflow/"
        assert browser.get(f"/mlflow/static-files/{script}").is_success
        assert workspaces.json()["workspaces"][0]["name"] == "default"
        assert runs.is_success
        name = graphql.json()["data"]["mlflowGetExperiment"]["experiment"]["name"]
        assert name == "Default"
        assert (create.status_code, other.status_code) == (403, 403)


async def test_an_upload_that_breaks_off_is_no_artifact(platform: Platform) -> None:
    platform.start_tracking()
    place = "/mlflow/api/2.0/mlflow-artifacts/artifacts/0/r/artifacts/half.bin"
    head = (
        f"PUT {place} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {platform.token}\r\n"
        "Content-Length: 3000000\r\n\r\n"
    )
    _, writer = await asyncio.open_connection("127.0.0.1", platform.port)
    writer.write(head.encode() + b"x" * 2_000_000)
    await writer.drain()
    await asyncio.sleep(0.5)
    writer.close()
    await writer.wait_closed()
    await asyncio.sleep(0.5)

    async with httpx.AsyncClient() as http:
        headers = {"Authorization": f"Bearer {platform.token}"}
        answer = await http.get(f"{platform.url}{place}", headers=headers)

    assert answer.status_code == 404
