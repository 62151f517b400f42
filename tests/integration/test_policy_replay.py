# SPDX-License-Identifier: Apache-2.0
"""A replay of what a real bus has recorded: real monitoring judges, the real bridge decides; only Airflow is not real."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops.chassis.bus_nats import NatsBus
from mlops.chassis.errors import UnavailableError
from mlops.contracts.gateway import Label, LabelRecorded
from mlops.contracts.message import Message
from mlops.contracts.monitor_settings import MonitorSettings
from mlops.contracts.serving import DeploymentCompleted, Prediction, PredictionLogged
from mlops.contracts.settings import ProjectSettings, RetrainSettings, TrainSettings
from mlops.contracts.workspaces import ProjectRegistered
from mlops.orchestration_bridge.adapters.memory import FakePipelines
from mlops.orchestration_bridge.app import wire
from servers.programs import free_port, until
from servers.services import ServiceProcess

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]
PROJECT, WINDOW = "rain", 200
PAUSE = timedelta(milliseconds=50)


@dataclass
class Live:
    """A bus with both services on it, and a probe that speaks and listens."""

    bus: NatsBus
    home: Path
    pipelines: FakePipelines = field(default_factory=FakePipelines)
    windows: int = 0

    async def first(self, type_: str, **said: object) -> dict[str, Any]:
        async with asyncio.timeout(60):
            async for one in self.bus.follow([type_], PROJECT):
                if said.items() <= one.envelope["data"].items():
                    return dict(one.envelope)
        raise AssertionError

    async def window(self, right: float) -> dict[str, Any]:
        """Let the model answer a whole window, this share of it right; return how it was measured."""
        now, number = datetime.now(UTC), self.windows
        self.windows += 1
        ids = [f"{number}-{row}" for row in range(WINDOW)]
        rows = tuple(
            Prediction(request_id=n, at=now, features={"x": 1.0}, prediction=1) for n in ids
        )
        truth = tuple(
            Label(request_id=name, label=int(row < right * WINDOW), at=now)
            for row, name in enumerate(ids)
        )
        about = {"project": PROJECT, "model": PROJECT}
        await self.say(PredictionLogged(**about, version=1, predictions=rows))
        await self.say(LabelRecorded(**about, labels=truth))
        async with asyncio.timeout(60):
            async for one in self.bus.follow(["performance.measured"], PROJECT):
                if one.envelope["data"]["window"]["index"] == number:
                    return dict(one.envelope)
        raise AssertionError

    async def say(self, message: Message) -> None:
        await self.bus.publish(message)

    async def mlops(self, *words: str) -> Any:
        command = [sys.executable, "-m", "mlops.cli", "--home", str(self.home), *words, "--json"]
        done = await asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


@pytest.fixture
def monitoring(tmp_path: Path, nats_server: Any) -> Iterator[None]:
    found = ServiceProcess("monitoring", tmp_path, nats_server)
    found.start()
    yield
    found.stop()


@pytest.fixture
def home(tmp_path: Path, nats_server: Any) -> Path:
    found = tmp_path / "home"
    found.mkdir()
    (found / "endpoints.json").write_text(json.dumps({"nats": nats_server.url}))
    (found / "credentials.json").write_text(json.dumps({"nats_token": nats_server.token}))
    return found


@pytest.fixture
def door(tmp_path: Path, nats_server: Any, home: Path) -> Iterator[None]:
    """Run the gateway and the register of projects, where the command line finds them."""
    port, processes = free_port(), []
    token = "token-of-the-gateway-0123456789"  # of this test only
    for service, its_port in (("gateway", port), ("workspaces", free_port())):
        env = {"MLOPS_HOME": str(home), "MLOPS_HTTP_PORT": str(its_port)}
        env |= {"NATS_URL": nats_server.url, "NATS_TOKEN": nats_server.token}
        env["GATEWAY_TOKEN"] = token
        with (tmp_path / f"{service}.log").open("wb") as log:
            command = [sys.executable, "-m", f"mlops.{service}"]
            processes.append(
                subprocess.Popen(command, env=os.environ | env, stdout=log, stderr=log)
            )
    endpoints = {"nats": nats_server.url, "gateway": f"http://127.0.0.1:{port}"}
    (home / "endpoints.json").write_text(json.dumps(endpoints))
    secrets = {"nats_token": nats_server.token, "gateway_token": token}
    (home / "credentials.json").write_text(json.dumps(secrets))
    until(lambda: _answers(port), 60, (tmp_path / "gateway.log").read_text)
    yield
    for process in processes:
        process.terminate()
    for process in processes:
        process.wait(30)


@pytest.fixture
async def live(tmp_path: Path, nats_server: Any, home: Path) -> AsyncIterator[Live]:
    bus = NatsBus(nats_server.url, token=nats_server.token, name="b", outbox=tmp_path / "b.db")
    found = Live(bus, home)
    dispatcher = wire(bus, found.pipelines, pause=PAUSE)
    await bus.start()

    async def tell() -> None:
        while True:
            # Where the bus is slow to answer: again, as services do.
            with contextlib.suppress(UnavailableError):
                async for message in dispatcher.messages():
                    await bus.publish(message)

    telling = asyncio.create_task(tell())
    yield found
    # A cancellation that meets the end of a `wait_for` is lost in Python 3.11.
    while not telling.done():
        telling.cancel()
        await asyncio.wait({telling}, timeout=1)
    with contextlib.suppress(asyncio.CancelledError):
        telling.result()
    await bus.stop()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).is_success
    except httpx.HTTPError:
        return False


async def begun(live: Live) -> None:
    """Register a project with a long cooldown, and deploy a version that promises 0.9."""
    settings = ProjectSettings(
        name=PROJECT,
        train=TrainSettings(command="python train.py"),
        monitor=MonitorSettings(window=WINDOW),
        retrain=RetrainSettings(cooldown=timedelta(hours=6)),
    )
    registered = ProjectRegistered(
        project=PROJECT, settings=settings, path="/projects/rain", revision=1
    )
    await live.say(registered)
    for component in ("monitoring", "orchestration_bridge"):
        await live.first("workspace.provisioned", component=component)
    about = {"project": PROJECT, "model": PROJECT, "deployment_id": "d1", "endpoint": "/x"}
    await live.say(
        DeploymentCompleted(**about, version=1, metric="accuracy", metrics={"accuracy": 0.9})
    )


@pytest.mark.usefixtures("monitoring")
async def test_a_recorded_story_is_decided_again_as_it_was_and_otherwise_with_other_settings(
    live: Live,
) -> None:
    await begun(live)
    await live.window(right=0.9)
    await live.window(right=0.6)  # retrained
    queued = await live.first("workflow.queued")
    await live.first("workflow.started")
    live.pipelines.finish(queued["data"]["workflow_key"])
    await live.first("workflow.completed")
    await live.window(right=0.6)  # declined: cooling down
    alarm = (await live.first("workflow.declined"))["causationid"]
    await live.window(right=0.87)  # within the limits

    tried = ("--set", "retrain.cooldown=0s", "--set", "monitor.accuracy.drop=0.02,0.05")
    found = await live.mlops("policy", "simulate", "-p", PROJECT, "--since", "all", *tried)

    assert found["recorded"] == {"decisions": 2, "agreed": 2, "different": 0, "differences": []}
    assert found["happened"]["retrainings"] == 1
    by_name = {one["name"]: one for one in found["policies"]}
    quick = by_name["retrain.cooldown=0s monitor.accuracy.drop=0.05"]
    assert [one["trigger_id"] for one in quick["decisions"] if one["accepted"]][-1] == alarm
    assert (quick["retrainings"], quick["degraded_windows"]) == (2, 2)
    strict = by_name["retrain.cooldown=0s monitor.accuracy.drop=0.02"]
    assert strict["degraded_windows"] == 3


@pytest.mark.usefixtures("door")
async def test_people_ask_what_an_event_would_do_and_it_is_not_sent(live: Live) -> None:
    settings = {"name": PROJECT, "train": {"command": "python train.py"}}
    wish = {"settings": settings, "path": str(live.home)}
    await live.mlops("events", "publish", "cmd.project.register", json.dumps(wish), "-p", PROJECT)
    await live.first("workspace.provisioned", component="orchestration_bridge")
    at = datetime.now(UTC).isoformat()
    window = {"index": 0, "rows": WINDOW, "first_at": at, "last_at": at}
    alarm = {"model": PROJECT, "version": 1, "metric": "accuracy", "value": 0.6, "threshold": 0.85}
    about = ("performance.degraded", json.dumps({**alarm, "window": window}), "-p", PROJECT)

    said = await live.mlops("policy", "test", *about)
    shown = await live.mlops("policy", "show", "-p", PROJECT)

    assert said["verdict"] == "queued"
    assert "accuracy of rain 1 is 0.6, below 0.85" in said["reason"]
    assert shown["settings"]["retrain"]["cooldown"] == "600s"
    assert (shown["queue"]["used_today"], shown["queue"]["workflows"]) == (0, [])
    assert [one async for one in live.bus.follow(["workflow.queued"], PROJECT, live=False)] == []
