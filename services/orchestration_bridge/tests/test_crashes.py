# SPDX-License-Identifier: Apache-2.0
"""A crash or a repeat at any point starts nothing twice, loses nothing, and stops nobody else."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from mlops.chassis.bus_memory import MemoryBus
from mlops.chassis.errors import RejectedError
from mlops.contracts.orchestration_bridge import CancelWorkflow, StartWorkflow
from mlops.contracts.workspaces import ProjectArchived
from mlops.orchestration_bridge.adapters.memory import FakePipelines
from mlops.orchestration_bridge.model.lifecycle import Run
from mlops.orchestration_bridge.ports.pipelines import Order, Outcome


async def test_one_project_that_is_refused_does_not_stop_the_others(world: Any) -> None:
    class Refusing(FakePipelines):
        async def look(self, project: str, key: str, attempt: int = 1) -> Outcome | None:
            if project == "rain":
                raise RejectedError("no such permission")
            return await super().look(project, key, attempt)

    world = type(world)(Refusing())
    await world.tell(world.registered(), world.registered_as("sun"))
    refused = (await world.tell(world.degraded()))[0].workflow_key
    key = (await world.tell(StartWorkflow(project="sun")))[0].workflow_key
    await world.round()
    world.pipelines.finish(key)

    assert await world.round() == ["workflow.completed"]
    answer = await world.bus.ask("orchestration_bridge", "queue", {"project": "rain"})
    [waiting] = answer["projects"][0]["workflows"]
    assert (waiting["key"], waiting["note"]) == (refused, "no such permission")


async def test_a_run_that_began_while_its_workflow_was_cancelled_is_ended(world: Any) -> None:
    class Dying(FakePipelines):
        async def start(self, order: Order) -> Run:
            await world.tell(CancelWorkflow(project="rain", workflow_key=order.key))
            await super().start(order)
            raise ProcessDied

    class ProcessDied(BaseException):
        pass

    world = type(world)(Dying())
    await world.tell(world.registered())
    key = (await world.tell(world.degraded()))[0].workflow_key
    try:
        await world.round()
    except ProcessDied:
        world.dispatcher = world.wired(world.bus)

    assert await world.round() == []
    assert world.pipelines.stopped == [key]


async def test_a_redelivered_closing_repeats_its_cancellations_and_leaves_the_opened_project(
    world: Any,
) -> None:
    await world.tell(world.registered())
    await world.tell(world.degraded())
    await world.round()
    closing = ProjectArchived(project="rain", time=world.now)
    cancelled = (await world.tell(closing))[0]
    later = {"time": world.now + timedelta(seconds=1), "revision": 2, "id": "opened"}
    await world.tell(world.registered().model_copy(update=later))

    again = MemoryBus(_buckets=world.bus._buckets)
    world.wired(again)
    await again.publish(closing)
    await again.settle()

    assert [m.id for m in again.published] == [closing.id, cancelled.id]
    assert "rain" in world.pipelines.known


async def test_a_crash_at_any_point_repeats_nothing(world: Any) -> None:
    await world.tell(world.registered())
    key = (await world.tell(world.degraded()))[0].workflow_key

    interrupted = world.dispatcher.round()
    await world.bus.publish(await anext(interrupted))
    await interrupted.aclose()  # told, but the process died before it noted that
    world.dispatcher = world.wired(world.bus)

    assert await world.round() == []
    world.pipelines.finish(key)
    interrupted = world.dispatcher.round()
    await world.bus.publish(await anext(interrupted))
    await interrupted.aclose()
    assert await world.round() == []
    assert [m.type for m in world.bus.published[-2:]] == ["workflow.started", "workflow.completed"]
    assert world.pipelines.started == [key]


async def test_a_run_that_somebody_deleted_has_failed(world: Any) -> None:
    await world.tell(world.registered())
    key = (await world.tell(world.degraded()))[0].workflow_key
    await world.round()
    del world.pipelines.runs[key]

    assert await world.round() == ["workflow.failed"]
    assert "deleted" in world.last("workflow.failed").diagnosis
