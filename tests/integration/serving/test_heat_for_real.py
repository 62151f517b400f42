# SPDX-License-Identifier: Apache-2.0
"""Heat on a real Ray head under steady traffic: replicas compute less at once and more again, and nobody notices."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from mlops.contracts.serving import DeploymentMetered, UndeployModel
from mlops.contracts.telemetry_agent import (
    Chip,
    Energy,
    HardwareSample,
    TelemetrySampled,
    Thermal,
    ThermalRecovered,
    ThermalThrottled,
)

pytestmark = [
    pytest.mark.server,
    pytest.mark.mlflow,
    pytest.mark.ray,
    pytest.mark.timeout(300),
]
FULL = 8


class Machine:
    """A machine that says what a test wants."""

    def __init__(self, bus: Any, name: str) -> None:
        self._bus = bus
        self._said: dict[str, Any] = {"node": name, "episode_id": f"{name}-1"}
        self._seq = 0

    async def heats(self, level: int) -> None:
        now = datetime.now(UTC)
        await self._bus.publish(
            ThermalThrottled(**self._said, level=level, since=now, reason="pressure is heavy")
        )

    async def cools(self) -> None:
        now = datetime.now(UTC)
        await self._bus.publish(
            ThermalRecovered(**self._said, level=0, peak_level=4, duration_s=1, since=now)
        )

    async def samples(self, joules: float) -> None:
        self._seq += 1
        sample = HardwareSample(
            seq=self._seq,
            boot_id="b",
            observed_at=datetime.now(UTC),
            window_s=5,
            chip=Chip(vendor="intel", cores=2),
            thermal=Thermal(level=0),
            cpu_busy_ratio=1.0,
            energy=Energy(package_j=joules),
        )
        await self._bus.publish(TelemetrySampled(node=self._said["node"], sample=sample))


@pytest.fixture
async def machine(project: Any) -> AsyncIterator[Machine]:
    found = Machine(project.bus, project.name)
    yield found
    await found.cools()


async def facts(callers: Any, url: str) -> dict[str, Any]:
    _, found = await asyncio.to_thread(callers.ask, f"{url}/v2")
    return dict(found)


async def until_concurrency(callers: Any, url: str, wanted: int, within_s: float = 60) -> float:
    """Return the seconds until the replica computes so much at once."""
    began = time.perf_counter()
    async with asyncio.timeout(within_s):
        while (await facts(callers, url))["concurrency"] != wanted:
            await asyncio.sleep(0.01)
    return time.perf_counter() - began


async def pids(callers: Any, url: str, count: int) -> set[int]:
    """Return the processes of so many replicas, as they answer in turns."""
    found: set[int] = set()
    async with asyncio.timeout(60):
        while len(found) < count:
            found.add((await facts(callers, url))["pid"])
    return found


@pytest.mark.parametrize("replicas", [1, 2])
async def test_it_slows_and_recovers_in_the_same_processes_without_a_failed_request(
    project: Any, machine: Machine, callers: Any, replicas: int
) -> None:
    await project.register(min_replicas=replicas, max_replicas=replicas)
    [version] = project.log("skops")
    await project.serve(version)
    [url] = await project.weights()
    before = await pids(callers, url, replicas)

    async with callers.flowing(callers.Traffic(project.name, project.weights)) as traffic:
        took_s = []
        for level, wanted in ((2, 4), (3, 2), (4, 1)):
            await machine.heats(level)
            took_s.append(await until_concurrency(callers, url, wanted))
        await asyncio.sleep(3)  # Ray, too, has been told by now
        await machine.cools()
        await until_concurrency(callers, url, FULL)
        await asyncio.sleep(3)

    assert traffic.failed == []
    assert traffic.requests > 200
    assert await pids(callers, url, replicas) == before
    assert statistics.median(took_s) < 1
    said = [one for one in await project.facts() if one.startswith(f"v{version} ")]
    assert [one for one in said if one.endswith(("slowed", "restored"))] == [
        *[f"v{version} progressed slowed"] * 3,
        f"v{version} progressed restored",
    ]


async def test_a_new_process_of_serving_stays_as_low_and_ray_itself_was_told(
    project: Any, machine: Machine, callers: Any, serving: Any
) -> None:
    await project.register()
    [version] = project.log("skops")
    await project.serve(version)
    [url] = await project.weights()
    await machine.heats(3)
    await until_concurrency(callers, url, 2)

    serving.kill()
    await asyncio.sleep(12)  # the replica no longer counts on what serving has told it
    while_away = await facts(callers, url)
    serving.start()
    seen = set()
    async with asyncio.timeout(60):
        while (found := await facts(callers, url))["concurrency_from"] != "serving":
            seen.add(found["concurrency"])
            await asyncio.sleep(0.1)
    await asyncio.sleep(5)

    assert while_away["concurrency"] == 2
    assert (await facts(callers, url))["concurrency"] == 2
    assert seen <= {2}


async def test_a_rollout_waits_in_the_heat_and_goes_on_after(
    project: Any, machine: Machine, callers: Any
) -> None:
    await project.register(step_hold="500ms")
    first, second = project.log("skops", "cloudpickle")
    await project.serve(first)
    await machine.heats(2)

    async with callers.flowing(callers.Traffic(project.name, project.weights)) as traffic:
        await project.promote(second)
        held = await until_held(project, second)
        await asyncio.sleep(3)
        weights = await project.weights()
        await machine.cools()
        await project.hear("deployment.completed", version=second)

    assert "is at level 2: pressure is heavy" in held["data"]["reason"]
    assert [one.rpartition("/")[2] for one in weights] == [f"v{first}"]
    assert traffic.failed == []


async def until_held(project: Any, version: int) -> dict[str, Any]:
    async with asyncio.timeout(90):
        async for one in project.bus.follow(("deployment.progressed",), project.name):
            data = one.envelope["data"]
            if (data["version"], data["phase"]) == (version, "held"):
                return dict(one.envelope)
    raise AssertionError


async def test_what_a_stopped_version_answered_and_took_is_told(
    project: Any, machine: Machine, callers: Any
) -> None:
    await project.register()
    [version] = project.log("skops")
    await project.serve(version)
    await machine.samples(0.0)

    async with callers.flowing(callers.Traffic(project.name, project.weights)) as traffic:
        for second in range(1, 7):
            await asyncio.sleep(1)
            await machine.samples(10.0 * second)
    await asyncio.sleep(3)  # each replica has told the rest
    await machine.samples(70.0)
    await project.bus.publish(UndeployModel(project=project.name, model=project.name))
    told = await metered(project)

    # The last request may have been cut off after it was answered.
    assert told["predictions"] - traffic.answered.total() in (0, 1)
    energy = told["energy"]
    assert 0 < energy["joules"] <= energy["machine_j"] <= 70.0
    assert energy["measured"] is True
    assert told["joules_per_1000"] == pytest.approx(energy["joules"] * 1000 / told["predictions"])


async def metered(project: Any) -> dict[str, Any]:
    async with asyncio.timeout(60):
        async for one in project.bus.follow((DeploymentMetered.type,), project.name):
            return dict(one.envelope["data"])
    raise AssertionError
