# SPDX-License-Identifier: Apache-2.0
"""The client over real HTTP against scripted answers: retries what is safe, and says what failed and what to do."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from mlops.client import MLOpsClient, MLOpsClientError
from mlops.client.endpoints import Endpoints
from mlops.client.errors import NoAnswerError, NotRunningError, RefusedError


@dataclass
class Script:
    """What the server answers, in order, and what it was asked."""

    answers: list[tuple[int, Any]] = field(default_factory=list)
    seen: list[tuple[str, str, Any]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    url: str = ""
    raw: bytes = b""


@pytest.fixture
def script() -> Iterator[Script]:
    told = Script()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("content-length", "0"))
            body = json.loads(self.rfile.read(length)) if length else None
            told.seen.append((self.command, self.path, body))
            told.tokens.add(self.headers["authorization"])
            status, content = told.answers.pop(0)
            payload = told.raw or json.dumps(content).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_POST = do_GET  # noqa: N815 - the name http.server looks for

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    told.url = f"http://127.0.0.1:{server.server_port}"
    yield told
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def client(script: Script) -> Iterator[MLOpsClient]:
    with MLOpsClient("rainfall", Endpoints(script.url, "secret")) as made:
        yield made


def event(type_: str, **data: Any) -> dict[str, Any]:
    return {"id": "e", "type": type_, "data": data}


def test_prediction_names_project_and_columns(client: MLOpsClient, script: Script) -> None:
    output = {"name": "prediction", "shape": [2], "datatype": "INT64", "data": [0, 1]}
    script.answers.append((200, {"outputs": [output]}))

    found = client.predict([{"t": 1.0}, {"t": 2.0}], model="rain", request_id="day-1")

    ((method, path, body),) = script.seen
    assert found == [0, 1]
    assert (method, path) == ("POST", "/v2/models/rainfall.rain/infer")
    assert body["id"] == "day-1"
    assert body["inputs"] == [{"name": "t", "shape": [2], "datatype": "FP64", "data": [1.0, 2.0]}]
    assert script.tokens == {"Bearer secret"}


def test_gateway_that_is_away_for_a_moment_is_asked_again(
    client: MLOpsClient, script: Script
) -> None:
    script.answers += [(503, {"error": "no version is ready"}), (202, {"ids": ["1"], "labels": 1})]

    client.log_label("day-1", 1, model="rain")

    assert len(script.seen) == 2
    assert script.seen[1][2] == {"project": "rainfall", "model": "rain", "labels": {"day-1": 1}}


def test_command_sent_again_keeps_its_id(client: MLOpsClient, script: Script) -> None:
    script.answers += [(502, {}), (202, {"id": "c"})]

    client.command("cmd.workflow.start", {})

    assert script.seen[0][2]["id"] == script.seen[1][2]["id"]


def test_refusal_says_what_which_and_the_fix(client: MLOpsClient, script: Script) -> None:
    error = {"what": "no such project", "which": "rainfall", "fix": "register it"}
    script.answers.append((404, {"error": error}))

    with pytest.raises(RefusedError) as caught:
        client.get_status()

    assert caught.value.component == "gateway"
    assert str(caught.value) == "gateway: get status: no such project: rainfall (register it)"


def test_refused_command_names_the_service_that_refused(
    client: MLOpsClient, script: Script
) -> None:
    refused = event("command.refused", refused_by="versioning", reason="no file data/x.csv")
    script.answers += [(202, {"id": "c"}), (200, [refused])]

    with pytest.raises(RefusedError, match=r"versioning: cmd\.data\.add: no file data/x\.csv"):
        client.dvc_add("data/x.csv")


def test_answer_that_does_not_come_in_time_is_told_apart(
    client: MLOpsClient, script: Script
) -> None:
    script.answers += [(202, {"id": "c"}), (200, [])]

    with pytest.raises(NoAnswerError, match=r"data\.pushed"):
        client.dvc_push("rain", wait_s=0)


def test_large_data_is_asked_about_again_and_again(client: MLOpsClient, script: Script) -> None:
    script.answers += [(202, {"id": "c"}), (200, []), (200, []), (200, [event("data.versioned")])]

    assert client.dvc_add("data/large")["type"] == "data.versioned"

    asked = [path for _, path, _ in script.seen[1:]]
    assert len(asked) == 3
    assert all("/c/result?timeout_s=60.0&" in path for path in asked)


def test_workflow_is_queued_and_waited_for(client: MLOpsClient, script: Script) -> None:
    queued = event("workflow.queued", workflow_key="w-1", why="by hand")
    script.answers += [(202, {"id": "c"}), (200, [queued]), (404, {"error": {"what": "unknown"}})]
    script.answers.append((200, {"workflow_key": "w-1", "state": "completed"}))

    found = client.wait(client.submit_workflow(why="by hand"), timeout_s=10)

    assert (found.key, found.state) == ("w-1", "completed")


def test_failed_workflow_brings_its_diagnosis(client: MLOpsClient, script: Script) -> None:
    failed = {"workflow_key": "w-1", "state": "failed", "diagnosis": "no such file: train.py"}
    script.answers.append((200, failed))

    with pytest.raises(RefusedError, match=r"no such file: train\.py"):
        client.wait("w-1")


def test_waiting_outlasts_a_gateway_that_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops.client.transport._PAUSE_S", 0.001)
    states = ["started", *["away"] * 6, "completed"]

    def answer(_: httpx.Request) -> httpx.Response:
        state = states.pop(0)
        if state == "away":
            raise httpx.ConnectError("refused")
        return httpx.Response(200, json={"workflow_key": "w-1", "state": state})

    where = Endpoints("http://127.0.0.1:1", "secret")
    with MLOpsClient("rain", where, transport=httpx.MockTransport(answer)) as client:
        assert client.wait("w-1", timeout_s=30).state == "completed"


def test_waiting_for_a_gateway_that_was_never_there_ends_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mlops.client.transport._PAUSE_S", 0.001)
    with (
        MLOpsClient("rain", Endpoints("http://127.0.0.1:9", "secret")) as client,
        pytest.raises(NotRunningError, match="does not answer"),
    ):
        client.wait("w-1")


def test_endless_workflow_is_given_up(client: MLOpsClient, script: Script) -> None:
    script.answers += [(200, {"workflow_key": "w-1", "state": "started"})]

    with pytest.raises(NoAnswerError, match="w-1 is started"):
        client.wait("w-1", timeout_s=0.1)


def test_declined_workflow_says_why(client: MLOpsClient, script: Script) -> None:
    declined = event("workflow.declined", reason="cooldown until 12:00")
    script.answers += [(202, {"id": "c"}), (200, [declined])]

    with pytest.raises(RefusedError, match="cooldown"):
        client.submit_workflow()


def test_register_sends_the_settings_of_the_project_file(
    client: MLOpsClient, script: Script, tmp_path: Path
) -> None:
    (tmp_path / "mlops.toml").write_text('name = "snow"\n[retrain]\ncooldown = "5m"\n')
    script.answers += [(202, {"id": "c"}), (200, [event("project.registered")])]

    client.register(tmp_path)

    body = script.seen[0][2]
    assert (body["project"], body["data"]["path"]) == ("snow", str(tmp_path))
    assert body["data"]["settings"]["retrain"]["cooldown"] == "300s"
    assert client.project == "snow"


def test_deployment_that_failed_is_no_success(client: MLOpsClient, script: Script) -> None:
    failed = event("deployment.failed", reason="no such version: rain 9")
    script.answers += [(202, {"id": "c"}), (200, [failed])]

    with pytest.raises(RefusedError, match="no such version: rain 9"):
        client.deploy_model("rain", 9)


def test_waiting_with_a_wrong_token_says_so_at_once(client: MLOpsClient, script: Script) -> None:
    script.answers.append((401, {"error": {"what": "wrong token", "fix": "see credentials.json"}}))

    with pytest.raises(RefusedError, match="wrong token"):
        client.wait("w-1", timeout_s=5)


def test_names_cannot_leave_their_place_in_the_path(client: MLOpsClient, script: Script) -> None:
    script.answers += [(200, {}), (200, {"outputs": [{"shape": [1], "data": [1]}]})]

    client.explain("../status?a=b#c")
    client.predict([{"t": 1}], model="rain/versions/1")

    assert [path for _, path, _ in script.seen] == [
        "/api/v1/explain/..%2Fstatus%3Fa%3Db%23c",
        "/v2/models/rainfall.rain%2Fversions%2F1/infer",
    ]


def test_labels_of_numpy_and_times_are_sent_as_json_knows_them(
    client: MLOpsClient, script: Script
) -> None:
    at, labels = datetime(2026, 1, 1, 12, tzinfo=UTC), np.array([1, 2])
    script.answers += [(202, {}), (202, {}), (202, {})]

    client.log_labels(dict(zip(["day-1"], labels, strict=False)), "rain")
    client.log_labels([{"request_id": "day-1", "label": np.float32(0.5), "at": at}], "rain")

    several: dict[str, Any] = {"day-1": np.array([0.5, math.nan]), "day-2": [1, None, 2.5]}
    client.log_labels(several, "rain")

    assert script.seen[2][2]["labels"] == {"day-1": [0.5, None], "day-2": [1, None, 2.5]}
    assert script.seen[0][2]["labels"] == {"day-1": 1}
    assert script.seen[1][2]["labels"] == [
        {"request_id": "day-1", "label": 0.5, "at": "2026-01-01T12:00:00+00:00"}
    ]


@pytest.mark.parametrize("label", [math.nan, math.inf, {1}, Decimal(1), None])
def test_label_that_no_message_can_hold_is_refused_here(client: MLOpsClient, label: Any) -> None:
    with pytest.raises(RefusedError, match="day-1"):
        client.log_label("day-1", label, model="rain")


def test_answer_that_is_not_json_is_one_clear_error(client: MLOpsClient, script: Script) -> None:
    script.answers.append((200, None))
    script.raw = b"<html>"

    with pytest.raises(MLOpsClientError, match=r"not the gateway's.*<html>"):
        client.get_status()


@pytest.mark.parametrize("url", ["http://localhost:port", "localhost:8090", ""])
def test_address_that_is_none_is_said(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops.client.transport._PAUSE_S", 0.001)

    with (
        pytest.raises(NotRunningError, match="gateway"),
        MLOpsClient("rain", Endpoints(url, "secret")) as client,
    ):
        client.get_status()


def test_nobody_there_is_one_clear_error(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops.client.transport._PAUSE_S", 0.001)
    with (
        MLOpsClient("rainfall", Endpoints("http://127.0.0.1:9", "secret")) as client,
        pytest.raises(NotRunningError, match="does not answer"),
    ):
        client.list_deployments()

    assert issubclass(NotRunningError, MLOpsClientError)
    assert script.seen == []


def test_import_is_light() -> None:
    heavy = "mlflow dvc ray bentoml evidently torch numpy pandas nats httpx pydantic mlx sklearn"
    code = (
        "import sys; import mlops.client; from mlops.client import MLOpsClient; "
        "from mlops.client.errors import RefusedError; MLOpsClient('rain').close(); "
        f"print([n for n in {heavy.split()} if n in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_logging_needs_no_heavy_library(tmp_path: Path) -> None:
    heavy = "mlflow dvc ray bentoml evidently torch numpy pandas nats pydantic mlx sklearn"
    code = (
        "import sys; from mlops.client import MLOpsClient\n"
        "with MLOpsClient('rain').start_run() as run: run.log_metrics({'loss': 1.0}, step=1)\n"
        f"print([n for n in {heavy.split()} if n in sys.modules])"
    )
    env = {
        "MLOPS_SPOOL": str(tmp_path / "spool"),
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "MLOPS_FLUSH_TIMEOUT_S": "0",
        "HOME": str(tmp_path),
    }

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=env,
        cwd=tmp_path,
    )

    assert done.stdout.strip() == "[]"
