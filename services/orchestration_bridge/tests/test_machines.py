# SPDX-License-Identifier: Apache-2.0
"""Several machines, from their heat to what the orchestrator's workers may take, over the memory bus."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.orchestration_bridge import Gate, StartWorkflow, WorkflowKind
from mlops.contracts.settings import FederatedSettings, ProjectSettings, TrainSettings
from mlops.contracts.telemetry_agent import (
    HardwareSample,
    TelemetrySampled,
    Thermal,
    ThermalRecovered,
    ThermalThrottled,
)
from mlops.contracts.workspaces import ProjectRegistered
from mlops.orchestration_bridge.app import wire
from mlops.orchestration_bridge.model.workers import MARK, Work, Worker
from mlops.orchestration_bridge.sources.dispatcher import Dispatcher


def sampled(node: str, at: datetime, level: int = 0) -> TelemetrySampled:
    sample = HardwareSample(
        seq=1, boot_id="b", observed_at=at, window_s=10, thermal=Thermal(level=level)
    )
    return TelemetrySampled(node=node, sample=sample, time=at)


def throttled(node: str, at: datetime, level: int) -> ThermalThrottled:
    return ThermalThrottled(
        node=node, episode_id="e", level=level, reason="fan stopped", since=at, time=at
    )


def recovered(node: str, at: datetime) -> ThermalRecovered:
    return ThermalRecovered(
        node=node, episode_id="e", level=0, peak_level=3, duration_s=9, since=at, time=at
    )


def project(nodes: int = 2) -> ProjectRegistered:
    settings = ProjectSettings(
        name="rain",
        train=TrainSettings(command="python train.py"),
        federated=FederatedSettings(command="fit", aggregate="mean", nodes=nodes),
    )
    return ProjectRegistered(project="rain", settings=settings, path="/projects", revision=1)


class Yard:
    """The installation's own machine `a`, and two workers."""

    def __init__(self, world: Any) -> None:
        self.world, self.pipelines = world, world.pipelines
        self.pipelines.machines = {name: Worker(name, Work.READY) for name in ("b", "c")}

    def restart(self) -> None:
        self.world.dispatcher = self.world.wired(self.world.bus)

    async def keep(self) -> None:
        await self.world.dispatcher.pools.round()

    async def speak(self, *names: str) -> None:
        await self.world.tell(*(sampled(name, self.world.now) for name in names or ("a", "b", "c")))

    def work(self, name: str) -> Work:
        found: Work = self.pipelines.machines[name].work
        return found

    async def start(self) -> Any:
        wish = StartWorkflow(project="rain", kind=WorkflowKind.FEDERATED)
        return (await self.world.tell(wish))[0]

    async def why(self, key: str) -> Any:
        asked = {"workflow_key": key}
        return await self.world.bus.ask("orchestration_bridge", "why", asked)

    async def nodes(self) -> Any:
        return await self.world.bus.ask("orchestration_bridge", "nodes", {})


@pytest.fixture
def yard(world: Any) -> Yard:
    class Local(type(world)):  # type: ignore[misc]  # the fixture's class is in conftest.py
        def wired(self, bus: MemoryBus) -> Dispatcher:
            return wire(bus, self.pipelines, clock=lambda: self.now, local="a", several=True)

    return Yard(Local())


async def test_heat_that_drains_puts_the_worker_into_maintenance_with_the_reason(
    yard: Yard,
) -> None:
    await yard.speak()
    await yard.world.tell(throttled("b", yard.world.now, 3))

    await yard.keep()

    assert (yard.work("b"), yard.work("c")) == (Work.DRAINED, Work.READY)
    assert yard.pipelines.machines["b"].why == f"{MARK} b is at heat level 3: fan stopped"


async def test_less_heat_drains_nothing(yard: Yard) -> None:
    await yard.speak()
    await yard.world.tell(throttled("b", yard.world.now, 2))

    await yard.keep()

    assert yard.work("b") is Work.READY


