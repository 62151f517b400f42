# SPDX-License-Identifier: Apache-2.0
"""The promises of serving's `Replicas`, kept by the memory replicas and by Ray Serve alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.serving.adapters.memory import MemoryPackages, MemoryReplicas
from mlops.serving.adapters.probes import HttpProbes
from mlops.serving.adapters.sidecars import RayReplicas, SidecarPackages, make_sidecar
from mlops.serving.model.apps import App
from mlops.serving.ports import AppState, Condition
from servers.traffic import ask, pid_at

pytestmark = pytest.mark.timeout(300)
PROJECT = "conformance"


class MemoryHarness:
    """Replicas in memory."""

    def __init__(self) -> None:
        self.replicas = MemoryReplicas(broken={"broken:1": "no module named 'gone_module'"})
        self.probes = self.replicas
        self.packages = MemoryPackages(pickled={1})
        self.good = App(PROJECT, "m", 1, "good:1")
        self.broken = App(PROJECT, "m", 2, "broken:1")

    async def life_of(self, app: App) -> object:
        return self.replicas.starts.count(app.name)

    async def computed_at_once(self, app: App) -> int:
        return self.replicas.apps[app.name].concurrency

    async def take_away(self) -> None:
        self.replicas.away = True

    async def bring_back(self) -> None:
        self.replicas.lose_everything()

    async def close(self) -> None:
        return


class RayHarness:
    """Ray Serve, reached through the sidecar."""

    def __init__(self, home: Path, ray: Any, mlflow_url: str, good: App, broken: App) -> None:
        self._ray = ray
        self._sidecar = make_sidecar(
            home=home, ray_address=ray.address, serve_url=ray.url, mlflow_url=mlflow_url
        )
        self.replicas = RayReplicas(self._sidecar)
        self.packages = SidecarPackages(self._sidecar)
        self.probes = HttpProbes()
        self.good, self.broken = good, broken

    async def life_of(self, app: App) -> object:
        return await asyncio.to_thread(pid_at, self._ray.url + app.route)

    async def computed_at_once(self, app: App) -> int:
        """Return what the replica itself says; no serving runs here that could have told it."""
        _, facts = await asyncio.to_thread(ask, f"{self._ray.url}{app.route}/v2")
        return int(facts["concurrency"])

    async def take_away(self) -> None:
        await asyncio.to_thread(self._ray.stop)

    async def bring_back(self) -> None:
        await asyncio.to_thread(self._ray.start)

    async def close(self) -> None:
        """Let what runs run on: the next test wants most of it, and to start it takes longer than the test."""
        await self._sidecar.close()


Harness = MemoryHarness | RayHarness
REAL = [pytest.mark.server, pytest.mark.mlflow, pytest.mark.ray]


@pytest.fixture(params=["memory", pytest.param("ray", marks=REAL)])
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    harness = MemoryHarness() if request.param == "memory" else await _on_ray(request)
    yield harness
    await harness.close()


async def _on_ray(request: pytest.FixtureRequest) -> RayHarness:
    home, ray, url = (
        request.getfixturevalue(name) for name in ("serving_home", "ray", "mlflow_url")
    )
    assert not ray.has_writer, (
        "serving runs on this head and writes Ray's whole set: run this first"
    )
    versions = request.getfixturevalue("versions")
    unknown = App(PROJECT, PROJECT, 1, "")
    harness = RayHarness(home, ray, url, unknown, unknown)
    apps = []
    for version in versions:
        package = await harness.packages.pack(PROJECT, PROJECT, version, "auto", allow_pickle=True)
        apps.append(replace(unknown, version=version, bento_tag=package.bento_tag))
    harness.good, harness.broken = apps
    return harness


@pytest.fixture(scope="session")
def versions(trainer: Any) -> Any:
    return trainer.log(PROJECT, "cloudpickle", "broken")


async def until(
    harness: Harness, is_so: Callable[[dict[str, AppState]], bool]
) -> dict[str, AppState]:
    async with asyncio.timeout(90):
        while not is_so(states := await harness.replicas.states()):
            await asyncio.sleep(0.05)
    return states


async def nothing(harness: Harness) -> None:
    await harness.replicas.apply([])
    await until(harness, lambda found: not found)


async def running(harness: Harness, app: App) -> AppState:
    states = await until(
        harness,
        lambda found: app.name in found and found[app.name].condition is Condition.RUNNING,
    )
    async with asyncio.timeout(30):
        while not await harness.probes.ready(states[app.name].url, app):
            await asyncio.sleep(0.05)
    return states[app.name]


async def test_a_pickle_is_packed_only_where_the_project_trusts_it(harness: Harness) -> None:
    version = harness.good.version

    with pytest.raises(RejectedError, match="pickle"):
        await harness.packages.pack(PROJECT, PROJECT, version, "auto")

    package = await harness.packages.pack(PROJECT, PROJECT, version, "auto", allow_pickle=True)
    assert package.version == version


async def test_packing_again_returns_the_same_package(harness: Harness) -> None:
    version = harness.good.version

    once, again = [
        await harness.packages.pack(PROJECT, PROJECT, version, "auto", allow_pickle=True)
        for _ in range(2)
    ]

    assert once == again


async def test_what_is_wanted_runs_and_is_ready(harness: Harness) -> None:
    await harness.replicas.apply([harness.good])

    state = await running(harness, harness.good)

    assert (state.replicas, state.reason) == (1, "")


async def test_what_is_left_out_is_stopped(harness: Harness) -> None:
    await harness.replicas.apply([harness.good])
    url = (await running(harness, harness.good)).url

    await harness.replicas.apply([])

    assert await until(harness, lambda found: not found) == {}
    assert not await harness.probes.ready(url, harness.good)


async def test_the_same_set_again_disturbs_nothing(harness: Harness) -> None:
    await harness.replicas.apply([harness.good])
    await running(harness, harness.good)
    life = await harness.life_of(harness.good)

    await harness.replicas.apply([harness.good])
    await running(harness, harness.good)

    assert await harness.life_of(harness.good) == life


async def test_other_bounds_restart_nothing(harness: Harness) -> None:
    await harness.replicas.apply([harness.good])
    await running(harness, harness.good)
    life = await harness.life_of(harness.good)

    await harness.replicas.apply([replace(harness.good, max_replicas=2)])
    await running(harness, harness.good)

    assert await harness.life_of(harness.good) == life


async def test_a_bigger_version_says_how_many_replicas_answer(harness: Harness) -> None:
    await harness.replicas.apply([replace(harness.good, min_replicas=2, max_replicas=2)])

    states = await until(
        harness,
        lambda found: harness.good.name in found and found[harness.good.name].replicas == 2,
    )

    assert states[harness.good.name].condition is Condition.RUNNING
    await nothing(harness)


async def test_another_concurrency_reaches_what_runs_and_restarts_nothing(
    harness: Harness,
) -> None:
    await harness.replicas.apply([harness.good])
    await running(harness, harness.good)
    life = await harness.life_of(harness.good)
    seen = []

    for wanted in (2, 8):
        await harness.replicas.apply([replace(harness.good, concurrency=wanted)])
        async with asyncio.timeout(30):
            while (found := await harness.computed_at_once(harness.good)) != wanted:
                await asyncio.sleep(0.05)
        seen.append(found)

    assert seen == [2, 8]
    await running(harness, harness.good)
    assert await harness.life_of(harness.good) == life


async def test_what_cannot_start_fails_with_the_reason_and_the_others_answer_on(
    harness: Harness,
) -> None:
    await harness.replicas.apply([harness.good])
    await running(harness, harness.good)
    life = await harness.life_of(harness.good)

    await harness.replicas.apply([harness.good, harness.broken])
    name = harness.broken.name
    states = await until(
        harness, lambda found: name in found and found[name].condition is Condition.FAILED
    )

    assert "gone_module" in states[name].reason
    assert (await running(harness, harness.good)).replicas == 1
    assert await harness.life_of(harness.good) == life


async def test_a_home_that_is_away_says_so_and_comes_back_empty(harness: Harness) -> None:
    await harness.replicas.apply([harness.good])
    await running(harness, harness.good)

    await harness.take_away()
    with pytest.raises(UnavailableError):
        await harness.replicas.states()
    with pytest.raises(UnavailableError):
        await harness.replicas.apply([harness.good])
    await harness.bring_back()

    assert await harness.replicas.states() == {}
    await harness.replicas.apply([harness.good])
    await running(harness, harness.good)
    await nothing(harness)
