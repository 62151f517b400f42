# SPDX-License-Identifier: Apache-2.0
"""The steps of a federated training: what travels as artifacts, what is enough, and what fails whom."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from mlops.client.steps import federated_aggregate, federated_train, shards
from mlops.client.steps.assignment import Assignment
from mlops.client.steps.door import Door, Project
from mlops.client.steps.errors import PassingError, PermanentError
from mlops.client.steps.folders import Folders
from mlops.client.steps.patience import PatientHttp
from mlops.client.steps.tracking import Run, Tracking
from mlops.client.steps.work import Work
from mlops.contracts.settings import ProjectSettings

ROOT = "workspaces/rain/1/r1/artifacts"
_ARTIFACTS = "/api/2.0/mlflow-artifacts/artifacts/"
TRAIN = (
    'echo "$MLOPS_NODE $MLOPS_ROUND/$MLOPS_ROUNDS $MLOPS_SHARD/$MLOPS_SHARDS" > $MLOPS_UPDATE_DIR/w'
)
MEAN = "mkdir -p $MLOPS_GLOBAL_DIR/deep; cat $MLOPS_UPDATES_DIR/*/w > $MLOPS_GLOBAL_DIR/deep/w"


@dataclass
class Mlflow:
    """One run, what was logged to it, and its artifacts by path."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    posted: list[tuple[str, Any]] = field(default_factory=list)
    status: str = "RUNNING"
    models: list[Any] = field(default_factory=list)

    def posts(self, path: str, body: Any) -> Any:
        self.posted.append((path, body))
        if path == "runs/update":
            self.status = body["status"]
        if path == "runs/search":
            return {"runs": [self.run]}
        return {"models": self.models} if path == "logged-models/search" else {}

    @property
    def run(self) -> dict[str, Any]:
        uri = f"mlflow-artifacts:/{ROOT}"
        return {
            "info": {
                "run_id": "r1",
                "experiment_id": "1",
                "status": self.status,
                "artifact_uri": uri,
            }
        }

    def gets(self, address: str) -> bytes | None:
        parts = urlsplit(address)
        if parts.path.startswith(_ARTIFACTS):
            return self.files.get(unquote(parts.path.removeprefix(_ARTIFACTS)))
        if parts.path.endswith("artifacts/list"):
            return json.dumps(self.listed(parse_qs(parts.query).get("path", [""])[0])).encode()
        return json.dumps({"experiment": {"experiment_id": "1"}}).encode()

    def listed(self, path: str) -> dict[str, Any]:
        below = f"{ROOT}/{path}/" if path else f"{ROOT}/"
        found = {}
        for name in self.files:
            if name.startswith(below):
                first, _, rest = name.removeprefix(below).partition("/")
                found[first] = bool(rest)
        return {"files": [{"path": f"{path}/{n}", "is_dir": is_dir} for n, is_dir in found.items()]}

    def metrics(self) -> dict[tuple[str, int], float]:
        return {
            (one["key"], one["step"]): one["value"]
            for path, body in self.posted
            if path == "runs/log-batch"
            for one in body.get("metrics", [])
        }


