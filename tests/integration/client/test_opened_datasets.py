# SPDX-License-Identifier: Apache-2.0
"""A run says which version of a dataset it has opened, to a real MLflow, whoever began the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.mlflow, pytest.mark.timeout(180)]

SETUP = """
import hashlib, httpx, pathlib
from mlops.client.endpoints import Endpoints
content = b"day\\n1\\n"
oid = hashlib.md5(content).hexdigest()
objects = pathlib.Path("cache").absolute()
(objects / oid[:2]).mkdir(parents=True, exist_ok=True)
(objects / oid[:2] / oid[2:]).write_bytes(content)
def gateway(request):
    days = {"project": "rain", "name": "days", "hash": oid, "size_bytes": 6, "path": "days.csv"}
    if request.url.path.endswith("/open"):
        return httpx.Response(200, json={"ready": True, "version": 3, "objects": str(objects), **days})
    if request.url.path.endswith("/versions"):
        newest = [{**days, "version": 9, "hash": "newer"}, {**days, "name": "wind", "version": 1}]
        return httpx.Response(200, json={"versions": newest, "older": 0})
    return httpx.Response(404, json={"error": "nothing"})
where = Endpoints("http://gateway", "secret")
client = MLOpsClient("rain", where, transport=httpx.MockTransport(gateway))
"""
OPENED = """
    data = client.open_dataset("days", version=3)
    assert data.table().num_rows == 1
    print(f'oid={oid}')
"""


def told(said: str, what: str) -> str:
    [found] = [line for line in said.splitlines() if line.startswith(f"{what}=")]
    return found.removeprefix(f"{what}=")


def test_a_run_that_is_open_is_told(place: Any) -> None:
    said = place.run(SETUP + "with client.start_run(hardware=False) as run:" + OPENED + "    run_id = run.wait_for_id()\nclient.close()\nprint(f'run={run_id}')")  # fmt: skip

    oid, run_id = told(said, "oid"), told(said, "run")
    assert place.tags(run_id)["mlops.dataset.days"] == f"3@{oid}"


def test_a_run_that_begins_later_has_read_what_was_opened_not_what_is_newest(place: Any) -> None:
    said = place.run(SETUP + "if True:" + OPENED + "with client.start_run() as run:\n    run_id = run.wait_for_id()\n    time.sleep(2)\nclient.close()\nprint(f'run={run_id}')")  # fmt: skip

    oid, run_id = told(said, "oid"), told(said, "run")
    tags = place.tags(run_id)
    assert tags["mlops.dataset.days"] == f"3@{oid}"
    assert tags["mlops.dataset.wind"] == f"1@{oid}"


def test_a_run_of_plain_mlflow_is_told_too(place: Any, tmp_path: Path) -> None:
    script = SETUP + "import mlflow\nmlflow.set_experiment('plain')\nwith mlflow.start_run() as run:" + OPENED + "print(f'run={run.info.run_id}')"  # fmt: skip

    said = place.run(script, MLFLOW_WORKSPACE="rain", MLFLOW_DISABLE_TELEMETRY="true")

    oid, run_id = told(said, "oid"), told(said, "run")
    assert place.tags(run_id)["mlops.dataset.days"] == f"3@{oid}"
    assert (tmp_path / "cache").is_dir()
