# SPDX-License-Identifier: Apache-2.0
"""A model that becomes slow is told once, with what was different meanwhile, and that it is over."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from services.monitoring.tests.conftest import NOON, World

from mlops.contracts.energy import EnergyUse
from mlops.contracts.monitoring import (
    AlertRaised,
    AlertResolved,
    PerformanceDegraded,
    PerformanceRecovered,
)
from mlops.contracts.serving import DeploymentCompleted, DeploymentMetered, DeploymentProgressed
from mlops.contracts.telemetry_agent import HardwareSample, Memory, Power, TelemetrySampled, Thermal

WINDOW = timedelta(minutes=10)
FAST, SLOW = {"20": 95, "24": 5}, {"36": 100}
A_FIFTH_SLOW = {"20": 80, "34": 20}


class Serving:
    """Meters one version window by window."""

    def __init__(self, world: World) -> None:
        self.world, self.number = world, 0

    @property
    def now(self) -> Any:
        return NOON + self.number * WINDOW

    async def window(
        self, times: dict[str, int], version: int = 1, **more: Any
    ) -> DeploymentMetered:
        since = self.now
        self.number += 1
        event = DeploymentMetered.model_validate(
            {
                "project": "rainfall", "deployment_id": "d", "model": "rain", "version": version, "since": since,
                "until": since + WINDOW, "predictions": 100, "requests": 100, "failed": 0, "latency_counts": times,
                "replicas": 2, "energy": EnergyUse(joules=1, measured=True, node="mac"), **more,
            }
        )  # fmt: skip
        await self.world.tell(event)
        return event

    async def machine(self, node: str = "mac", **parts: Any) -> None:
        sample = HardwareSample(
            seq=self.number, boot_id="b", observed_at=self.now, window_s=10, **parts
        )
        await self.world.tell(TelemetrySampled(node=node, sample=sample))


@pytest.fixture
async def serving(world: World) -> Serving:
    await world.deploy(accuracy=None)
    found = Serving(world)
    await found.window(FAST)
    await found.window(FAST)
    found.number += 5  # the news of the deployment is no suspect any more
    return found


def told(world: World) -> PerformanceDegraded:
    [found] = world.heard(PerformanceDegraded)
    return found


async def test_a_slow_model_is_told_with_its_figures_and_raises_a_warning(
    world: World, serving: Serving
) -> None:
    await serving.window(SLOW)
    await serving.window(SLOW)

    found = told(world)
    assert (found.metric, found.value, found.expected, found.threshold) == ("latency_p95_ms", 64.0, 4.0, 14.0)  # fmt: skip
    assert found.suspects == ()
    assert "Nothing on the bus explains it" in found.suggestion
    [alert] = world.heard(AlertRaised)
    assert alert.severity.value == "warning"
    assert alert.title == "rain v1 is slow: 95 % of answers within 64 ms, 4 ms before"


async def test_it_recovers_and_the_alert_with_it(world: World, serving: Serving) -> None:
    await serving.window(SLOW)
    await serving.window(FAST)
    await serving.window(FAST)

    [found] = world.heard(PerformanceRecovered)
    assert (found.metric, found.value) == ("latency_p95_ms", 4.0)
    assert len(world.heard(AlertResolved)) == 1


async def test_a_repeated_window_tells_nothing_again(world: World, serving: Serving) -> None:
    event = await serving.window(A_FIFTH_SLOW)  # told once two come in a row

    await world.bus.publish_bytes(event.subject, event.encode(), "another delivery of it")
    await world.bus.settle()
    repeated = list(world.heard(PerformanceDegraded))
    await serving.window(A_FIFTH_SLOW)

    assert repeated == []
    assert len(world.heard(PerformanceDegraded)) == 1


@pytest.mark.parametrize(
    ("machine", "cause", "evidence"),
    [
        ({"thermal": Thermal(level=2)}, "hardware", "node mac was throttled at level 2"),
        ({"memory": Memory(pressure="critical")}, "memory", "short of memory (pressure critical)"),
        ({"power": Power(mode="low")}, "power", "low power mode"),
        ({"thermal": Thermal(reasons=("power_cap",))}, "power", "power capped"),
    ],
)
async def test_what_held_its_machine_back_is_a_suspect(
    world: World, serving: Serving, machine: dict[str, Any], cause: str, evidence: str
) -> None:
    await serving.machine(**machine)
    await serving.machine(node="other", memory=Memory(pressure="warn"))

    await serving.window(SLOW)

    [suspect] = told(world).suspects
    assert suspect.cause == cause
    assert evidence in suspect.evidence


async def test_what_was_over_before_is_no_suspect(world: World, serving: Serving) -> None:
    await serving.machine(thermal=Thermal(level=3), memory=Memory(pressure="warn"))
    serving.number += 1
    await serving.machine(thermal=Thermal(level=0), memory=Memory(pressure="normal"))
    serving.number += 1

    await serving.window(SLOW)

    assert told(world).suspects == ()


@pytest.mark.parametrize(
    ("more", "cause", "evidence"),
    [
        ({"replicas": 1}, "replicas", "1 replicas answered, 2 before"),
        ({"predictions": 800}, "input", "a request had 8 rows, 1 before"),
        (
            {"requests": 900, "predictions": 900},
            "load",
            "1.5 requests per second came, 0.167 before",
        ),
    ],
)
async def test_what_was_different_about_the_requests_is_a_suspect(
    world: World, serving: Serving, more: dict[str, Any], cause: str, evidence: str
) -> None:
    await serving.window(SLOW, **more)

    [suspect] = told(world).suspects
    assert (suspect.cause, suspect.evidence) == (cause, evidence)


async def test_a_new_version_is_a_suspect_as_long_as_it_answers(
    world: World, serving: Serving
) -> None:
    completed = DeploymentCompleted(
        project="rainfall", deployment_id="d2", model="rain", version=2, previous_version=1, endpoint="/x", time=serving.now,
    )  # fmt: skip
    await world.tell(completed)
    serving.number += 20

    await serving.window(SLOW, version=2)

    [suspect] = told(world).suspects
    assert suspect.cause == "version"
    assert suspect.evidence.startswith("version 2 answers since")


async def test_what_serving_did_is_a_suspect(world: World, serving: Serving) -> None:
    await world.tell(
        DeploymentProgressed(
            project="rainfall", deployment_id="d", model="rain", version=1, phase="slowed", concurrency=1,
            reason="mac is at level 2", time=serving.now,
        )
    )  # fmt: skip

    await serving.window(SLOW)

    [suspect] = told(world).suspects
    assert suspect.cause == "serving"
    assert suspect.evidence.endswith("mac is at level 2")


async def test_windows_of_which_nobody_knows_the_answers_say_nothing(
    world: World, serving: Serving
) -> None:
    await serving.window({}, requests=None)
    await serving.window({"nonsense": 5, "900": 7}, requests=12)

    assert world.heard(PerformanceDegraded) == []
