# SPDX-License-Identifier: Apache-2.0
"""What a step does with the project's command, with a part that is away, and with an environment that lacks something."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlops.client.steps import assignment, command, evaluate, register
from mlops.client.steps.assignment import Assignment
from mlops.client.steps.door import Door, Project
from mlops.client.steps.errors import PassingError, PermanentError, StepError, StoppedError
from mlops.client.steps.patience import PatientHttp
from mlops.client.steps.tracking import Tracking
from mlops.client.steps.work import Work
from mlops.contracts.settings import ProjectSettings

HOUR = timedelta(hours=1)
RAIN = Assignment("rain", "rain-1", "story", "cause")


@dataclass
class Server:
    """A web server that gives the answers it was told, one after the other, and keeps what it was asked.

    What it says of the workflow is apart: steps ask for that again and again.
    """

    url: str
    answers: list[tuple[int, object]] = field(default_factory=list)
    asked: list[tuple[str, str, object]] = field(default_factory=list)
    workflow: tuple[int, object] = (404, {})


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            if self.path.startswith("/api/v1/workflows/"):
                status, reply = found.workflow
            else:
                found.asked.append((self.command, self.path, body))
                status, reply = found.answers.pop(0)
            payload = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        do_GET = do_POST = answer  # noqa: N815 - the names http.server calls

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Server(f"http://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, args=(0.02,))
    thread.start()
    yield found
    http.shutdown()
    thread.join()
    http.server_close()


def door(server: Server, limit_s: float = 5) -> Door:
    return Door(PatientHttp("the gateway", server.url, {}, limit_s=limit_s), RAIN)


def tracking(server: Server) -> Tracking:
    return Tracking(PatientHttp("MLflow", server.url, {}, limit_s=5), "rain")


def test_the_command_gets_its_own_environment_without_the_platforms() -> None:
    platform_bin = str(Path(sys.executable).parent)
    own = {
        "PATH": f"{platform_bin}:/usr/bin",
        "VIRTUAL_ENV": "/platform",
        "PYTHONPATH": "/platform/src",
        "AIRFLOW__API_AUTH__JWT_SECRET": "secret",
        "NATS_TOKEN": "secret",
        "HOME": "/home/ann",
        "MLFLOW_RUN_ID": "of somebody else",
    }

    env = command.environment(own, {"MLFLOW_RUN_ID": "run-1"})

    assert env == {
        "PATH": "/usr/bin",
        "HOME": "/home/ann",
        "MLFLOW_RUN_ID": "run-1",
        "MLOPS_PYTHON": sys.executable,
        "PYTHONUNBUFFERED": "1",
    }


def test_a_command_runs_in_the_projects_folder(tmp_path: Path) -> None:
    status = command.run("echo $NAME > made; exit 3", tmp_path, {"NAME": "rain"}, HOUR)

    assert status == 3
    assert (tmp_path / "made").read_text() == "rain\n"


def test_a_command_that_lasts_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    line = "(sleep 1.5; touch late) & sleep 60"

    with pytest.raises(PermanentError, match=r"ran longer than 0:00:00\.3"):
        command.run(line, tmp_path, dict(os.environ), timedelta(seconds=0.3))

    time.sleep(1.6)
    assert not (tmp_path / "late").exists()


def test_a_stop_while_the_command_is_being_started_ends_it_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[subprocess.Popen[bytes]] = []

    class Interrupted(subprocess.Popen[bytes]):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            begun.append(self)
            signal.raise_signal(signal.SIGTERM)

    def stop(*_: object) -> None:
        raise StoppedError("told to stop")

    before = signal.signal(signal.SIGTERM, stop)
    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    try:
        with pytest.raises(StoppedError):
            command.run("exec sleep 60", tmp_path, dict(os.environ), HOUR)
        assert signal.getsignal(signal.SIGTERM) is stop
        assert begun[0].poll() == -signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, before)
        begun[0].kill()
        begun[0].wait()


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(PermanentError, match="register the project again"):
        command.run("true", tmp_path / "gone", {}, HOUR)


def test_a_part_that_is_away_for_a_moment_is_asked_again(server: Server) -> None:
    settings = {"settings": {"name": "rain"}, "path": "/projects/rain"}
    server.answers = [(503, {}), (502, {}), (200, {"project": settings})]

    project = door(server).project()

    assert (project.settings.name, str(project.folder)) == ("rain", "/projects/rain")
    assert len(server.asked) == 3


def test_a_part_that_stays_away_is_named_with_its_address(server: Server) -> None:
    server.answers = [(503, {})] * 9

    with pytest.raises(PassingError, match=rf"the gateway at {server.url} was away for 0\.5 s"):
        door(server, limit_s=0.5).project()


def test_an_unknown_project_is_told_in_the_gateways_words(server: Server) -> None:
    server.answers = [(404, {"error": {"what": "no project", "which": "rain", "fix": "register"}})]

    with pytest.raises(PermanentError, match="no project; rain; register"):
        door(server).project()


def test_data_are_versioned_as_part_of_the_story(server: Server) -> None:
    versioned = {"type": "data.versioned", "data": {"version": 3, "hash": "abc"}}
    server.answers = [(202, {"id": "x"}), (200, []), (200, [versioned])]

    version = door(server).add_data("days", "days.csv")

    assert (version.version, version.hash) == (3, "abc")
    body = server.asked[0][2]
    assert isinstance(body, dict)
    assert (body["correlation_id"], body["causation_id"]) == ("story", "cause")
    assert body["data"] == {"name": "days", "path": "days.csv"}


def test_refused_data_fail_for_good(server: Server) -> None:
    refused = {"type": "command.refused", "data": {"reason": "days.csv is outside the project"}}
    server.answers = [(202, {"id": "x"}), (200, [refused])]

    with pytest.raises(PermanentError, match="outside the project"):
        door(server).add_data("days", "days.csv")


@pytest.mark.parametrize(("status", "family"), [(401, PassingError), (404, PermanentError)])
def test_a_gateway_that_refuses_the_question_is_not_asked_for_an_hour(
    server: Server, status: int, family: type[StepError]
) -> None:
    refusal = {"error": {"what": "not for you", "fix": "look at the token"}}
    server.answers = [(202, {"id": "x"}), (status, refusal)]

    with pytest.raises(family, match="not for you; look at the token"):
        door(server).add_data("days", "days.csv")


def test_a_new_token_is_worth_another_try(server: Server) -> None:
    server.answers = [(401, {"error": "wrong token"}), (401, {"error": "wrong token"})]

    with pytest.raises(PassingError, match="wrong token"):
        door(server).project()
    with pytest.raises(PassingError, match="wrong token"):
        door(server).add_data("days", "days.csv")


def work(server: Server, folder: Path, **settings: object) -> Work:
    said = ProjectSettings.model_validate({"name": "rain", **settings})
    return Work(RAIN, Project(said, folder), door(server), tracking(server))


def of_run(**metrics: float | str) -> dict[str, object]:
    data = {"metrics": [{"key": name, "value": value} for name, value in metrics.items()]}
    return {"info": {"run_id": "r1", "experiment_id": "1", "status": "RUNNING"}, "data": data}


EXPERIMENT = (200, {"experiment": {"experiment_id": "1"}})


def test_a_run_that_cannot_be_registered_has_failed(server: Server, tmp_path: Path) -> None:
    refused = {"error_code": "INVALID_PARAMETER_VALUE", "message": "no such source"}
    model = {"models": [{"info": {"model_id": "m-1"}}]}
    server.answers = [EXPERIMENT, (200, {"runs": [of_run()]}), (200, model), (200, {})]
    server.answers += [(200, {}), (400, refused), (200, {})]

    with pytest.raises(PermanentError, match="no such source"):
        register.perform(work(server, tmp_path, serve={"model": "rain"}))

    assert isinstance(server.asked[-1][2], dict)
    assert server.asked[-1][2]["status"] == "FAILED"


@pytest.mark.parametrize("value", ["NaN", 1.7976931348623157e308])
def test_a_metric_that_is_no_number_fails_the_run(
    server: Server, tmp_path: Path, value: float | str
) -> None:
    run = of_run(accuracy=value)
    server.answers = [EXPERIMENT, (200, {"runs": [run]}), (404, {"error_code": NONE}), (200, {})]
    server.answers += [(200, {"run": run}), (200, {})]

    with pytest.raises(PermanentError, match=r"accuracy is .*, which the gate cannot compare"):
        evaluate.perform(work(server, tmp_path, serve={"model": "rain"}))

    assert isinstance(server.asked[-1][2], dict)
    assert server.asked[-1][2]["status"] == "FAILED"


NONE = "RESOURCE_DOES_NOT_EXIST"


def test_a_lost_answer_to_create_makes_no_second_run(server: Server) -> None:
    run = {"info": {"run_id": "r1", "experiment_id": "1", "status": "RUNNING"}, "data": {}}
    experiment = {"experiment": {"experiment_id": "1"}}
    server.answers = [(200, experiment), (200, {}), (502, {}), (200, {"runs": [run]})]

    found = tracking(server).run_of("rain-1", {"mlops.workflow_key": "rain-1"})

    assert found.run_id == "r1"
    created = [path for _, path, _ in server.asked if path.endswith("runs/create")]
    assert len(created) == 1


def test_a_version_of_the_same_run_is_kept(server: Server) -> None:
    run = {"info": {"run_id": "r1", "experiment_id": "1", "status": "RUNNING"}, "data": {}}
    server.answers = [(200, {"run": run}), (200, {"model_versions": [{"version": "4"}]})]
    mlflow = tracking(server)

    assert mlflow.register("rain", mlflow.run("r1"), "models:/m-1", "m-1") == 4


def test_no_champion_is_not_an_error(server: Server) -> None:
    missing = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such model"}
    server.answers = [(404, missing)]

    assert tracking(server).champion("rain") is None


def test_an_assignment_names_what_is_missing() -> None:
    with pytest.raises(PermanentError, match="MLOPS_WORKFLOW_KEY is not set"):
        assignment.read({"MLOPS_PROJECT": "rain"})
    odd = {"MLOPS_PROJECT": "rain", "MLOPS_WORKFLOW_KEY": "k", "MLOPS_WORKFLOW_ATTEMPT": "two"}
    with pytest.raises(PermanentError, match="MLOPS_WORKFLOW_ATTEMPT is 'two'"):
        assignment.read(odd)


def run_step(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "MLOPS_HOME": str(home), "MLOPS_PROJECT": "rain"}
    return subprocess.run(
        [sys.executable, "-m", "mlops.client.steps", *arguments],
        env={**env, "MLOPS_WORKFLOW_KEY": "rain-1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_unknown_step_lists_the_steps(tmp_path: Path) -> None:
    ended = run_step("dance", home=tmp_path)

    assert ended.returncode == 64
    assert "one step is needed: data, train, evaluate, register, fed" in ended.stderr
    assert "; got dance" in ended.stderr


def test_without_a_platform_the_step_says_so_and_may_be_tried_again(tmp_path: Path) -> None:
    ended = run_step("train", home=tmp_path)

    assert ended.returncode == 69
    assert "mlops up" in ended.stderr


def test_sigterm_takes_the_command_along_and_marks_the_run(server: Server, tmp_path: Path) -> None:
    project = {"settings": {"name": "rain", "train": {"command": LASTING}}, "path": str(tmp_path)}
    run = {"info": {"run_id": "r1", "experiment_id": "1", "status": "RUNNING"}, "data": {}}
    server.answers = [
        (200, {"project": project}),
        (200, {"experiment": {"experiment_id": "1"}}),
        (200, {"runs": [run]}),
        (200, {}),
    ]
    (tmp_path / "endpoints.json").write_text(
        json.dumps({"gateway": server.url, "mlflow": server.url})
    )
    (tmp_path / "credentials.json").write_text(json.dumps({"gateway_token": "token"}))
    env = {"MLOPS_HOME": str(tmp_path), "MLOPS_PROJECT": "rain", "MLOPS_WORKFLOW_KEY": "rain-1"}
    with subprocess.Popen(
        [sys.executable, "-m", "mlops.client.steps", "train"],
        env={**os.environ, **env},
        stderr=subprocess.PIPE,
        text=True,
    ) as step:
        deadline = time.monotonic() + 20
        while not (tmp_path / "began").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        step.send_signal(signal.SIGTERM)

        _, said = step.communicate(timeout=20)

    assert step.returncode == 143
    assert (tmp_path / "stopped").exists()
    assert "told to stop" in said
    assert server.asked[-1][2] is not None
    assert json.dumps(server.asked[-1][2]).startswith('{"run_id": "r1", "status": "KILLED"')


LASTING = "trap 'touch stopped; exit 1' TERM; touch began; sleep 60 & wait"
