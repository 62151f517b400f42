# SPDX-License-Identifier: Apache-2.0
"""Heat, silence and lies, from the message to what waits, what moves, and what the pools get; over the memory bus."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from mlops.contracts.orchestration_bridge import Gate, StartWorkflow
from mlops.contracts.settings import (
    Accelerator,
    ProjectSettings,
    Resources,
    ShareSettings,
    TrainSettings,
)
from mlops.contracts.telemetry_agent import (
    Chip,
    HardwareSample,
    Memory,
    TelemetrySampled,
    Thermal,
    ThermalRecovered,
    ThermalThrottled,
)
from mlops.contracts.workspaces import ProjectRegistered
from mlops.orchestration_bridge.ports.books import NodeDocument
from mlops.orchestration_bridge.ports.pipelines import Outcome

GIB = 2**30


def throttled(node: str, at: datetime, level: int = 2, episode: str = "e") -> ThermalThrottled:
    return ThermalThrottled(
        node=node, episode_id=episode, level=level, reason="fan stopped", since=at, time=at
    )


def recovered(node: str, at: datetime, episode: str = "e") -> ThermalRecovered:
    return ThermalRecovered(
        node=node, episode_id=episode, level=0, peak_level=2, duration_s=9, since=at, time=at
    )


def sampled(
    node: str, at: datetime, thermal: Thermal | None = None, boot: str = "b", **more: Any
) -> TelemetrySampled:
    sample = HardwareSample(
        seq=1,
        boot_id=boot,
        observed_at=at,
        window_s=10,
        thermal=thermal or Thermal(level=0),
        **more,
    )
    return TelemetrySampled(node=node, sample=sample, time=at)


def project(name: str, train: dict[str, Any], **share: Any) -> ProjectRegistered:
    settings = ProjectSettings(
        name=name,
        train=TrainSettings(command="python train.py", **train),
        share=ShareSettings(**share),
    )
    return ProjectRegistered(project=name, settings=settings, path="/projects", revision=1)


async def why(world: Any, key: str) -> dict[str, Any]:
    found: dict[str, Any] = await world.bus.ask(
        "orchestration_bridge", "why", {"workflow_key": key}
    )
    return found


async def queued(world: Any, name: str = "rain") -> Any:
    return (await world.tell(StartWorkflow(project=name)))[0]


async def test_throttled_waits_and_tells_why_then_recovered_and_starts(world: Any) -> None:
    await world.tell(world.registered(), sampled("n1", world.now))
    await world.tell(throttled("n1", world.now))

    said = await queued(world)
    assert said.decision.gate is Gate.HEAT
    assert said.decision.obstacles[0].reason == "n1 is at heat level 2: fan stopped"
    assert await world.round() == ["workflow.rescheduled"]
    told = world.last("workflow.rescheduled")
    assert (told.from_node, told.to_node) == (None, None)
    assert "n1 is at heat level 2" in told.reason

    world.now += timedelta(seconds=20)
    await world.tell(recovered("n1", world.now))

    assert await world.round() == ["workflow.started"]
    assert world.last("workflow.started").node == "n1"


async def test_waiting_work_moves_to_a_cooler_machine(world: Any) -> None:
    await world.tell(project("rain", {}, max_parallel=1), sampled("n1", world.now))
    await queued(world)
    await world.round()
    await world.tell(world.registered_as("sun"), world.registered_as("fog"))
    await queued(world, "sun")
    await world.round()
    key = (await queued(world, "fog")).workflow_key
    assert await world.round() == []
    assert (await why(world, key))["workflow"]["node"] == "n1"

    world.now += timedelta(seconds=5)
    await world.tell(sampled("n2", world.now), throttled("n1", world.now))

    assert await world.round() == ["workflow.rescheduled", "workflow.started"]
    moved = world.last("workflow.rescheduled")
    assert (moved.from_node, moved.to_node) == ("n1", "n2")
    assert moved.reason == "n1 is at heat level 2: fan stopped; n2 is cooler"
    assert world.pipelines.runs[key].node == "n2"


async def test_pools_follow_heat_and_come_back_slowly(world: Any) -> None:
    pools = world.dispatcher.pools
    await world.tell(sampled("n1", world.now))
    await pools.round()
    await world.tell(throttled("n1", world.now))
    await pools.round()
    assert world.pipelines.resized == [("n1", 2), ("n1", 1)]

    world.now += timedelta(seconds=30)
    await world.tell(recovered("n1", world.now))
    await pools.round()
    assert world.pipelines.pools == {"n1": 1}
    world.now += timedelta(seconds=160)
    await pools.round()

    assert world.pipelines.resized == [("n1", 2), ("n1", 1), ("n1", 2)]


async def test_flapping_does_not_flap_pools(world: Any) -> None:
    pools = world.dispatcher.pools
    for number in range(40):
        world.now += timedelta(seconds=7)
        hot, episode = number % 2 == 0, f"e{number // 2}"
        edge = throttled if hot else recovered
        await world.tell(edge("n1", world.now, episode=episode))
        await pools.round()

    assert world.pipelines.resized == [("n1", 1)]


async def test_heat_wakes_the_pools_at_once(world: Any) -> None:
    await world.tell(sampled("n1", world.now))
    await world.dispatcher.pools.round()
    keeping = asyncio.create_task(anext(world.dispatcher.pools.messages(), None))
    await asyncio.sleep(0)

    await world.tell(throttled("n1", world.now))

    async with asyncio.timeout(30):
        while world.pipelines.pools["n1"] != 1:
            await asyncio.sleep(0.005)
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping


async def test_a_pool_that_cannot_be_changed_is_tried_again(world: Any) -> None:
    await world.tell(sampled("n1", world.now))
    world.pipelines.away = 1

    await world.dispatcher.pools.round()
    assert world.pipelines.pools == {}
    await world.dispatcher.pools.round()

    assert world.pipelines.pools == {"n1": 2}


async def test_a_machine_that_vanishes_under_its_work_is_told(world: Any) -> None:
    await world.tell(world.registered(), sampled("n1", world.now))
    running = (await queued(world)).workflow_key
    await world.round()
    await world.tell(world.registered_as("sun"))
    world.now += timedelta(seconds=60)

    waits = await queued(world, "sun")

    assert waits.decision.gate is Gate.UNKNOWN_NODE
    assert "n1 has said nothing for 60 s" in waits.decision.reason
    found = await why(world, running)
    assert "n1 has said nothing for 60 s" in found["reason"]
    assert found["state"] == "running"


async def test_a_machine_that_lies_takes_no_new_work(world: Any) -> None:
    lie = Thermal(level=0, derived_throttle=True, reasons=("thermal",))
    await world.tell(world.registered(), sampled("n1", world.now, lie))

    said = await queued(world)

    assert said.decision.gate is Gate.HEAT
    assert "its clocks or speed fall while it says level 0 (thermal)" in said.decision.reason


async def test_a_steady_wrong_clock_neither_silences_nor_ages_a_machine(world: Any) -> None:
    await world.tell(world.registered())
    for _ in range(3):
        world.now += timedelta(seconds=10)
        await world.tell(sampled("n1", world.now - timedelta(hours=2)))
    await world.tell(throttled("n1", world.now - timedelta(hours=2), level=3))

    assert (await queued(world)).decision.thermal_level == 3
    answer = await world.bus.ask("orchestration_bridge", "queue", {})
    assert answer["nodes"]["n1"]["clock_behind_s"] == pytest.approx(7200)


async def test_backfilled_samples_are_ignored(world: Any) -> None:
    await world.tell(world.registered(), sampled("n1", world.now))
    old = sampled("n1", world.now, Thermal(level=4), backfill=True)

    await world.tell(old)

    assert (await queued(world)).decision.admitted


async def test_two_agents_of_one_name_hold_work_until_that_is_settled(world: Any) -> None:
    await world.tell(world.registered())
    for boot in ("one", "two", "one", "two"):
        world.now += timedelta(seconds=5)
        await world.tell(sampled("n1", world.now, boot=boot))

    said = await queued(world)

    assert said.decision.gate is Gate.UNKNOWN_NODE
    assert "n1 is two machines" in said.decision.reason


async def test_memory_holds_with_its_figures_and_lets_go(world: Any) -> None:
    tight = Memory(total_bytes=16 * GIB, available_bytes=5 * GIB)
    await world.tell(
        project("big", {"resources": Resources(memory_gb=8)}),
        sampled("n1", world.now, memory=tight),
    )

    said = await queued(world, "big")
    assert said.decision.gate is Gate.MEMORY
    assert said.decision.reason == "n1 has 5.0 GiB of memory free, 9.6 GiB are needed"
    assert said.decision.memory_free_bytes == 5 * GIB
    assert await world.round() == []

    world.now += timedelta(seconds=20)
    free = Memory(total_bytes=16 * GIB, available_bytes=12 * GIB)
    await world.tell(sampled("n1", world.now, memory=free))
    assert await world.round() == ["workflow.started"]


async def test_what_can_never_run_is_declined_at_once_with_the_fix(world: Any) -> None:
    here: dict[str, Any] = {
        "memory": Memory(total_bytes=16 * GIB, available_bytes=12 * GIB),
        "chip": Chip(mps_available=True, cuda_available=False),
    }
    cuda = Resources(accelerator=Accelerator.CUDA)
    await world.tell(
        project("big", {"resources": Resources(memory_gb=64)}),
        project("gpu", {"resources": cuda}),
        sampled("n1", world.now, **here),
    )

    big, gpu = await queued(world, "big"), await queued(world, "gpu")

    assert (big.type, gpu.type) == ("workflow.declined", "workflow.declined")
    assert "the largest machine (n1) has 16.0 GiB" in big.reason
    assert "no machine has it (there is mlx, mps)" in gpu.reason


async def test_latency_critical_work_waits_already_where_it_is_warm(world: Any) -> None:
    await world.tell(
        project("fast", {"latency_critical": True}),
        world.registered(),
        sampled("n1", world.now, Thermal(level=1)),
    )

    assert (await queued(world, "fast")).decision.gate is Gate.HEAT
    assert (await queued(world)).decision.admitted


async def test_the_expected_start_and_its_error_are_told(world: Any) -> None:
    await world.tell(project("rain", {}, max_parallel=1), sampled("n1", world.now))
    first = (await queued(world)).workflow_key
    await world.round()
    world.now += timedelta(seconds=100)
    world.pipelines.outcomes[first] = _ended(world.now)
    await world.round()
    await world.tell(sampled("n1", world.now))
    second = (await queued(world)).workflow_key
    await world.round()
    await world.tell(StartWorkflow(project="rain", model="other"))
    third = world.last("workflow.queued")
    await world.round()

    assert third.decision.gate is Gate.PARALLEL
    assert third.decision.expected_start_at == world.now + timedelta(seconds=100)
    world.now += timedelta(seconds=130)
    world.pipelines.outcomes[second] = _ended(world.now)
    await world.tell(sampled("n1", world.now))
    await world.round()
    await world.round()
    answer = await world.bus.ask("orchestration_bridge", "queue", {})

    assert world.pipelines.started[-1] == third.workflow_key
    assert answer["expected_error_s"] == pytest.approx(30)


def _ended(at: datetime) -> Any:
    return Outcome(completed=True, ended_at=at)


def test_a_document_of_an_earlier_version_still_reads() -> None:
    old = '{"node":{"level":1,"seen_at":"2026-01-01T12:00:00Z","interval":"PT5S","reason":""}}'

    assert NodeDocument.model_validate_json(old).node.level == 1
