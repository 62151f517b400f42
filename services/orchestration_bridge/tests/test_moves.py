# SPDX-License-Identifier: Apache-2.0
"""Running work that is asked to save, leaves, is stopped or loses its machine: told once, started again once, never twice."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.orchestration_bridge import Ask, CancelWorkflow, StartWorkflow
from mlops.contracts.settings import CheckpointSettings, ProjectSettings, TrainSettings
from mlops.contracts.telemetry_agent import (
    HardwareSample,
    TelemetrySampled,
    Thermal,
    ThermalRecovered,
    ThermalThrottled,
)
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered
from mlops.orchestration_bridge.model.workers import Work, Worker
from mlops.orchestration_bridge.ports.books import QueueDocument

MINUTE = timedelta(minutes=1)


def project(name: str = "rain", *, saves: bool = True) -> ProjectRegistered:
    checkpoint = CheckpointSettings(grace=MINUTE) if saves else None
    train = TrainSettings(command="python train.py", checkpoint=checkpoint)
    settings = ProjectSettings(name=name, train=train)
    return ProjectRegistered(project=name, settings=settings, path="/projects", revision=1)


def hot(node: str, at: datetime, level: int, episode: str = "e1") -> ThermalThrottled:
    return ThermalThrottled(
        node=node, episode_id=episode, level=level, reason="fan stopped", since=at, time=at
    )


def cool(node: str, at: datetime, episode: str = "e1") -> ThermalRecovered:
    return ThermalRecovered(
        node=node, episode_id=episode, level=0, peak_level=3, duration_s=9, since=at, time=at
    )


def sampled(node: str, at: datetime) -> TelemetrySampled:
    sample = HardwareSample(
        seq=1, boot_id=node, observed_at=at, window_s=10, thermal=Thermal(level=0)
    )
    return TelemetrySampled(node=node, sample=sample, time=at)


async def running(world: Any, *, saves: bool = True) -> str:
    """Start a workflow on n1 and let it run for ten minutes; n2 is there and cool."""
    await world.tell(project(saves=saves), sampled("n1", world.now))
    [queued] = await world.tell(StartWorkflow(project="rain"))
    assert await world.round() == ["workflow.started"]
    world.now += 10 * MINUTE
    await world.tell(sampled("n1", world.now), sampled("n2", world.now))
    return str(queued.workflow_key)


async def why(world: Any, key: str) -> dict[str, Any]:
    found: dict[str, Any] = await world.bus.ask(
        "orchestration_bridge", "why", {"workflow_key": key}
    )
    return found


async def test_throttled_work_is_asked_once_to_save_and_goes_on(world: Any) -> None:
    key = await running(world)
    await world.tell(hot("n1", world.now, 2))

    assert await world.round() == ["checkpoint.requested"]
    assert await world.round() == []

    asked = world.last("checkpoint.requested")
    assert (asked.ask, asked.node, asked.attempt, asked.request) == (Ask.SAVE, "n1", 1, 1)
    assert asked.causation_id == world.last("workflow.started").id
    assert "n1 is at heat level 2: fan stopped" in asked.reason
    found = await why(world, key)
    assert (found["asked"]["ask"], found["asked"]["request"]) == ("save", 1)
    assert "it should save, and goes on" in found["reason"]


async def test_drained_work_leaves_is_told_and_goes_on_elsewhere_from_its_checkpoint(
    world: Any,
) -> None:
    key = await running(world)
    await world.tell(hot("n1", world.now, 3))
    assert await world.round() == ["checkpoint.requested"]
    assert world.last("checkpoint.requested").ask is Ask.LEAVE

    world.now += MINUTE
    await world.tell(sampled("n2", world.now))
    world.pipelines.leave(key, at=world.now)
    assert await world.round() == ["workflow.rescheduled"]

    told = world.last("workflow.rescheduled")
    assert (told.from_node, told.to_node) == ("n1", "n2")
    assert (told.attempt, told.from_checkpoint) == (1, True)
    assert "n2 is cooler" in told.reason
    assert await world.round() == ["workflow.started"]
    started = world.last("workflow.started")
    assert (started.attempt, started.node, started.dag_run_id) == (2, "n2", f"{key}.2")
    assert started.waited_s == 0
    assert world.pipelines.started == [key, f"{key}.2"]
    assert world.pipelines.runs[f"{key}.2"].attempt == 2
    found = await why(world, key)
    assert (found["attempt"], found["from_checkpoint"], found["asked"]) == (2, True, None)
    assert [(one["node"], one["parted"]) for one in found["attempts"]] == [("n1", "left")]


async def test_the_end_counts_the_time_of_all_attempts(world: Any) -> None:
    key = await running(world)
    await world.tell(hot("n1", world.now, 3))
    await world.round()
    world.pipelines.leave(key, at=world.now)
    await world.round()
    await world.round()
    world.pipelines.finish(f"{key}.2")
    started, ended = world.now, world.pipelines.outcomes[f"{key}.2"].ended_at

    assert await world.round() == ["workflow.completed"]

    completed = world.last("workflow.completed")
    assert completed.duration_s == pytest.approx(600 + max(0.0, (ended - started).total_seconds()))
    assert completed.causation_id == world.last("workflow.started").id
    assert completed.dag_run_id == f"{key}.2"


async def test_work_that_cannot_save_is_stopped_only_in_danger_and_starts_from_nothing(
    world: Any,
) -> None:
    key = await running(world, saves=False)
    await world.tell(hot("n1", world.now, 3))
    assert await world.round() == []

    await world.tell(hot("n1", world.now + MINUTE / 60, 4))
    assert await world.round() == ["checkpoint.requested"]
    assert world.last("checkpoint.requested").ask is Ask.STOP
    world.pipelines.leave(key, saved=False, at=world.now)
    assert await world.round() == ["workflow.rescheduled"]

    assert world.last("workflow.rescheduled").from_checkpoint is False


async def test_a_step_that_does_not_hear_is_ended_by_the_orchestrator_and_starts_again(
    world: Any,
) -> None:
    key = await running(world)
    await world.tell(hot("n1", world.now, 4))
    assert await world.round() == ["checkpoint.requested"]

    world.now += 3 * MINUTE
    await world.tell(hot("n1", world.now, 4), sampled("n2", world.now))
    assert await world.round() == []
    assert world.pipelines.stopped == [key]
    assert await world.round() == []  # its processes are given the time to end
    world.now += timedelta(seconds=20)
    assert await world.round() == ["workflow.rescheduled"]

    await world.tell(sampled("n2", world.now))
    assert await world.round() == ["workflow.started"]
    assert world.pipelines.started == [key, f"{key}.2"]


async def test_evictions_end_in_a_failure_that_says_why(world: Any) -> None:
    key = await running(world)
    for attempt in range(1, 5):
        run = key if attempt == 1 else f"{key}.{attempt}"
        node = world.last("workflow.started").node
        await world.tell(hot(node, world.now, 4, episode=f"e{attempt}"))
        await world.round()
        world.pipelines.leave(run, at=world.now)
        await world.round()
        world.now += 10 * MINUTE
        for name in ("n1", "n2"):
            await world.tell(cool(name, world.now, f"e{attempt}"), sampled(name, world.now))
        await world.round()

    failed = world.last("workflow.failed")
    assert "its machine stopped it for its heat 4 times" in failed.diagnosis
    assert len(world.pipelines.started) == 4
    told = [m.type for m in world.bus.published if m.type.startswith("workflow.")]
    assert told.count("workflow.rescheduled") == 3


async def vanished(world: Any, work: Work = Work.GONE) -> str:
    """Start a workflow on n1, which is silent from then on; n2 speaks."""
    world.pipelines.machines = {"n1": Worker("n1", Work.READY), "n2": Worker("n2", Work.READY)}
    await world.dispatcher.pools.round()
    key = await running(world)
    world.pipelines.machines["n1"] = Worker("n1", work)
    world.now += 11 * MINUTE
    await world.tell(sampled("n2", world.now))
    await world.dispatcher.pools.round()
    return key


@pytest.fixture
def fleet(world: Any) -> Any:
    """A bridge whose Airflow has workers on other machines."""
    return type(world)(several=True)


async def test_a_machine_that_vanished_with_its_work_is_fenced_before_it_starts_elsewhere(
    fleet: Any,
) -> None:
    world, key = fleet, await vanished(fleet)

    assert await world.round() == []
    assert await world.round() == []
    assert world.pipelines.stopped == [key]
    world.now += timedelta(seconds=20)
    await world.tell(sampled("n2", world.now))
    assert await world.round() == ["workflow.rescheduled"]
    assert await world.round() == ["workflow.started"]

    told = world.last("workflow.rescheduled")
    assert "neither its agent nor its worker spoke for 11 min" in told.reason
    assert (told.from_node, told.from_checkpoint) == ("n1", False)
    assert world.last("workflow.started").node == "n2"


async def test_a_machine_whose_worker_answers_keeps_its_work_and_why_says_so(fleet: Any) -> None:
    world, key = fleet, await vanished(fleet, Work.READY)

    assert await world.round() == []
    assert await world.round() == []

    assert world.pipelines.stopped == []
    assert "its worker still answers: it goes on" in (await why(world, key))["reason"]


async def test_a_run_that_ended_without_a_word_while_its_machine_was_silent_starts_again(
    world: Any,
) -> None:
    key = await running(world)
    world.now += MINUTE
    await world.tell(sampled("n2", world.now))
    world.pipelines.vanish(key, at=world.now)

    assert await world.round() == ["workflow.rescheduled"]
    assert await world.round() == ["workflow.started"]

    assert "it ended without a word" in world.last("workflow.rescheduled").reason


async def test_cancelling_in_the_middle_of_a_move_ends_the_attempt_that_runs(world: Any) -> None:
    key = await running(world)
    await world.tell(hot("n1", world.now, 3))
    await world.round()
    world.pipelines.leave(key, at=world.now)
    await world.round()

    [cancelled] = await world.tell(CancelWorkflow(project="rain", workflow_key=key))
    assert cancelled.type == "workflow.cancelled"
    assert await world.round() == []
    assert world.pipelines.started == [key]


async def test_cancelling_what_was_asked_and_what_was_moved_ends_its_run(world: Any) -> None:
    key = await running(world)
    await world.tell(hot("n1", world.now, 3))
    await world.round()
    world.pipelines.leave(key, at=world.now)
    await world.round()
    await world.round()

    await world.tell(CancelWorkflow(project="rain", workflow_key=key))

    assert await world.round() == []
    assert world.pipelines.stopped == [f"{key}.2"]


async def test_archiving_in_the_middle_of_a_move_ends_it_all(world: Any) -> None:
    key = await running(world)
    await world.tell(hot("n1", world.now, 3))
    await world.round()

    await world.tell(ProjectArchived(project="rain", time=world.now + MINUTE))

    assert world.pipelines.stopped == [key]
    assert await world.round() == []


async def test_an_orchestrator_that_is_away_in_the_middle_of_a_move_is_waited_for(
    world: Any,
) -> None:
    key = await running(world)
    await world.tell(hot("n1", world.now, 3))
    await world.round()
    world.pipelines.leave(key, at=world.now)
    world.pipelines.away = 1
    assert await world.round() == []

    assert await world.round() == ["workflow.rescheduled"]
    world.pipelines.away = 2
    assert await world.round() == []
    assert await world.round() == []
    assert await world.round() == ["workflow.started"]
    assert world.pipelines.started == [key, f"{key}.2"]


class DiedError(BaseException):
    """The process died."""


class Dying:
    """Stands for the documents of the queues: the process dies at one of its writes, just before it or just after."""

    def __init__(self, documents: Any, at: int, *, before: bool) -> None:
        self._documents = documents
        self._left = at
        self._before = before

    def __getattr__(self, name: str) -> Any:
        return getattr(self._documents, name)

    async def change(self, *given: Any, **named: Any) -> Any:
        self._left -= 1
        if self._left == 0 and self._before:
            raise DiedError
        changed = await self._documents.change(*given, **named)
        if self._left == 0:
            raise DiedError
        return changed


async def moved(world: Any, died: list[int], at: int, *, before: bool) -> list[tuple[str, str]]:
    """Let a workflow move while the process dies at its write number *at*; return what the bus has heard, once each."""
    key = await running(world)
    await world.tell(hot("n1", world.now, 3))
    books = world.dispatcher._books
    books._queues = Dying(books._queues, at, before=before)
    for step in range(12):
        if step == 3:
            world.pipelines.leave(key, at=world.now)
        if step == 8:
            world.pipelines.finish(f"{key}.2")
        try:
            await world.round()
        except DiedError:
            died.append(at)
            world.dispatcher = world.wired(MemoryBus(_buckets=world.bus._buckets))
    assert world.pipelines.started == [key, f"{key}.2"]
    told = {m.id: m for m in world.bus.published if m.type.startswith(("workflow.", "check"))}
    return [(one.type, getattr(one, "attempt", "")) for one in told.values()]


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("at", range(1, 10))
async def test_a_crash_at_any_write_of_a_move_loses_and_repeats_nothing(
    world: Any,
    at: int,
    before: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    died: list[int] = []

    told = await moved(world, died, at, before=before)

    assert died == [at]
    assert told == [
        ("workflow.queued", ""),
        ("workflow.started", 1),
        ("checkpoint.requested", 1),
        ("workflow.rescheduled", 1),
        ("workflow.started", 2),
        ("workflow.completed", ""),
    ]


def test_a_queue_of_an_earlier_version_still_reads() -> None:
    old = (
        '{"queue":{"project":"p","entries":[{"key":"k","kind":"train","model":"m","why":"",'
        '"trigger_id":"t","trigger_type":"x","queued_id":"q","story_id":"s","state":"running",'
        '"told":"running","queued_at":"2026-01-01T12:00:00Z","started_at":"2026-01-01T12:00:00Z"}]}}'
    )

    entry = QueueDocument.model_validate_json(old).queue.entries[0]

    assert (entry.attempt, entry.stints, entry.asked, entry.forced) == (1, (), (), None)
