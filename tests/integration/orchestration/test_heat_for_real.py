# SPDX-License-Identifier: Apache-2.0
"""A heat episode replayed through the real agent: pools shrink, work waits and says why, and everything recovers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from integration.orchestration.conftest import calling, running
from servers import heat_episodes
from servers.nats import start_nats

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.mlflow,
    pytest.mark.server,
    pytest.mark.timeout(540),
]
Found = TypeVar("Found")
NODE, POOL = "air", "n_air"
RECOVERS_AFTER_S = 2
# A slot comes back so long after the heat, and up to a quarter of it later.
RECOVER_STEP_S = 20
_SLOT_BACK_S = 60


@pytest.fixture(scope="module")
def site(airflow: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    nats = start_nats(tmp_path_factory.mktemp("nats"))
    try:
        paced = {"ORCHESTRATION_BRIDGE_RECOVER_STEP_S": str(RECOVER_STEP_S)}
        yield from running(airflow, nats, tmp_path_factory.mktemp("home"), **paced)
    finally:
        nats.close()


@pytest.fixture
def caller(site: Any) -> Iterator[Any]:
    yield from calling(site)


@contextmanager
def replaying(site: Any, file: Path, node: str = NODE) -> Iterator[None]:
    """Let the real agent play a recording."""
    env = {
        **os.environ,
        "MLOPS_HOME": str(site.home),
        "NATS_URL": site.nats_url,
        "NATS_TOKEN": site.nats_token,
        "TELEMETRY_AGENT_NODE": node,
        "TELEMETRY_AGENT_REPLAY": str(file),
        "TELEMETRY_AGENT_READ_EVERY_S": "0.5",
        "TELEMETRY_AGENT_SAMPLE_EVERY_S": "2",
        "TELEMETRY_AGENT_IDLE_SAMPLE_EVERY_S": "2",
        "TELEMETRY_AGENT_RECOVER_AFTER_S": str(RECOVERS_AFTER_S),
    }
    with (site.home / "agent.log").open("ab") as log:
        command = [sys.executable, "-m", "mlops.telemetry_agent"]
        agent = subprocess.Popen(command, env=env, stdout=log, stderr=log)
    try:
        yield
    finally:
        agent.terminate()
        agent.wait(15)


def mlops(site: Any, *words: str) -> str:
    """Run the command as a person does; return what it prints."""
    env = {**os.environ, "MLOPS_HOME": str(site.home)}
    env.pop("MLOPS_GATEWAY_URL", None)
    command = [sys.executable, "-m", "mlops.cli", *words]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def until(look: Callable[[], Found | None], what: str, wait_s: float = 60) -> Found:
    deadline = time.monotonic() + wait_s
    while (found := look()) is None:
        assert time.monotonic() < deadline, f"not within {wait_s} s: {what}"
        time.sleep(0.2)
    return found


def episodes(caller: Any, type_: str, count: int) -> Callable[[], list[Any] | None]:
    """Return a look for so many thermal events of the node, the oldest first."""

    def look() -> list[Any] | None:
        params = {"project": NODE, "type": type_, "limit": "50"}
        found = caller.gateway.get("/api/v1/events", params=params).json()
        found.sort(key=lambda event: event["time"])
        return found if len(found) >= count else None

    return look


def pool_slots(airflow: Any) -> int | None:
    """Return how many heavy steps Airflow lets run at once on the node, None before it has a pool."""
    with httpx.Client(base_url=airflow.url, trust_env=False) as client:
        body = {"username": "bridge", "password": airflow.password}
        token = client.post("/auth/token", json=body).json()["access_token"]
        found = client.get(f"/api/v2/pools/{POOL}", headers={"Authorization": f"Bearer {token}"})
    return int(found.json()["slots"]) if found.is_success else None


def slots_are(airflow: Any, wanted: int) -> Callable[[], int | None]:
    """Return a look for so many slots; what it finds is never nought."""

    def look() -> int | None:
        found = pool_slots(airflow)
        return found if found == wanted else None

    return look


def cool_s(caller: Any) -> float | None:
    """Return in how many seconds the bridge expects the node to be cool, None while it cannot tell."""
    told = caller.gateway.get("/api/v1/query/orchestration_bridge/nodes").json()
    found = told["nodes"][NODE]["heat"]["forecast"]["cool_s"]
    return None if found is None else float(found)


def why(site: Any, key: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(mlops(site, "workflow", "why", key, "--json"))
    return found


def said_of(site: Any, project: str) -> list[str]:
    """Return the types that `mlops events tail` shows of a project, in their order."""
    lines = mlops(site, "events", "tail", "-p", project, "--since", "all", "--no-follow", "--json")
    return [json.loads(line)["type"] for line in lines.splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.py").write_text("print('trained')\n")
    return tmp_path


def test_an_episode_is_felt_by_pools_and_work_and_is_over_when_it_is_over(
    airflow: Any, site: Any, caller: Any, folder: Path, tmp_path: Path
) -> None:
    project = caller.register(folder, train={"command": "$MLOPS_PYTHON train.py"})
    recording = heat_episodes.self_made(tmp_path / "episodes.jsonl")

    with replaying(site, recording):
        until(slots_are(airflow, 2), "a pool for the machine that speaks")
        told = until(episodes(caller, "thermal.throttled", 3), "three episodes", 120)
        until(slots_are(airflow, 1), "a smaller pool", 30)
        until(lambda: cool_s(caller), "a forecast of when it is cool", 30)
        key = caller.start(project)
        waits = until(lambda: _held(site, key), "a workflow that waits for the heat to end", 15)

        assert f"{NODE} is at heat level 2" in waits["reason"]
        decision = waits["workflow"]["decision"]
        assert decision["thermal_level"] == 2
        assert 0 < decision["cool_s"] < 60
        assert "heat" in mlops(site, "workflow", "why", key)
        rescheduled = caller.wait(project, "workflow.rescheduled")
        assert rescheduled["data"]["not_before"] is not None

        over = until(episodes(caller, "thermal.recovered", 3), "the end of the third episode", 90)
        caller.wait(project, "workflow.completed")
        assert over[2]["data"]["episode_id"] == told[2]["data"]["episode_id"]
        assert caller.events(project, "workflow.started")[0]["time"] > over[2]["time"]
        until(slots_are(airflow, 2), "the pool as large as before", _SLOT_BACK_S)

    heat = [one for one in said_of(site, NODE) if one.startswith("thermal.")]
    assert heat == ["thermal.throttled", "thermal.recovered"] * 3
    work = [one for one in said_of(site, project) if one.startswith("workflow.")]
    assert work == [
        "workflow.queued",
        "workflow.rescheduled",
        "workflow.started",
        "workflow.completed",
    ]


def test_what_was_seen_on_a_laptop_shrinks_its_pool(
    airflow: Any, site: Any, caller: Any, tmp_path: Path
) -> None:
    recording = heat_episodes.captured(tmp_path / "session.txt")

    with replaying(site, recording):
        [*_, throttled] = until(episodes(caller, "thermal.throttled", 4), "an episode", 60)
        until(slots_are(airflow, 1), "a smaller pool", 30)
        until(episodes(caller, "thermal.recovered", 4), "its end", 90)

    assert throttled["data"]["level"] == 2
    assert "Heavy" in throttled["data"]["reason"]


def _held(site: Any, key: str) -> dict[str, Any] | None:
    found = why(site, key)
    decision = found["workflow"]["decision"] or {}
    return found if decision.get("gate") == "heat" else None
