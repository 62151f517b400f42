# SPDX-License-Identifier: Apache-2.0
"""The service as a process on a real bus: killed in the middle, it tells everything once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlops.chassis.bus_nats import NatsBus
from mlops.contracts.gateway import Label, LabelRecorded
from mlops.contracts.monitor_settings import MonitorSettings, PerformanceSettings
from mlops.contracts.serving import DeploymentCompleted, Prediction, PredictionLogged
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.workspaces import ProjectRegistered
from servers.services import ServiceProcess

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]

WINDOW = 200
NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
def process(tmp_path: Path, nats_server: Any) -> Iterator[ServiceProcess]:
    found = ServiceProcess("monitoring", tmp_path, nats_server)
    found.start()
    yield found
    found.kill()


async def send_window(bus: NatsBus, first: int, right: int) -> None:
    ids = [str(i) for i in range(first, first + WINDOW)]
    predictions = tuple(
        Prediction(request_id=name, at=NOON, features={"x": 0.5}, prediction=1) for name in ids
    )
    labels = tuple(
        Label(request_id=name, label=int(i < right), at=NOON) for i, name in enumerate(ids)
    )
    await bus.publish(
        PredictionLogged(project="weather", model="rain", version=1, predictions=predictions)
    )
    await bus.publish(LabelRecorded(project="weather", model="rain", labels=labels))


async def told(bus: NatsBus, type_: str) -> list[int]:
    found = [one async for one in bus.follow([type_], live=False)]
    return [int(one.envelope["data"]["window"]["index"]) for one in found]


async def until_told(bus: NatsBus, type_: str, indices: list[int]) -> None:
    async with asyncio.timeout(60):
        while await told(bus, type_) != indices:
            await asyncio.sleep(0.2)


async def begin(bus: NatsBus) -> None:
    patient = PerformanceSettings(label_horizon=timedelta(hours=1))
    settings = ProjectSettings(
        name="weather", monitor=MonitorSettings(window=WINDOW, accuracy=patient)
    )
    await bus.publish(ProjectRegistered(project="weather", settings=settings, revision=1))
    async with asyncio.timeout(60):
        while not [one async for one in bus.follow(["workspace.provisioned"], live=False)]:
            await asyncio.sleep(0.2)
    await bus.publish(
        DeploymentCompleted(
            project="weather",
            deployment_id="d",
            model="rain",
            version=1,
            endpoint="/x",
            metrics={"accuracy": 0.9},
        )
    )


async def send_batch(bus: NatsBus, first: int) -> None:
    """Send 20 rows, every tenth answer wrong, and their labels before them."""
    ids = range(first, first + 20)
    labels = tuple(Label(request_id=str(i), label=int(i % 10 > 0), at=NOON) for i in ids)
    predictions = tuple(Prediction(request_id=str(i), at=NOON, prediction=1) for i in ids)
    await bus.publish(LabelRecorded(project="weather", model="rain", labels=labels))
    await bus.publish(
        PredictionLogged(project="weather", model="rain", version=1, predictions=predictions)
    )


@pytest.mark.timeout(240)  # what a killed process held comes again after 30 s
async def test_killed_within_windows_no_row_is_lost_or_counted_twice(
    process: ServiceProcess, bus: NatsBus
) -> None:
    await begin(bus)

    for half in range(2):
        for first in range(half * 3 * WINDOW, (half + 1) * 3 * WINDOW, 20):
            await send_batch(bus, first)
        async with asyncio.timeout(60):
            while len(await told(bus, "performance.measured")) <= 3 * half:
                await asyncio.sleep(0.02)
        process.kill()  # rows of the next windows are written, on their way, or held and not yet acknowledged
        process.start()
    async with asyncio.timeout(100):
        while len(await told(bus, "performance.measured")) < 6:
            await asyncio.sleep(0.2)

    found = [one async for one in bus.follow(["performance.measured"], live=False)]
    measured = [one.envelope["data"] for one in found]
    assert sorted(await told(bus, "performance.measured")) == [0, 1, 2, 3, 4, 5]
    assert [one["window"]["rows"] for one in measured] == [WINDOW] * 6
    assert [one["window"]["labelled"] for one in measured] == [WINDOW] * 6
    # Rows may change places when they are delivered again; together they are right as often as they were sent.
    assert sum(one["value"] for one in measured) == pytest.approx(6 * 0.9)


async def test_a_killed_service_goes_on_and_repeats_nothing(
    process: ServiceProcess, bus: NatsBus
) -> None:
    await begin(bus)
    await send_window(bus, 0, right=190)
    await until_told(bus, "performance.measured", [0])

    process.kill()
    await send_window(bus, WINDOW, right=100)
    process.start()
    await until_told(bus, "performance.degraded", [1])
    await send_window(bus, 2 * WINDOW, right=190)
    await until_told(bus, "performance.recovered", [2])

    assert await told(bus, "performance.measured") == [0, 1, 2]
    assert await told(bus, "performance.degraded") == [1]
