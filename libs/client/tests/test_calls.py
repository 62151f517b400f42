# SPDX-License-Identifier: Apache-2.0
"""What the client makes of a project's file, of an absent platform, and of versions that nobody named."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops.client import MLOpsClient, create_client
from mlops.client.aio import AsyncMLOpsClient
from mlops.client.endpoints import Endpoints
from mlops.client.errors import (
    BadInputError,
    NoAnswerError,
    NotRunningError,
    ProjectFileError,
    RefusedError,
)
from mlops.client.mlflow_rest import access

WHERE = Endpoints("http://127.0.0.1:1", "secret")
TOML = 'name = "rain"\n[serve]\nmodel = "rainy"\n[data]\ndatasets = { days = "days.csv" }\n'


def client_of(folder: Path, answer: Callable[[httpx.Request], Any]) -> MLOpsClient:
    def answered(request: httpx.Request) -> httpx.Response:
        found = answer(request)
        return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)

    return MLOpsClient("rain", WHERE, folder=folder, transport=httpx.MockTransport(answered))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mlops.toml").write_text(TOML)
    return tmp_path


def test_label_goes_to_the_model_that_the_project_serves(project: Path) -> None:
    seen: list[Any] = []

    def answer(request: httpx.Request) -> Any:
        seen.append(json.loads(request.content))
        return {}

    with client_of(project, answer) as one:
        one.log_label("day-1", 1)

    assert seen == [{"project": "rain", "model": "rainy", "labels": {"day-1": 1}}]


def test_project_that_serves_nothing_says_what_to_write(tmp_path: Path) -> None:
    (tmp_path / "mlops.toml").write_text('name = "rain"\n')

    with (
        client_of(tmp_path, lambda _: {}) as one,
        pytest.raises(BadInputError, match=r"\[serve\]\.model"),
    ):
        one.predict([{"t": 1.0}])


class Platform:
    """Answers for a rollout: the version of a model, its command, and how it goes on."""

    def __init__(self, *states: str) -> None:
        self.states = list(states)
        self.sent: list[dict[str, Any]] = []

    def __call__(self, request: httpx.Request) -> Any:
        path = request.url.path
        if path == "/api/v1/query/tracking/model":
            return {"model": {"champion": 3, "latest": 4}}
        if path == "/api/v1/commands":
            self.sent.append(json.loads(request.content))
            return {"id": "c"}
        if path.endswith("/result"):
            data = {"deployment_id": "d", "model": "rainy", "version": 3, "endpoint": "/v2"}
            return [{"type": "deployment.started", "data": data}]
        state = self.states.pop(0)
        if state == "away":
            return httpx.Response(503)
        return {"deployments": [{"deployment_id": "d", "state": state, "reason": "too slow"}]}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlops.client.transport._PAUSE_S", 0.001)
    monkeypatch.setattr("mlops.client.api.models._POLL_S", 0.01)
    monkeypatch.setattr("mlops.client.api.link._LOOK_S", 0.001)


def test_deployment_of_the_champion_is_waited_for(project: Path) -> None:
    platform = Platform("started", "completed")

    with client_of(project, platform) as one:
        rollout = one.deploy_model("rainy")
        done = rollout.wait(5)

    assert rollout.tag == "rain/rainy:3"
    assert platform.sent[0]["data"] == {"model": "rainy", "version": 3, "why": ""}
    assert done["state"] == "completed"


def test_rollout_that_is_taken_back_says_why(project: Path) -> None:
    with (
        client_of(project, Platform("started", "reverted")) as one,
        pytest.raises(RefusedError, match="rain/rainy:7 reverted: too slow"),
    ):
        one.deploy_model("rainy", 7).wait(5)


class Versions:
    """Answers for a dataset with changes that no version holds, and for the pulls that are tried one after the other."""

    def __init__(self, *outcomes: str) -> None:
        self.outcomes = list(outcomes)

    def __call__(self, request: httpx.Request) -> Any:
        if request.url.path == "/api/v1/commands":
            return {"id": "c"}
        if request.url.path.endswith("/versions"):
            return {"versions": [{"name": "days", "version": 1, "path": "days.csv"}]}
        outcome = self.outcomes.pop(0)
        if not outcome:
            return []
        if outcome == "restored":
            return [{"type": "data.restored", "data": {"name": "days"}}]
        return [
            {"type": "command.refused", "data": {"refused_by": "versioning", "reason": outcome}}
        ]


CHANGED = "'days.csv' has changes that no version holds; add it first"


def test_force_puts_a_changed_file_aside_instead_of_losing_it(project: Path) -> None:
    (project / "days.csv").write_text("mine")
    (project / "days.csv.local").symlink_to("nowhere")

    with client_of(project, Versions(CHANGED, "restored")) as one:
        one.dvc_pull(force=True)

    assert (project / "days.csv.local1").read_text() == "mine"
    assert not (project / "days.csv").exists()


def test_what_was_put_aside_comes_back_when_the_version_does_not_come(project: Path) -> None:
    (project / "days.csv").write_text("mine")

    with (
        client_of(project, Versions(CHANGED, "the remote is away")) as one,
        pytest.raises(RefusedError, match="the remote is away"),
    ):
        one.dvc_pull(force=True)

    assert (project / "days.csv").read_text() == "mine"
    assert not (project / "days.csv.local").exists()


@pytest.mark.parametrize(
    ("outcome", "error"),
    [("", NoAnswerError), ("the remote is away", RefusedError), ("denied", RefusedError)],
)
def test_what_is_not_put_back_is_said_to_be_aside(
    project: Path, outcome: str, error: type[Exception]
) -> None:
    (project / "days.csv").write_text("mine")
    versions = Versions(CHANGED, outcome)

    def answer(request: httpx.Request) -> Any:
        if outcome and len(versions.outcomes) == 1 and request.url.path.endswith("/result"):
            if outcome == "denied":
                return httpx.Response(403, json={"error": {"what": "the token is wrong"}})
            (project / "days.csv").write_text("half of it")
        return versions(request)

    with (
        client_of(project, answer) as one,
        pytest.raises(error, match=r"what was there is kept as .*days\.csv\.local"),
    ):
        one.dvc_pull(force=True, wait_s=0)

    assert (project / "days.csv.local").read_text() == "mine"
    assert (project / "days.csv").exists() == (outcome == "the remote is away")


@pytest.mark.parametrize("force", [True, False])
def test_a_file_without_changes_of_its_own_is_not_touched(project: Path, *, force: bool) -> None:
    (project / "days.csv").write_text("mine")

    with client_of(project, Versions("restored")) as one:
        one.dvc_pull("days", force=force)

    assert (project / "days.csv").read_text() == "mine"


def test_changes_are_not_put_aside_without_force(project: Path) -> None:
    (project / "days.csv").write_text("mine")

    with (
        client_of(project, Versions(CHANGED)) as one,
        pytest.raises(RefusedError, match="no version holds"),
    ):
        one.dvc_pull()

    assert (project / "days.csv").read_text() == "mine"


class StartedAgain:
    """Takes a command, is away for some questions about it, and then knows what came of it."""

    def __init__(self, away: int) -> None:
        self.away = away
        self.commands = 0

    def __call__(self, request: httpx.Request) -> Any:
        if request.url.path == "/api/v1/commands":
            self.commands += 1
            return {"id": "c"}
        self.away -= 1
        if self.away >= 0:
            raise httpx.ConnectError("connection refused", request=request)
        return [{"type": "data.versioned", "data": {"name": "days", "version": 1}}]


def test_a_gateway_that_is_started_again_meanwhile_ends_no_wait(project: Path) -> None:
    gateway = StartedAgain(away=10)

    with client_of(project, gateway) as one:
        added = one.dvc_add("days.csv")

    assert added["data"] == {"name": "days", "version": 1}
    assert gateway.commands == 1


def test_a_gateway_that_stays_away_is_told_with_the_fix(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlops.client.api.link._AWAY_S", 0.0)

    with (
        client_of(project, StartedAgain(away=1000)) as one,
        pytest.raises(NotRunningError, match="does not answer"),
    ):
        one.dvc_add("days.csv")


def test_async_client_is_the_same_client(project: Path) -> None:
    async def use() -> list[Any]:
        async with AsyncMLOpsClient(client_of(project, Platform("completed"))) as one:
            return await one.list_deployments()

    assert asyncio.run(use())[0]["state"] == "completed"


def test_absent_platform_stops_nobody_until_it_is_needed(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MLOPS_HOME", "MLOPS_GATEWAY_URL", "MLOPS_PROJECT"):
        monkeypatch.delenv(name, raising=False)

    with MLOpsClient.from_project(folder=project) as one:
        assert one.project == "rain"
        assert one.get_workspace_path() == project
        with pytest.raises(NotRunningError, match="mlops up"):
            one.get_status()
        with pytest.raises(BadInputError, match="no open run"):
            one.log_metrics({"loss": 1.0})


def test_name_needs_no_file_and_a_file_needs_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLOPS_PROJECT", raising=False)
    monkeypatch.setenv("MLOPS_HOME", str(tmp_path / "none"))

    assert create_client("snow").project == "snow"
    with pytest.raises(ProjectFileError):
        MLOpsClient.from_project()
    monkeypatch.setenv("MLOPS_PROJECT", "hail")
    assert MLOpsClient.from_project().project == "hail"


def test_secrets_go_only_where_they_belong() -> None:
    where = Endpoints("http://gate:8080", "gate-token", {"gateway": "http://other", "mlflow": "x"})
    env = {"MLFLOW_TRACKING_URI": "https://u:p@ml:5000/", "MLFLOW_TRACKING_TOKEN": "ml-token"}

    own = access.find(where, env)
    behind = access.find(where, {})
    other = access.to("http://evil", where, env)

    assert own is not None
    assert behind is not None
    assert (own.uri, own.headers["Authorization"][:6]) == ("https://ml:5000", "Basic ")
    assert (behind.uri, behind.headers) == (
        "http://gate:8080/mlflow",
        {"Authorization": "Bearer gate-token"},
    )
    assert other.headers == {}
    assert "token" not in repr(behind)
