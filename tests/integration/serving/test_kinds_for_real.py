# SPDX-License-Identifier: Apache-2.0
"""Shadow, blue-green, too slow, and straight back: on a real Ray head, through the real gateway, under traffic."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mlops.contracts.serving import DeployModel, RollbackModel

pytestmark = [
    pytest.mark.server,
    pytest.mark.mlflow,
    pytest.mark.ray,
    pytest.mark.timeout(300),
]


def through(callers: Any, gateway: Any, project: Any, per_second: float = 30.0) -> Any:
    return callers.flowing(
        callers.Traffic(
            project.name, gateway.weights, per_second=per_second, headers=gateway.headers
        )
    )


async def until_answering(project: Any, version: int) -> None:
    async with asyncio.timeout(60):
        while [url[-1] for url in await project.weights()] != [str(version)]:
            await asyncio.sleep(0.1)


async def test_a_shadow_is_compared_and_takes_over(
    project: Any, callers: Any, gateway: Any
) -> None:
    await project.register(rollout="shadow", shadow_for="4s", min_agreement=0.95)
    first, second = project.log("skops", "skops")
    await project.serve(first)

    async with through(callers, gateway, project) as traffic:
        await project.promote(second)
        compared = await project.hear("deployment.compared", version=second)
        only_old = set(traffic.answered)
        await project.hear("deployment.completed", version=second)

    assert traffic.failed == []
    assert only_old == {str(first)}
    assert set(traffic.answered) == {str(first), str(second)}
    assert compared["data"]["against_version"] == first
    assert compared["data"]["agreement_ratio"] == 1.0
    assert "v2 progressed shadow" in await project.facts()


async def test_a_shadow_that_differs_is_let_go_on_by_a_person(
    project: Any, callers: Any, gateway: Any
) -> None:
    # A pipeline that picks columns by name is slower than a tree, the more so on a busy machine: not this test's matter.
    await project.register(rollout="shadow", shadow_for="3s", max_latency_ratio=None)
    first, second = project.log("skops", "names")
    await project.serve(first)

    async with through(callers, gateway, project) as traffic:
        await project.promote(second)
        async with asyncio.timeout(90):
            while not (await rollout_of(project)).get("held"):
                await asyncio.sleep(0.2)
        waiting = await rollout_of(project)
        command = DeployModel(project=project.name, model=project.name, version=second)
        await project.bus.publish(command)
        await project.hear("deployment.completed", version=second)

    assert traffic.failed == []
    assert waiting["phase"] == "shadow"
    assert waiting["held"].startswith("waits for a person")
    assert waiting["comparison"]["requests"] > 0


async def test_blue_green_switches_all_at_once_at_full_size(
    project: Any, callers: Any, gateway: Any
) -> None:
    await project.register(rollout="blue-green", min_replicas=2, max_replicas=2)
    first, second = project.log("skops", "skops")
    await project.serve(first)

    async with through(callers, gateway, project) as traffic:
        await project.promote(second)
        done = await project.hear("deployment.completed", version=second, within_s=150)

    assert traffic.failed == []
    assert done["data"]["replicas"] == 2
    assert set(traffic.answered) == {str(first), str(second)}


async def test_a_slow_version_is_taken_back(project: Any, callers: Any, gateway: Any) -> None:
    await project.register(steps=(0.5, 1.0), step_hold="40s", max_latency_ratio=1.2)
    first, second = project.log("skops", "slow")
    await project.serve(first)

    async with through(callers, gateway, project) as traffic:
        await project.promote(second)
        told = await project.hear("deployment.reverted", version=second)

    assert "answers took more than" in told["data"]["reason"]
    assert traffic.failed == []


async def test_the_way_back_to_a_warm_version_starts_nothing(
    project: Any, callers: Any, gateway: Any
) -> None:
    await project.register(rollout="direct", step_hold="1s", keep_warm="5m")
    first, second = project.log("skops", "skops")
    await project.serve(first)
    [url] = await project.weights()
    pid = await asyncio.to_thread(callers.pid_at, url)
    await project.serve(second)

    async with through(callers, gateway, project) as traffic:
        await project.bus.publish(RollbackModel(project=project.name, model=project.name))
        await until_answering(project, first)

    assert traffic.failed == []
    assert await asyncio.to_thread(callers.pid_at, url) == pid


async def rollout_of(project: Any) -> dict[str, Any]:
    asked = {"project": project.name, "model": project.name}
    answer = await project.bus.ask("serving", "get", asked)
    return answer["deployment"].get("rollout") or {}
