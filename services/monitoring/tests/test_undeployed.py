# SPDX-License-Identifier: Apache-2.0
"""What was wrong with a model is over once the version that answered is taken away."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from services.monitoring.tests.conftest import NOON, WINDOW, World

from mlops.chassis.clock import utc_now
from mlops.contracts.monitoring import (
    AlertRaised,
    AlertResolved,
    DriftCleared,
    PerformanceDegraded,
)
from mlops.contracts.serving import DeploymentMetered, DeploymentRemoved

REFERENCE = 4  # windows of 250 rows that make a reference


async def remove(world: World, version: int = 1, at: datetime | None = None) -> None:
    event = DeploymentRemoved(
        project="rainfall", deployment_id="d", model="rain", version=version, time=at or utc_now(),
        reason="undeployed by command",
    )  # fmt: skip
    await world.tell(event)


async def troubled(world: World) -> None:
    """Let version 1 answer, drift, and do worse than it promised."""
    await world.register()
    await world.deploy()
    for _ in range(REFERENCE):
        await world.window()
    for _ in range(2):
        await world.window(right=0.5, shift=3.0)


def open_alerts(world: World) -> set[str]:
    found: dict[str, str] = {}
    for message in world.bus.published:
        if isinstance(message, AlertRaised):
            found[message.alert_id] = message.kind or ""
        elif isinstance(message, AlertResolved):
            found.pop(message.alert_id)
    return set(found.values())


async def test_its_alerts_end_and_its_drift_is_cleared(kept_world: Any) -> None:
    await troubled(kept_world)
    before = open_alerts(kept_world)

    await remove(kept_world)

    assert before == {"data", "performance"}
    assert open_alerts(kept_world) == set()
    assert len(kept_world.heard(DriftCleared)) == 1
    assert {event.reason for event in kept_world.heard(AlertResolved)} == {
        "version 1 no longer answers"
    }


async def test_labels_that_come_afterwards_raise_nothing(world: Any) -> None:
    await troubled(world)
    ids = await world.predict(WINDOW)
    await remove(world)
    told = len(world.heard(PerformanceDegraded))

    await world.label(ids, right=0.2)

    assert len(world.heard(PerformanceDegraded)) == told
    assert open_alerts(world) == set()


async def test_a_version_that_comes_back_is_judged_again(world: Any) -> None:
    await troubled(world)
    await remove(world)

    world.minutes = 120
    await world.deploy()
    await world.window(right=0.5)
    await world.window(right=0.5)

    assert "performance" in open_alerts(world)


async def test_the_removal_of_another_version_ends_nothing(world: Any) -> None:
    await troubled(world)

    await remove(world, version=2)

    assert open_alerts(world) == {"data", "performance"}


async def test_a_removal_from_before_its_deployment_ends_nothing(world: Any) -> None:
    await troubled(world)

    await remove(world, at=NOON)

    assert open_alerts(world) == {"data", "performance"}


async def test_a_slow_model_is_slow_no_more_and_told_again_when_it_comes_back_slow(
    world: Any,
) -> None:
    await world.deploy(accuracy=None)
    for number, place in enumerate(["20", "20", "36", "36"]):
        await meter(world, NOON + number * timedelta(minutes=10), place)
    before = open_alerts(world)

    await remove(world)
    between = open_alerts(world)
    world.minutes = 120
    await world.deploy(accuracy=None)
    await meter(world, NOON + timedelta(minutes=120), "36")

    assert (before, between, open_alerts(world)) == ({"latency"}, set(), {"latency"})


async def meter(world: World, since: datetime, place: str) -> None:
    event = DeploymentMetered(
        project="rainfall", deployment_id="d", model="rain", version=1, since=since,
        until=since + timedelta(minutes=10), time=since + timedelta(minutes=10), predictions=100, requests=100,
        failed=0, latency_counts={place: 100},
    )  # fmt: skip
    await world.tell(event)