@pytest.fixture
def mlflow() -> Iterator[Mlflow]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer(found.gets(self.path))

        def do_PUT(self) -> None:
            name = unquote(self.path.removeprefix(_ARTIFACTS))
            found.files[name] = self.body()
            self.answer(b"{}")

        def do_POST(self) -> None:
            path = self.path.removeprefix("/api/2.0/mlflow/")
            self.answer(json.dumps(found.posts(path, json.loads(self.body()))).encode())

        def body(self) -> bytes:
            return self.rfile.read(int(self.headers["Content-Length"]))

        def answer(self, content: bytes | None) -> None:
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Mlflow(f"http://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    yield found
    http.shutdown()
    thread.join()
    http.server_close()


@dataclass
class Bench:
    """A project that trains together, and its run."""

    mlflow: Mlflow
    folder: Path
    patch: pytest.MonkeyPatch

    def work(self, **federated: Any) -> Work:
        said = {"command": TRAIN, "aggregate": MEAN, **federated}
        settings = {"name": "rain", "federated": said, "serve": {"model": self.model}}
        project = Project(ProjectSettings.model_validate(settings), self.folder)
        given = Assignment("rain", "rain-1", "story", "cause")
        http = PatientHttp("MLflow", self.mlflow.url, {}, limit_s=2)
        return Work(given, project, Door(http, given), Tracking(http, "rain"))

    model = ""

    def train(self, number: int, node: str, round_: int = 1, **federated: Any) -> None:
        told = {"SHARD": number, "SHARDS": 2, "NODE": node, "LABEL": node}
        self._told({**told, "ROUND": round_, "ROUNDS": 2})
        federated_train.perform(self.work(**federated))

    def aggregate(self, round_: int = 1, **federated: Any) -> None:
        self._told({"ROUND": round_, "ROUNDS": 2})
        federated_aggregate.perform(self.work(**federated))

    def artifact(self, path: str) -> str:
        return self.mlflow.files[f"{ROOT}/federated/{path}"].decode()

    def _told(self, names: dict[str, Any]) -> None:
        for name, value in names.items():
            self.patch.setenv(f"MLOPS_{name}", str(value))


@pytest.fixture
def bench(mlflow: Mlflow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(mlflow, tmp_path, monkeypatch)


def test_updates_and_models_travel_from_round_to_round(bench: Bench) -> None:
    bench.train(0, "a")
    bench.train(1, "b")
    bench.aggregate()
    seen = f'cp $MLOPS_GLOBAL_DIR/deep/w {bench.folder}/seen; echo "{{}}" > $MLOPS_UPDATE_DIR/w'
    bench.train(0, "a", 2, command=seen)
    bench.aggregate(2)

    assert bench.artifact("updates/1/b/w") == "b 1/2 1/2\n"
    assert bench.artifact("global/1/deep/w") == "a 1/2 0/2\nb 1/2 1/2\n"
    assert (bench.folder / "seen").read_text() == bench.artifact("global/1/deep/w")
    assert bench.artifact("global/2/deep/w") == "{}\n"


def test_numbers_are_logged_by_machine_and_round(bench: Bench) -> None:
    command = f'{TRAIN}; echo \'{{"loss": 0.5, "bad": "x"}}\' > $MLOPS_UPDATE_DIR/metrics.json'
    bench.train(1, "b", command=command)
    bench.aggregate(aggregate=f"{MEAN}; echo '{{\"loss\": 0.25}}' > $MLOPS_GLOBAL_DIR/metrics.json")

    told = bench.mlflow.metrics()
    assert (told["loss/b", 1], told["loss", 1], told["federated_updates", 1]) == (0.5, 0.25, 1.0)
    assert told["duration_s/b", 1] > 0
    assert "bad/b" not in {name for name, _ in told}


def test_a_shard_that_runs_again_finds_its_update(bench: Bench) -> None:
    bench.train(0, "a")

    bench.train(0, "a", command="exit 1")
    bench.aggregate()
    bench.aggregate(aggregate="exit 1")

    assert bench.artifact("updates/1/a/w") == "a 1/2 0/2\n"


def test_half_an_update_is_none(bench: Bench) -> None:
    bench.train(0, "a")
    bench.mlflow.files[f"{ROOT}/federated/updates/1/b/w"] = b"half"

    bench.aggregate()

    assert bench.artifact("global/1/deep/w") == "a 1/2 0/2\n"


def test_a_shard_that_fails_does_not_fail_the_run(bench: Bench) -> None:
    with pytest.raises(PermanentError, match=r"\[federated\]\.command .* exit status 3"):
        bench.train(1, "b", command="exit 3")
    with pytest.raises(PermanentError, match="left nothing in \\$MLOPS_UPDATE_DIR"):
        bench.train(1, "b", command="true")

    assert bench.mlflow.status == "RUNNING"


def test_too_few_updates_fail_the_run_and_are_named(bench: Bench) -> None:
    bench.train(0, "a")

    with pytest.raises(PermanentError, match=r"round 1 has 1 updates \(a\) and needs 2"):
        bench.aggregate(min_nodes=2)

    assert bench.mlflow.status == "FAILED"


@pytest.mark.parametrize(
    ("aggregate", "said"),
    [("exit 4", r"\[federated\]\.aggregate .* exit status 4"), ("true", "left nothing in")],
)
def test_an_aggregation_that_fails_fails_the_run(bench: Bench, aggregate: str, said: str) -> None:
    bench.train(0, "a")

    with pytest.raises(PermanentError, match=said):
        bench.aggregate(aggregate=aggregate)

    assert bench.mlflow.status == "FAILED"


def test_the_last_round_must_have_logged_the_model_that_is_served(bench: Bench) -> None:
    bench.model = "rain"
    bench.train(0, "a")
    bench.aggregate()
    bench.train(0, "a", 2)

    with pytest.raises(PermanentError, match="logged no model in run r1"):
        bench.aggregate(2)

    bench.mlflow.models = [{"info": {"model_id": "m-1"}}]
    bench.aggregate(2)


def test_a_round_without_the_one_before_is_tried_again_later(bench: Bench) -> None:
    with pytest.raises(PassingError, match="the model of round 1 is not there"):
        bench.train(0, "a", 2)


def test_what_came_damaged_is_not_taken(bench: Bench) -> None:
    bench.train(0, "a")
    bench.mlflow.files[f"{ROOT}/federated/updates/1/a/w"] = b"other"

    with pytest.raises(PassingError, match="came damaged"):
        bench.aggregate()


def test_nothing_is_written_outside_its_folder(bench: Bench) -> None:
    http = PatientHttp("MLflow", bench.mlflow.url, {}, limit_s=1)
    folders = Folders(http, Run("r1", "1", "RUNNING", f"mlflow-artifacts:/{ROOT}"))
    listed = {"files": {"../evil": {"sha256": "", "bytes": 1}}}
    bench.mlflow.files[f"{ROOT}/x/.contents.json"] = json.dumps(listed).encode()

    with pytest.raises(PermanentError, match="outside its folder"):
        folders.get("x", bench.folder)


def test_a_store_that_other_machines_do_not_reach_is_said() -> None:
    http = PatientHttp("MLflow", "http://127.0.0.1:1", {}, limit_s=1)

    with pytest.raises(PermanentError, match="--serve-artifacts"):
        Folders(http, Run("r1", "1", "RUNNING", "/var/mlruns/1/r1/artifacts"))


@pytest.mark.parametrize("environ", [{}, {"MLOPS_ROUND": "0"}, {"MLOPS_ROUND": "-1"}])
def test_a_step_that_nobody_told_its_round_says_so(environ: dict[str, str]) -> None:
    with pytest.raises(PermanentError, match="MLOPS_ROUND"):
        shards.round_of(environ)