async def test_the_maintenance_ends_with_hysteresis_also_after_a_restart(yard: Yard) -> None:
    await yard.speak()
    await yard.world.tell(throttled("b", yard.world.now, 3))
    await yard.keep()
    yard.restart()
    yard.world.now += timedelta(seconds=30)
    await yard.world.tell(recovered("b", yard.world.now))

    await yard.keep()
    assert yard.work("b") is Work.DRAINED

    yard.world.now += timedelta(seconds=151)
    await yard.speak()
    await yard.keep()
    assert yard.work("b") is Work.READY


async def test_a_persons_drain_is_left_alone(yard: Yard) -> None:
    await yard.speak()
    await yard.pipelines.drain("b", "new disk")

    yard.world.now += timedelta(hours=1)
    await yard.speak()
    await yard.keep()

    assert yard.pipelines.machines["b"].why == "new disk"
    assert yard.work("b") is Work.DRAINED


async def test_what_a_cohort_can_do_without_does_not_wait_for_a_worker_that_takes_nothing(
    yard: Yard,
) -> None:
    await yard.speak()
    yard.pipelines.machines["c"] = Worker("c", Work.GONE)

    await yard.keep()
    await yard.keep()

    assert [name for name, _ in yard.pipelines.released] == ["c"]
    assert "nobody knows whether it works" in yard.pipelines.released[0][1]


async def test_a_cohort_is_placed_on_cool_machines_and_says_which(yard: Yard) -> None:
    await yard.speak()
    await yard.world.tell(project())
    await yard.world.tell(throttled("a", yard.world.now, 2))
    await yard.keep()

    queued = await yard.start()

    assert await yard.world.round() == ["workflow.started"]
    started = yard.world.last("workflow.started")
    assert started.nodes == ("b", "c")
    assert yard.pipelines.runs[queued.workflow_key].nodes == ("b", "c")
    running = {name: one["running"] for name, one in (await yard.nodes())["nodes"].items()}
    assert running == {"a": 0, "b": 1, "c": 1}


async def test_with_too_few_machines_it_waits_and_says_why_until_one_is_back(yard: Yard) -> None:
    await yard.speak()
    await yard.world.tell(project(nodes=3))
    yard.pipelines.machines["c"] = Worker("c", Work.GONE)
    await yard.keep()

    queued = await yard.start()
    await yard.world.round()

    found = await yard.why(queued.workflow_key)
    assert queued.decision.gate is Gate.UNKNOWN_NODE
    assert found["reason"] == (
        "2 of 3 machines are free: the worker of c has not been heard; nobody knows whether it works"
    )
    assert found["waits"]

    yard.pipelines.machines["c"] = Worker("c", Work.READY)
    await yard.keep()
    assert await yard.world.round() == ["workflow.started"]


async def test_all_that_is_known_of_each_machine_is_told(yard: Yard) -> None:
    await yard.speak("a", "b")
    await yard.world.tell(throttled("b", yard.world.now, 3))
    await yard.keep()
    await yard.keep()

    found = await yard.nodes()

    a, b, c = (found["nodes"][name] for name in "abc")
    assert found["local"] == "a"
    assert (a["local"], a["worker"], a["closed"], a["heat"]["level"]) == (True, None, None, 0)
    assert (b["heat"]["level"], b["worker"]["work"], b["worker"]["ours"]) == (3, "drained", True)
    assert b["closed"] == "b is at heat level 3: fan stopped"
    assert (c["heat"], c["closed"]) == (None, "c has never said anything")


async def test_files_are_sent_only_where_they_are_news(yard: Yard) -> None:
    await yard.world.tell(project())

    first = await yard.world.bus.ask("orchestration_bridge", "files", {})
    again = await yard.world.bus.ask("orchestration_bridge", "files", {"known": first["sha256"]})

    assert first["files"] == {"registry.json": "rain"}
    assert again == {"sha256": first["sha256"], "files": None}


async def test_an_orchestrator_that_is_away_changes_nothing_that_was_known(yard: Yard) -> None:
    await yard.speak()
    await yard.keep()
    yard.pipelines.away = 20

    await yard.keep()

    assert (await yard.nodes())["nodes"]["b"]["worker"]["work"] == "ready"
