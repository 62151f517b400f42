# SPDX-License-Identifier: Apache-2.0
"""From a trigger to the end of its run, over the memory bus."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.monitoring import (
    DriftDetected,
    DriftKind,
    PerformanceDegraded,
    PerformanceMeasured,
    Severity,
    Window,
)
from mlops.contracts.orchestration_bridge import (
    ApproveWorkflow,
    CancelWorkflow,
    StartWorkflow,
    WorkflowKind,
)
from mlops.contracts.settings import (
    Consent,
    ProjectSettings,
    RetrainSettings,
    ServeSettings,
    TrainSettings,
)
from mlops.contracts.telemetry_agent import (
    HardwareSample,
    TelemetrySampled,
    Thermal,
    ThermalRecovered,
    ThermalThrottled,
)
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered
from mlops.orchestration_bridge.adapters.memory import FakePipelines
from mlops.orchestration_bridge.app import wire
from mlops.orchestration_bridge.sources.dispatcher import Dispatcher

NOON = datetime.now(UTC)


class World:
    """One bridge, its bus, a scripted orchestrator and a clock that stands still."""

    def __init__(self) -> None:
        self.bus = MemoryBus()
        self.pipelines = FakePipelines()
        self.now = NOON
        self.dispatcher: Dispatcher = self.wired(self.bus)

    def wired(self, bus: MemoryBus) -> Dispatcher:
        return wire(bus, self.pipelines, clock=lambda: self.now)

    async def tell(self, *messages: Message) -> list[Any]:
        known = len(self.bus.published)
        for message in messages:
            await self.bus.publish(message)
            await self.bus.settle()
        given = {message.id for message in messages}
        return [message for message in self.bus.published[known:] if message.id not in given]

    async def round(self) -> list[str]:
        known = len(self.bus.published)
        async for message in self.dispatcher.round():
            await self.bus.publish(message)
        return [message.type for message in self.bus.published[known:]]

    def last(self, type_: str) -> Any:
        return [message for message in self.bus.published if message.type == type_][-1]


@pytest.fixture
def world() -> World:
    return World()


def registered(mode: Consent = Consent.AUTO, follow_up: int = 0, revision: int = 1) -> Message:
    return ProjectRegistered(
        project="rain",
        settings=ProjectSettings(
            name="rain",
            train=TrainSettings(command="python train.py"),
            serve=ServeSettings(model="rain"),
            retrain=RetrainSettings(
                mode=mode, follow_up_windows=follow_up, cooldown=timedelta(minutes=1)
            ),
        ),
        path="/projects/rain",
        revision=revision,
        time=NOON - timedelta(hours=1),
    )


def window(index: int) -> Window:
    at = NOON + timedelta(minutes=index)
    return Window(index=index, rows=500, labelled=500, first_at=at, last_at=at)


def degraded(index: int = 0) -> PerformanceDegraded:
    return PerformanceDegraded(
        project="rain",
        model="rain",
        version=1,
        metric="accuracy",
        value=0.61,
        threshold=0.7,
        window=window(index),
    )


def measured(index: int, version: int = 1) -> PerformanceMeasured:
    return PerformanceMeasured(
        project="rain",
        model="rain",
        version=version,
        metric="accuracy",
        value=0.8,
        window=window(index),
    )


async def test_registration_provisions_and_says_what_was_made(world: World) -> None:
    said = await world.tell(registered())

    assert [m.type for m in said] == ["workspace.provisioned"]
    assert said[0].names == {"dag": "rain__train", "pool": "p_rain", "airflow": "memory:"}
    assert world.pipelines.known["rain"].path == "/projects/rain"


async def test_registration_waits_for_an_orchestrator_that_is_not_up_yet(world: World) -> None:
    world.pipelines.away = 20

    said = await world.tell(registered())

    assert [m.type for m in said] == ["workspace.provisioned"]
    assert world.bus.dead == []


async def test_a_project_without_a_folder_is_refused(world: World) -> None:
    message = registered().model_copy(update={"path": None})

    said = await world.tell(message)

    assert [m.type for m in said] == ["workspace.refused"]
    assert "register it with its path" in said[0].reason


async def test_degradation_leads_to_one_retraining_and_its_end(world: World) -> None:
    await world.tell(registered())
    alarm = degraded()

    said = await world.tell(alarm)

    queued = said[0]
    assert queued.type == "workflow.queued"
    assert (queued.kind, queued.place, queued.depth) == (WorkflowKind.RETRAIN, 1, 1)
    assert queued.decision.admitted
    assert queued.workflow_key.startswith("rain-")
    assert await world.round() == ["workflow.started"]
    assert await world.round() == []
    world.pipelines.finish(queued.workflow_key)
    assert await world.round() == ["workflow.completed"]
    assert await world.round() == []
    assert world.pipelines.started == [queued.workflow_key]


async def test_the_chain_of_causes_is_whole(world: World) -> None:
    await world.tell(registered())
    alarm = degraded()
    queued = (await world.tell(alarm))[0]
    await world.round()
    world.pipelines.finish(queued.workflow_key)
    await world.round()

    started, completed = world.last("workflow.started"), world.last("workflow.completed")

    assert (queued.causation_id, started.causation_id) == (alarm.id, queued.id)
    assert completed.causation_id == started.id
    assert {m.correlation_id for m in (queued, started, completed)} == {alarm.id}
    assert world.pipelines.runs[queued.workflow_key].causation_id == started.id
    assert started.id == follow_up_id(queued.id, "workflow.started", 0)


async def test_a_failed_run_tells_its_diagnosis(world: World) -> None:
    await world.tell(registered())
    queued = (await world.tell(degraded()))[0]
    await world.round()
    world.pipelines.finish(queued.workflow_key, step="train", diagnosis="no module named torch")

    assert await world.round() == ["workflow.failed"]
    failed = world.last("workflow.failed")
    assert (failed.step, failed.diagnosis) == ("train", "no module named torch")


async def test_a_second_alarm_while_one_is_under_way_is_declined(world: World) -> None:
    await world.tell(registered())
    key = (await world.tell(degraded()))[0].workflow_key

    said = await world.tell(degraded())

    assert [m.type for m in said] == ["workflow.declined"]
    assert said[0].reason == f"already under way: {key} (waiting)"


async def test_cooldown_says_from_when_on_it_would_be_accepted(world: World) -> None:
    await world.tell(registered())
    queued = (await world.tell(degraded()))[0]
    await world.round()
    world.pipelines.finish(queued.workflow_key)
    await world.round()
    world.now += timedelta(seconds=30)

    declined = (await world.tell(degraded()))[0]

    assert declined.type == "workflow.declined"
    assert declined.retry_at is not None
    assert 0 < (declined.retry_at - world.now).total_seconds() <= 60


async def test_only_critical_drift_retrains(world: World) -> None:
    await world.tell(registered())
    drift = DriftDetected(
        project="rain",
        model="rain",
        version=1,
        kind=DriftKind.DATA,
        share_drifted_ratio=0.9,
        window=window(0),
    )

    assert await world.tell(drift) == []
    critical = drift.model_copy(update={"id": "critical", "severity": Severity.CRITICAL})
    assert [m.type for m in await world.tell(critical)] == ["workflow.queued"]


async def test_one_more_retraining_after_enough_windows(world: World) -> None:
    await world.tell(registered(follow_up=2))
    queued = (await world.tell(degraded(0), measured(0)))[-1]
    await world.round()
    world.pipelines.finish(queued.workflow_key)
    await world.round()
    world.now += timedelta(hours=1)

    assert await world.tell(measured(1, version=2)) == []
    follow_up = (await world.tell(measured(2, version=2)))[0]

    assert follow_up.type == "workflow.queued"
    assert follow_up.why.startswith(f"follow-up of {queued.workflow_key}: 2 windows")
    await world.round()
    world.pipelines.finish(follow_up.workflow_key)
    await world.round()
    world.now += timedelta(hours=1)
    assert await world.tell(measured(3, version=3), measured(4, version=3)) == []


async def test_approval_lets_a_workflow_go(world: World) -> None:
    await world.tell(registered(Consent.APPROVE))
    queued = (await world.tell(degraded()))[0]
    assert queued.awaits_approval
    assert await world.round() == []

    await world.tell(ApproveWorkflow(project="rain", workflow_key=queued.workflow_key))

    assert await world.round() == ["workflow.started"]


async def test_a_person_starts_and_cancels(world: World) -> None:
    await world.tell(registered())
    queued = (await world.tell(StartWorkflow(project="rain", why="first model")))[0]
    await world.round()

    said = await world.tell(CancelWorkflow(project="rain", workflow_key=queued.workflow_key))

    assert [m.type for m in said] == ["workflow.cancelled"]
    assert world.pipelines.stopped == [queued.workflow_key]
    assert await world.round() == []


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (CancelWorkflow(project="rain", workflow_key="nope"), "has no workflow 'nope'"),
        (ApproveWorkflow(project="rain", workflow_key="nope"), "has no workflow 'nope'"),
        (StartWorkflow(project="rain", kind=WorkflowKind.FEDERATED), "no pipeline runs"),
        (
            StartWorkflow(project="unknown", time=NOON - timedelta(minutes=1)),
            "run `mlops register`",
        ),
    ],
)
async def test_impossible_commands_are_refused_with_the_fix(
    world: World, command: Message, reason: str
) -> None:
    await world.tell(registered())

    refusal = (await world.tell(command))[0]

    assert refusal.type == "command.refused"
    assert reason in refusal.reason


async def test_while_the_orchestrator_is_away_entries_wait_and_the_query_says_so(
    world: World,
) -> None:
    await world.tell(registered())
    await world.tell(degraded())
    world.pipelines.away = 2

    assert await world.round() == []
    answer = await world.bus.ask("orchestration_bridge", "queue", {})
    assert answer["orchestrator"]["away"] == "the orchestrator does not answer"
    assert await world.round() == []
    assert await world.round() == ["workflow.started"]


async def test_a_waiting_workflow_starts_when_the_orchestrator_is_back(world: World) -> None:
    await world.tell(registered(), registered_as("sun"))
    await world.tell(degraded())
    world.pipelines.away = 1
    await world.round()
    queued = (await world.tell(StartWorkflow(project="sun")))[0]
    assert not queued.decision.admitted
    assert "away" in queued.decision.reason

    assert sorted(await world.round()) == ["workflow.started", "workflow.started"]


def registered_as(name: str) -> Message:
    settings = ProjectSettings(name=name, train=TrainSettings(command="python train.py"))
    return ProjectRegistered(project=name, settings=settings, path="/projects", revision=1)


async def test_a_pipeline_that_is_not_read_yet_is_told_again_and_waited_for(world: World) -> None:
    await world.tell(registered())
    key = (await world.tell(degraded()))[0].workflow_key
    world.pipelines.known.clear()

    assert await world.round() == []
    answer = await world.bus.ask("orchestration_bridge", "queue", {"project": "rain"})
    assert answer["projects"][0]["workflows"][0]["note"].startswith("the orchestrator knows no")
    assert await world.round() == ["workflow.started"]
    assert world.pipelines.started == [key]


async def test_heat_holds_new_work_and_lets_it_go(world: World) -> None:
    await world.tell(registered())
    await world.tell(
        ThermalThrottled(
            node="n1", episode_id="e", level=3, reason="fan", since=NOON, time=world.now
        )
    )
    queued = (await world.tell(degraded()))[0]
    assert (queued.decision.admitted, queued.decision.thermal_level) == (False, 3)
    assert await world.round() == ["workflow.rescheduled"]
    assert await world.round() == []
    answer = await world.bus.ask("orchestration_bridge", "queue", {})
    assert "n1 is at heat level 3" in answer["projects"][0]["workflows"][0]["decision"]["reason"]

    later = world.now + timedelta(seconds=5)
    await world.tell(
        ThermalRecovered(
            node="n1", episode_id="e", level=0, peak_level=3, duration_s=5, since=NOON, time=later
        )
    )

    assert await world.round() == ["workflow.started"]


async def test_a_sample_heals_a_missed_recovery(world: World) -> None:
    await world.tell(registered())
    await world.tell(
        ThermalThrottled(
            node="n1", episode_id="e", level=2, reason="fan", since=NOON, time=world.now
        )
    )
    await world.tell(degraded())
    await world.round()
    sample = HardwareSample(
        seq=1, boot_id="b", observed_at=NOON, window_s=2, thermal=Thermal(level=0)
    )

    later = world.now + timedelta(seconds=1)
    await world.tell(TelemetrySampled(node="n1", sample=sample, time=later))

    assert await world.round() == ["workflow.started"]


async def test_archiving_takes_everything_out(world: World) -> None:
    await world.tell(registered())
    key = (await world.tell(degraded()))[0].workflow_key
    await world.round()

    said = await world.tell(ProjectArchived(project="rain", reason="done"))

    assert [m.type for m in said] == ["workflow.cancelled"]
    assert world.pipelines.stopped == [key]
    assert "rain" not in world.pipelines.known
    declined = (await world.tell(degraded()))[0]
    assert "archived" in declined.reason


async def test_a_crash_at_any_point_repeats_nothing(world: World) -> None:
    await world.tell(registered())
    key = (await world.tell(degraded()))[0].workflow_key

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


async def test_a_run_that_somebody_deleted_has_failed(world: World) -> None:
    await world.tell(registered())
    key = (await world.tell(degraded()))[0].workflow_key
    await world.round()
    del world.pipelines.runs[key]

    assert await world.round() == ["workflow.failed"]
    assert "deleted" in world.last("workflow.failed").diagnosis
