# SPDX-License-Identifier: Apache-2.0
"""Labels take a version back: the real monitoring judges on a real bus, the real serving goes back; only Ray is not real."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlops.chassis.bus_nats import NatsBus
from mlops.contracts.gateway import Label, LabelRecorded
from mlops.contracts.monitor_settings import MonitorSettings
from mlops.contracts.serving import Prediction, PredictionLogged
from mlops.contracts.settings import ProjectSettings, ServeSettings
from mlops.contracts.tracking import ModelPromoted
from mlops.contracts.workspaces import ProjectRegistered
from mlops.serving.adapters.memory import MemoryPackages, MemoryReplicas, MemoryTraffic
from mlops.serving.app import Pace, wire
from servers.services import ServiceProcess

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]
PROJECT, WINDOW = "rain", 200


@pytest.fixture
def monitoring(tmp_path: Path, nats_server: Any) -> Iterator[None]:
    found = ServiceProcess("monitoring", tmp_path, nats_server)
    found.start()
    yield
    found.stop()


@pytest.fixture
async def serving(tmp_path: Path, nats_server: Any) -> AsyncIterator[None]:
    bus = bus_of(nats_server, tmp_path, "serving")
    packages, replicas = MemoryPackages(metrics={"accuracy": 0.9}), MemoryReplicas()
    pace = Pace(drain=timedelta(seconds=0.1), idle=timedelta(seconds=0.2))
    parts = wire(bus, packages, replicas, replicas, MemoryTraffic(), door="http://door", pace=pace)
    await bus.start()

    async def tell() -> None:
        async for message in parts.reconciler.messages():
            await bus.publish(message)

    telling = asyncio.create_task(tell())
    yield
    while (
        not telling.done()
    ):  # a cancellation that meets the end of a `wait_for` is lost in Python 3.11
        telling.cancel()
        await asyncio.wait({telling}, timeout=1)
    await parts.packer.close()
    await parts.mender.close()
    await bus.stop()


@pytest.fixture
async def bus(tmp_path: Path, nats_server: Any) -> AsyncIterator[NatsBus]:
    found = bus_of(nats_server, tmp_path, "probe")
    await found.start()
    yield found
    await found.stop()


def bus_of(server: Any, folder: Path, name: str) -> NatsBus:
    return NatsBus(server.url, token=server.token, name=name, outbox=folder / f"{name}.db")


async def first(bus: NatsBus, type_: str, **said: object) -> dict[str, Any]:
    """Return the first event of a type that says this."""
    async with asyncio.timeout(60):
        async for one in bus.follow([type_], PROJECT):
            if said.items() <= one.envelope["data"].items():
                return dict(one.envelope)
    raise AssertionError


async def register(bus: NatsBus, **serve: Any) -> None:
    settings = ProjectSettings(
        name=PROJECT,
        serve=ServeSettings.model_validate({"model": PROJECT, **serve}),
        monitor=MonitorSettings(window=WINDOW),
    )
    await bus.publish(ProjectRegistered(project=PROJECT, settings=settings, revision=1))
    async with asyncio.timeout(60):  # both have heard of it
        seen: set[str] = set()
        async for one in bus.follow(["workspace.provisioned"], PROJECT):
            seen.add(one.envelope["source"].rpartition("/")[2])
            if {"monitoring", "serving"} <= seen:
                return


async def promote(bus: NatsBus, version: int) -> None:
    metrics = {"accuracy": 0.9}
    event = {"name": PROJECT, "version": version, "metric": "accuracy"}
    await bus.publish(ModelPromoted(project=PROJECT, candidate_metrics=metrics, **event))


async def answer(bus: NatsBus, version: int, right: int, rows: int = WINDOW) -> None:
    """Let a version answer so many requests (a whole window), of which so many turn out right."""
    now = datetime.now(UTC)
    ids = [f"{version}-{number}" for number in range(rows)]
    predictions = tuple(
        Prediction(request_id=name, at=now, features={"x": 0.5}, prediction=1) for name in ids
    )
    labels = tuple(
        Label(request_id=name, label=int(place < right), at=now) for place, name in enumerate(ids)
    )
    about = {"project": PROJECT, "model": PROJECT}
    await bus.publish(PredictionLogged(**about, version=version, predictions=predictions))
    await bus.publish(LabelRecorded(**about, labels=labels))


async def routes(bus: NatsBus) -> dict[int, float]:
    answer = await bus.ask("serving", "routes", {})
    return {
        version["version"]: version["weight"]
        for route in answer["routes"]
        for version in route["versions"]
    }


@pytest.mark.usefixtures("monitoring", "serving")
async def test_labels_take_a_version_back_while_the_one_before_is_warm(
    bus: NatsBus,
) -> None:
    await register(bus, rollout="direct", step_hold="1s", keep_warm="1h")
    await promote(bus, 1)
    await first(bus, "deployment.completed", version=1)
    await promote(bus, 2)
    await first(bus, "deployment.completed", version=2)

    await answer(bus, 2, right=100)
    degraded = await first(bus, "performance.degraded", version=2)
    back = await first(bus, "deployment.completed", version=1, previous_version=2)

    assert back["correlationid"] == degraded["correlationid"]
    assert await routes(bus) == {1: 1.0}


@pytest.mark.usefixtures("monitoring", "serving")
async def test_labels_take_back_a_canary_that_does_worse_than_what_answers(bus: NatsBus) -> None:
    await register(bus, rollout="canary", steps=[0.5, 1.0], step_hold="1h")
    await promote(bus, 1)
    await first(bus, "deployment.completed", version=1)
    await promote(bus, 2)
    await first(bus, "deployment.progressed", version=2, phase="canary")

    await answer(bus, 1, right=90, rows=100)
    await answer(bus, 2, right=50, rows=100)
    degraded = await first(bus, "performance.degraded", version=2, against_version=1)
    back = await first(bus, "deployment.reverted", version=2, to_version=1)

    assert back["correlationid"] == degraded["correlationid"]
    assert "that of version 1 is 0.9" in back["data"]["reason"]
    assert await routes(bus) == {1: 1.0}
