# SPDX-License-Identifier: Apache-2.0
"""What waits and why: an orchestrator that is away, heat, archiving."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from mlops.contracts.orchestration_bridge import CancelWorkflow, StartWorkflow
from mlops.contracts.telemetry_agent import (
    HardwareSample,
    TelemetrySampled,
    Thermal,
    ThermalRecovered,
    ThermalThrottled,
)
from mlops.contracts.workspaces import ProjectArchived


async def test_while_the_orchestrator_is_away_entries_wait_and_the_query_says_so(
    world: Any,
) -> None:
    await world.tell(world.registered())
    await world.tell(world.degraded())
    world.pipelines.away = 2

    assert await world.round() == []
    answer = await world.bus.ask("orchestration_bridge", "queue", {})
    assert answer["orchestrator"]["away"] == "the orchestrator does not answer"
    assert await world.round() == []
    assert await world.round() == ["workflow.started"]


async def test_a_waiting_workflow_starts_when_the_orchestrator_is_back(world: Any) -> None:
    await world.tell(world.registered(), world.registered_as("sun"))
    await world.tell(world.degraded())
    world.pipelines.away = 1
    await world.round()
    queued = (await world.tell(StartWorkflow(project="sun")))[0]
    assert not queued.decision.admitted
    assert "away" in queued.decision.reason

    assert sorted(await world.round()) == ["workflow.started", "workflow.started"]


async def test_a_pipeline_that_is_not_read_yet_is_told_again_and_waited_for(world: Any) -> None:
    await world.tell(world.registered())
    key = (await world.tell(world.degraded()))[0].workflow_key
    world.pipelines.known.clear()

    assert await world.round() == []
    answer = await world.bus.ask("orchestration_bridge", "queue", {"project": "rain"})
    assert answer["projects"][0]["workflows"][0]["note"].startswith("the orchestrator knows no")
    assert await world.round() == ["workflow.started"]
    assert world.pipelines.started == [key]


async def test_heat_holds_new_work_and_lets_it_go(world: Any) -> None:
    await world.tell(world.registered())
    await world.tell(
        ThermalThrottled(
            node="n1", episode_id="e", level=3, reason="fan", since=world.now, time=world.now
        )
    )
    queued = (await world.tell(world.degraded()))[0]
    assert (queued.decision.admitted, queued.decision.thermal_level) == (False, 3)
    assert await world.round() == ["workflow.rescheduled"]
    assert await world.round() == []
    answer = await world.bus.ask("orchestration_bridge", "queue", {})
    assert "n1 is at heat level 3" in answer["projects"][0]["workflows"][0]["decision"]["reason"]

    later = world.now + timedelta(seconds=5)
    await world.tell(
        ThermalRecovered(
            node="n1",
            episode_id="e",
            level=0,
            peak_level=3,
            duration_s=5,
            since=world.now,
            time=later,
        )
    )

    assert await world.round() == ["workflow.started"]


async def test_a_sample_heals_a_missed_recovery(world: Any) -> None:
    await world.tell(world.registered())
    await world.tell(
        ThermalThrottled(
            node="n1", episode_id="e", level=2, reason="fan", since=world.now, time=world.now
        )
    )
    await world.tell(world.degraded())
    await world.round()
    sample = HardwareSample(
        seq=1, boot_id="b", observed_at=world.now, window_s=2, thermal=Thermal(level=0)
    )

    later = world.now + timedelta(seconds=1)
    await world.tell(TelemetrySampled(node="n1", sample=sample, time=later))

    assert await world.round() == ["workflow.started"]


async def test_archiving_takes_everything_out(world: Any) -> None:
    await world.tell(world.registered())
    key = (await world.tell(world.degraded()))[0].workflow_key
    await world.round()

    said = await world.tell(ProjectArchived(project="rain", reason="done"))

    assert [m.type for m in said] == ["workflow.cancelled"]
    assert world.pipelines.stopped == [key]
    assert "rain" not in world.pipelines.known
    declined = (await world.tell(world.degraded()))[0]
    assert "archived" in declined.reason


async def test_a_sample_heals_the_word_of_a_clock_that_went_wrong(world: Any) -> None:
    await world.tell(world.registered())
    ahead = world.now + timedelta(days=300)
    await world.tell(
        ThermalThrottled(
            node="n1", episode_id="e", level=3, reason="fan", since=world.now, time=ahead
        )
    )
    await world.tell(world.degraded())
    sample = HardwareSample(
        seq=1, boot_id="b", observed_at=world.now, window_s=2, thermal=Thermal(level=0)
    )

    await world.tell(TelemetrySampled(node="n1", sample=sample, time=world.now))

    assert await world.round() == ["workflow.started"]


async def test_a_held_workflow_that_is_cancelled_is_told_as_cancelled_last(world: Any) -> None:
    await world.tell(world.registered())
    key = (await world.tell(world.degraded()))[0].workflow_key
    await world.tell(
        ThermalThrottled(
            node="n1", episode_id="e", level=3, reason="fan", since=world.now, time=world.now
        )
    )
    interrupted = world.dispatcher.round()
    await anext(interrupted)  # held; the process died before anybody heard
    await interrupted.aclose()

    await world.tell(CancelWorkflow(project="rain", workflow_key=key))

    assert await world.round() == []


async def test_what_was_said_of_an_orchestrator_is_forgotten_when_nobody_needs_it(
    world: Any,
) -> None:
    await world.tell(world.registered())
    key = (await world.tell(world.degraded()))[0].workflow_key
    world.pipelines.away = 1
    await world.round()
    await world.tell(CancelWorkflow(project="rain", workflow_key=key))
    await world.round()

    answer = await world.bus.ask("orchestration_bridge", "queue", {})

    assert answer["orchestrator"]["away"] is None
