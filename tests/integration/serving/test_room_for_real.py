# SPDX-License-Identifier: Apache-2.0
"""Memory on a real Ray head: a newcomer lets an idle model sleep, what cannot fit is refused with the numbers."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest

from mlops.contracts.serving import DeployModel
from mlops.serving.model.room import GIB, need

pytestmark = [
    pytest.mark.server,
    pytest.mark.mlflow,
    pytest.mark.ray,
    pytest.mark.timeout(300),
]
# What the room reckons with for a version of which nothing is measured yet.
NEWCOMER = need(None, 100_000, "sklearn", memory_gb=1.0)
NUMBERS = re.compile(r"needs (\S+) GiB for 9 replica\(s\), free (\S+) of (\S+) GiB.*; held: (.+);")


@pytest.fixture
def bounded(serving: Any) -> Iterator[Any]:
    """Start serving anew with so many GiB, and at the end with as many as before."""

    def start(memory_gb: float) -> None:
        serving.stop()
        serving.env["SERVING_MEMORY_GB"] = f"{memory_gb:.3f}"
        serving.start()

    yield start
    serving.stop()
    del serving.env["SERVING_MEMORY_GB"]
    serving.start()


async def held(project: Any) -> dict[str, int]:
    """Return the bytes of each version in memory; serving tells none before it has looked."""
    async with asyncio.timeout(60):
        while not (room := (await project.bus.ask("serving", "list", {}))["room"])["held"]:
            await asyncio.sleep(0.2)
    return dict(room["held"])


async def test_a_newcomer_lets_an_idle_model_sleep_and_one_too_big_is_refused(
    projects: Any, bounded: Any
) -> None:
    idle, busy, newcomer, giant = (projects(name) for name in ("idle", "busy", "new", "giant"))
    await idle.register(min_replicas=0, sleep_after="1h")
    await idle.serve(*idle.log("skops"))
    [size] = [each for name, each in (await held(idle)).items() if name.startswith("idle.")]
    # Two of these, and half of one that comes.
    await asyncio.to_thread(bounded, (2 * size + 0.5 * NEWCOMER) / GIB)
    await busy.register()
    await busy.serve(*busy.log("skops"))

    await giant.register(min_replicas=9, max_replicas=9)
    [version] = giant.log("skops")
    await giant.promote(version)
    refused = await giant.hear("deployment.failed", version=version)
    await newcomer.register()
    await until_let_in(newcomer, *newcomer.log("skops"))
    sleeps = await idle.hear_phase("asleep")

    assert sleeps["reason"] == "makes room for another project"
    numbers = NUMBERS.search(refused["data"]["reason"])
    assert numbers is not None
    needed, free, capacity = (float(one) for one in numbers.groups()[:3])
    assert needed > capacity > free
    assert numbers[4].startswith("other projects ")
    assert "SERVING_MEMORY_GB" in refused["data"]["reason"]
    assert [len(await one.weights()) for one in (idle, busy, newcomer, giant)] == [0, 1, 1, 0]


async def until_let_in(project: Any, version: int) -> None:
    """Ask again and again, as a person would: what was used within half a minute does not make room yet."""
    async with asyncio.timeout(120):
        while "v1 completed" not in await project.facts():
            command = DeployModel(project=project.name, model=project.name, version=version)
            await project.bus.publish(command)
            await asyncio.sleep(2)
