# SPDX-License-Identifier: Apache-2.0
"""Answers of Airflow that a healthy one seldom gives, over real HTTP; the rest is in tests/conformance."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlops.orchestration_bridge.adapters.airflow import AirflowPipelines
from mlops.orchestration_bridge.adapters.airflow_files import Installation
from mlops.orchestration_bridge.adapters.airflow_rest import AirflowRest
from mlops.orchestration_bridge.errors import OrchestratorAwayError, PipelineNotReadyError
from mlops.orchestration_bridge.ports.pipelines import Order, Outcome

RUN = "/api/v2/dags/rain__train/dagRuns/rain-1"
TASK = {"task_id": "train", "state": "failed", "end_date": "2026-01-01T12:00:00Z", "try_number": 1}
FAILED = (200, {"state": "failed", "end_date": "2026-01-01T12:00:00Z"})
XCOM = f"{RUN}/taskInstances/train/xcomEntries/left"
NOTHING = (404, {"detail": "XCom entry with key: `left` not found"})
WANTED = Order("rain", "rain-1", "train", "rain", "story", "cause", "")


@dataclass
class Airflow:
    """What it answers on each path: a status and JSON, or for a log its lines."""

    url: str
    paths: dict[str, tuple[int, Any]] = field(default_factory=dict)


@pytest.fixture
def airflow() -> Iterator[Airflow]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, body = found.paths[self.path.partition("?")[0]]
            if isinstance(body, list):
                events = [{"event": line} for line in body]
                streamed = self.headers["Accept"] == "application/x-ndjson"
                text = "\n".join(map(json.dumps, events)) if streamed else {"content": events}
                body = text
            payload = (body if isinstance(body, str) else json.dumps(body)).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = answer  # noqa: N815 - the names http.server calls

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Airflow(f"http://127.0.0.1:{http.server_port}")
    found.paths["/auth/token"] = (201, {"access_token": "token"})
    thread = threading.Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    yield found
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
async def rest(airflow: Airflow) -> AsyncIterator[AirflowRest]:
    found = AirflowRest(airflow.url, "bridge", "secret")
    yield found
    await found.close()


@pytest.fixture
def pipelines(rest: AirflowRest, tmp_path: Path) -> AirflowPipelines:
    return AirflowPipelines(rest, Installation(tmp_path, tmp_path, "python"))


async def test_a_dag_file_that_cannot_be_read_at_the_moment_is_waited_for(
    airflow: Airflow, pipelines: AirflowPipelines
) -> None:
    refused = {"detail": "Dag with dag_id: 'rain__train' has import errors and cannot be triggered"}
    airflow.paths["/api/v2/dags/rain__train/dagRuns"] = (400, refused)
    errors = [{"filename": "/dags/mlops_projects.py", "stack_trace": "File\nDagBag import timeout"}]
    airflow.paths["/api/v2/importErrors"] = (200, {"import_errors": errors})

    with pytest.raises(PipelineNotReadyError, match=r"mlops_projects\.py: DagBag import timeout"):
        await pipelines.start(WANTED)


async def test_of_an_endless_log_only_the_end_is_kept(
    airflow: Airflow, rest: AirflowRest, pipelines: AirflowPipelines
) -> None:
    log = ["before", "Output:", *(f"epoch {number}" for number in range(50_000)), "out of luck"]
    airflow.paths[RUN] = FAILED
    airflow.paths[f"{RUN}/taskInstances"] = (200, {"task_instances": [TASK]})
    airflow.paths[f"{RUN}/taskInstances/train/logs/1"] = (200, log)
    airflow.paths[XCOM] = NOTHING

    lines = await rest.log("rain__train", "rain-1", "train", 1)
    outcome = await pipelines.look("rain", "rain-1")

    assert lines[-1] == "out of luck"
    assert len(lines) <= 2000
    assert outcome is not None
    assert outcome.diagnosis.endswith("epoch 49999\nout of luck")


async def test_a_command_that_prints_output_loses_none_of_its_lines(
    airflow: Airflow, rest: AirflowRest
) -> None:
    log = ["Running command", "Output:", "loss 0.3", "Output:", "file.bin"]
    airflow.paths[f"{RUN}/taskInstances/train/logs/1"] = (200, log)

    lines = await rest.log("rain__train", "rain-1", "train", 1)

    assert lines == ["loss 0.3", "Output:", "file.bin"]


async def test_a_log_that_cannot_be_read_still_leaves_the_step(
    airflow: Airflow, pipelines: AirflowPipelines
) -> None:
    airflow.paths[RUN] = FAILED
    airflow.paths[f"{RUN}/taskInstances"] = (200, {"task_instances": [TASK]})
    airflow.paths[f"{RUN}/taskInstances/train/logs/1"] = (500, {"detail": "no space left"})
    airflow.paths[XCOM] = NOTHING

    outcome = await pipelines.look("rain", "rain-1")

    assert outcome is not None
    assert outcome.step == "train"
    assert "its log cannot be read" in outcome.diagnosis


async def test_an_end_whose_tasks_cannot_be_asked_for_is_looked_at_again(
    airflow: Airflow, pipelines: AirflowPipelines
) -> None:
    airflow.paths[RUN] = FAILED
    airflow.paths[f"{RUN}/taskInstances"] = (503, {"detail": "starting"})

    with pytest.raises(OrchestratorAwayError):
        await pipelines.look("rain", "rain-1")


@pytest.mark.parametrize(
    ("pushed", "log", "expected"),
    [
        ((200, {"key": "left", "value": "saved"}), ["mlops: train: left"], (True, True, False)),
        ((200, {"key": "left", "value": '"bare"'}), ["mlops: train: left"], (True, False, False)),
        (NOTHING, ["Command exited with return code 65"], (False, False, False)),
        (NOTHING, ["epoch 3"], (False, False, True)),
    ],
)
async def test_how_a_step_ended_is_told_apart(
    airflow: Airflow,
    pipelines: AirflowPipelines,
    pushed: tuple[int, Any],
    log: list[str],
    expected: tuple[bool, bool, bool],
) -> None:
    airflow.paths[RUN] = FAILED
    airflow.paths[f"{RUN}/taskInstances"] = (200, {"task_instances": [TASK]})
    airflow.paths[f"{RUN}/taskInstances/train/logs/1"] = (200, log)
    airflow.paths[XCOM] = pushed

    outcome = await pipelines.look("rain", "rain-1")

    assert outcome is not None
    assert (outcome.left, outcome.saved, outcome.mute) == expected


async def test_each_attempt_is_a_run_of_its_own(
    airflow: Airflow, pipelines: AirflowPipelines
) -> None:
    second = "/api/v2/dags/rain__train/dagRuns/rain-1.2"
    airflow.paths[RUN] = FAILED
    airflow.paths["/api/v2/dags/rain__train/dagRuns"] = (200, {"dag_run_id": "rain-1.2"})
    airflow.paths[second] = (200, {"state": "running"})

    run = await pipelines.start(replace(WANTED, attempt=2))
    outcome = await pipelines.look("rain", "rain-1", 2)

    assert run.run_id == "rain-1.2"
    assert outcome == Outcome(completed=None)
