# SPDX-License-Identifier: Apache-2.0
"""What replicas count of themselves is shown, and judges a rollout where the gateway sees less of it."""

from __future__ import annotations

from typing import Any

import pytest

from mlops.contracts.latency import Latencies
from mlops.contracts.serving import DeploymentReverted


async def reports(
    stage: Any, version: int, requests: int, errors: int = 0, took_ms: float = 5.0
) -> None:
    counted = Latencies()
    for _ in range(requests):
        counted.add(took_ms)
    question = {
        "project": "rain",
        "model": "rain",
        "version": str(version),
        "replica": f"r{version}",
        "node": "n1",
        "answered": requests,
        "busy_s": 1.0,
        "cpu_s": 1.0,
        "requests": requests,
        "errors": errors,
        "shed": 2,
        "waiting": 1,
        "memory_bytes": 250_000_000,
        "latencies": counted.as_json(),
    }
    await stage.bus.ask("serving", "limits", question)


async def versions(stage: Any) -> dict[int, Any]:
    answer = await stage.bus.ask("serving", "list", {})
    return {one["version"]: one for one in answer["deployments"][0]["versions"]}


async def test_each_version_is_shown_with_what_its_replicas_have_counted(stage: Any) -> None:
    await stage.first()
    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)
    await reports(stage, 1, 100, errors=3)

    found = await versions(stage)

    assert (found[1]["state"], found[1]["traffic_ratio"]) == ("live", 0.9)
    assert (found[1]["requests"], found[1]["errors"], found[1]["shed"]) == (100, 3, 2)
    assert (found[1]["memory_bytes"], found[1]["backend"]) == (250_000_000, "sklearn")
    assert found[1]["p95_ms"] == pytest.approx(5.66, rel=0.01)
    assert (found[2]["state"], found[2]["replicas"]) == ("canary", None)


async def test_a_version_that_leaves_says_when(stage: Any) -> None:
    await stage.first()
    await stage.tell(stage.promoted(2))
    await stage.turn(times=17)

    states = {version: one["state"] for version, one in (await versions(stage)).items()}

    assert states[2] == "live"
    assert states[1].startswith("leaves in ")


async def test_without_a_gateway_the_replicas_own_failures_take_a_version_back(
    stage: Any,
) -> None:
    await stage.first()
    await reports(stage, 1, 100)
    await reports(stage, 2, 10)
    await stage.tell(stage.promoted(2))
    await stage.turn(times=7)
    assert await stage.routes() == {1: 0.9, 2: 0.1}

    await reports(stage, 2, 60, errors=20)
    await stage.turn()

    told = stage.only(DeploymentReverted)
    assert told.reason == "20 of 50 requests failed (40.0%), 2.0% are allowed"
    assert told.error_ratio == 0.4


async def test_without_a_gateway_the_replicas_own_times_take_a_version_back(stage: Any) -> None:
    await stage.first()
    await reports(stage, 1, 10)
    await reports(stage, 2, 0)
    await stage.tell(stage.promoted(2))
    await stage.turn(times=7)

    await reports(stage, 1, 300)
    await reports(stage, 2, 40, took_ms=120.0)
    await stage.turn()

    assert "40 of 40 answers took more than" in stage.only(DeploymentReverted).reason
