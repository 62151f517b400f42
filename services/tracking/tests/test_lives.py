# SPDX-License-Identifier: Apache-2.0
"""Runs that nobody ends: dead processes, ended workflows; who looks, and what is told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from mlops.chassis.errors import UnavailableError
from mlops.contracts.orchestration_bridge import WorkflowCancelled, WorkflowFailed, WorkflowKind
from mlops.contracts.tracking import (
    ModelRegistered,
    RunCompleted,
    RunFailed,
    RunStale,
    RunStarted,
)
from mlops.tracking.model.facts import Package
from mlops.tracking.model.signs import ENDED_BY, RESUMED, STALE, Limits
from mlops.tracking.sources.reaper import Reaper

LIMITS = Limits(stale_s=300, silent_s=3600, gap_s=65)
NOW_MS = 1_700_000_000_000


class Looking:
    """A reaper whose time the test moves."""

    def __init__(self, world: Any) -> None:
        self.now_s = 0.0
        self.away: str | None = None
        self.reaper = Reaper(world.lives, world.lead, self.deaf, self.clock, lambda: self.now_s)

    async def deaf(self) -> str | None:
        return self.away

    def clock(self) -> datetime:
        return datetime.fromtimestamp(NOW_MS / 1000 + self.now_s, UTC)

    async def until(self, now_s: float) -> list[str]:
        ended: list[str] = []
        while self.now_s < now_s:
            ended += await self.reaper.look(LIMITS)
            self.now_s += 30
        return ended


@pytest.fixture
def looking(world: Any) -> Looking:
    return Looking(world)


def beating(world: Any, **tags: str) -> str:
    tags = {"mlops.heartbeat": f"{NOW_MS} a", **tags}
    run_id: str = world.tracking.start_run("rain", tags=tags, at_ms=NOW_MS - 1000)
    return run_id


async def test_a_dead_process_is_told_once_as_stale_and_not_as_failed(
    world: Any, looking: Looking
) -> None:
    run_id = beating(world, **{"mlops.correlation_id": "story"})

    ended = await looking.until(900)
    await world.settle()

    assert ended == [run_id]
    (stale,) = world.told(RunStale)
    assert isinstance(stale, RunStale)
    assert (stale.run_id, stale.correlation_id) == (run_id, "story")
    assert stale.last_seen_at == stale.ended_at == datetime.fromtimestamp(NOW_MS / 1000, UTC)
    assert "no heartbeat for 5.0 min" in stale.reason
    assert world.told(RunFailed) == []
    run = world.tracking.known(run_id)
    assert (run.status, run.ended_ms, run.facts.tags[STALE]) == ("KILLED", NOW_MS, stale.reason)


async def test_a_beat_after_that_opens_the_run_again(world: Any, looking: Looking) -> None:
    run_id = beating(world)
    await looking.until(400)

    world.tracking.tag(run_id, "mlops.heartbeat", f"{NOW_MS + 500_000} a")
    await world.settle()
    world.tracking.end_run(run_id)
    await world.settle()

    types = [message.type for message in world.bus.published]
    assert types == ["run.started", "run.stale", "run.started", "run.completed"]
    assert [m.resumed for m in world.told(RunStarted) if isinstance(m, RunStarted)] == [False, True]
    (completed,) = world.told(RunCompleted)
    assert isinstance(completed, RunCompleted)
    assert completed.again
    tags = world.tracking.known(run_id).facts.tags
    assert STALE not in tags
    assert "no heartbeat" in tags[RESUMED]


async def test_a_beat_opens_no_run_that_its_client_has_ended(world: Any) -> None:
    run_id = beating(world)
    world.tracking.end_run(run_id, "KILLED")

    world.tracking.tag(run_id, "mlops.heartbeat", f"{NOW_MS + 1} a")
    await world.settle()

    assert world.tracking.known(run_id).status == "KILLED"
    assert len(world.told(RunStarted)) == 1


async def test_a_run_that_is_opened_again_says_so_at_both_ends(world: Any) -> None:
    run_id = world.tracking.start_run("rain")
    world.tracking.end_run(run_id)
    world.tracking.end_run(run_id, "RUNNING")
    world.tracking.end_run(run_id)

    await world.settle()

    assert [
        (message.type, getattr(message, "resumed", None), getattr(message, "again", None))
        for message in world.bus.published
    ] == [
        ("run.started", False, None),
        ("run.completed", None, False),
        ("run.started", True, None),
        ("run.completed", None, True),
    ]


async def test_nobody_is_stale_for_the_time_in_which_the_store_was_away(
    world: Any, looking: Looking
) -> None:
    run_id = beating(world)
    await looking.until(280)
    looking.away = "locked"
    await looking.until(2000)

    looking.away = None
    assert await looking.until(2280) == []
    assert await looking.until(2400) == [run_id]


async def test_who_does_not_lead_looks_at_nothing(world: Any, looking: Looking) -> None:
    run_id = beating(world)
    world.lead.leading = False
    assert await looking.until(1000) == []

    world.lead.leading = True
    assert await looking.until(1280) == []
    assert await looking.until(1400) == [run_id]


async def test_silence_is_remembered_over_a_restart(world: Any, looking: Looking) -> None:
    run_id = world.tracking.start_run("rain", at_ms=NOW_MS)
    await looking.until(3500)

    again = Looking(world)
    assert await again.until(280) == []
    assert await again.until(500) == [run_id]
    await world.settle()

    (stale,) = world.told(RunStale)
    assert isinstance(stale, RunStale)
    assert "nothing logged for 1.0 h" in stale.reason


async def test_a_run_that_logs_is_alive_without_heartbeats(world: Any, looking: Looking) -> None:
    run_id = world.tracking.start_run("rain")
    for hour in range(1, 6):
        await looking.until(3000 * hour)
        world.tracking.log(run_id, {"loss": float(hour)})

    assert world.tracking.known(run_id).status == "RUNNING"


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (
            WorkflowCancelled(
                project="rain", workflow_key="w1", kind=WorkflowKind.TRAIN, reason="by ada"
            ),
            "workflow w1 was cancelled: by ada",
        ),
        (
            WorkflowFailed(
                project="rain",
                workflow_key="w1",
                kind=WorkflowKind.TRAIN,
                step="train",
                diagnosis="Traceback\nMemoryError",
            ),
            "workflow w1 failed in train: MemoryError",
        ),
    ],
)
async def test_what_an_ended_workflow_left_running_is_ended_once(
    world: Any, event: Any, reason: str
) -> None:
    mine = world.tracking.start_run("rain", tags={"mlops.workflow_key": "w1"})
    done = world.tracking.start_run("rain", tags={"mlops.workflow_key": "w1"})
    world.tracking.end_run(done)
    others = [
        world.tracking.start_run("rain", tags={"mlops.workflow_key": "w2"}),
        world.tracking.start_run("snow", tags={"mlops.workflow_key": "w1"}),
    ]

    await world.bus.publish(event)
    await world.settle()
    await world.bus.publish_bytes(event.subject, event.encode(), "again")
    await world.settle()

    (failed,) = world.told(RunFailed)
    assert isinstance(failed, RunFailed)
    assert (failed.run_id, failed.status, failed.reason) == (mine, "KILLED", reason)
    assert (failed.causation_id, failed.correlation_id) == (event.id, event.story_id)
    assert failed.ended_at is not None
    assert abs((failed.ended_at - event.time).total_seconds()) < 0.01
    assert world.tracking.known(mine).facts.tags[ENDED_BY] == reason
    assert [world.tracking.known(run_id).status for run_id in others] == ["RUNNING", "RUNNING"]


async def test_a_stale_run_s_model_is_judged(world: Any, looking: Looking) -> None:
    await world.project()
    run_id = beating(world)
    world.tracking.register("rain", "rain", run_id)
    await world.settle()

    await looking.until(400)
    await world.settle()

    (rejected,) = world.rejected
    assert "'accuracy' is missing" in rejected.reason


async def test_a_model_rejected_for_a_run_that_came_back_is_judged_by_what_it_logged(
    world: Any, looking: Looking
) -> None:
    await world.project()
    run_id = beating(world)
    world.tracking.register("rain", "rain", run_id)
    await world.settle()
    await looking.until(400)
    await world.settle()
    assert len(world.rejected) == 1

    world.tracking.tag(run_id, "mlops.heartbeat", f"{NOW_MS + 500_000} a")
    world.tracking.log(run_id, {"accuracy": 0.9})
    world.tracking.end_run(run_id)
    await world.settle()
    (completed,) = world.told(RunCompleted)
    await world.bus.publish_bytes(completed.subject, completed.encode(), "again")
    await world.settle()

    (promoted,) = world.promoted
    assert promoted.candidate_metrics == {"accuracy": 0.9}
    assert promoted.causation_id == completed.id
    assert len(world.rejected) == 1


async def test_a_judgement_that_died_between_its_new_tags_is_made_after_all(
    world: Any, looking: Looking, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.project()
    run_id = beating(world)
    world.tracking.register("rain", "rain", run_id)
    await world.settle()
    await looking.until(400)
    await world.settle()
    annotate = world.tracking.annotate
    died: list[int] = []

    async def dies_once(project: str, name: str, version: int, tags: dict[str, str]) -> None:
        whole = len(tags) == 1 or bool(died)
        await annotate(project, name, version, tags if whole else dict(list(tags.items())[:-1]))
        if not whole:
            died.append(version)
            raise UnavailableError("killed")

    monkeypatch.setattr(world.tracking, "annotate", dies_once)
    world.tracking.tag(run_id, "mlops.heartbeat", f"{NOW_MS + 500_000} a")
    world.tracking.log(run_id, {"accuracy": 0.9})
    world.tracking.end_run(run_id)
    await world.settle()

    assert (died, len(world.promoted), len(world.rejected)) == ([1], 1, 1)


async def test_a_model_that_was_judged_is_not_judged_again_because_its_run_ends_again(
    world: Any,
) -> None:
    await world.project()
    await world.model(0.9)
    await world.model(0.5)
    registered = world.told(ModelRegistered)[1]
    world.tracking.end_run(registered.run_id, "RUNNING")
    world.tracking.log(registered.run_id, {"accuracy": 0.99})

    world.tracking.end_run(registered.run_id)
    await world.settle()

    assert len(world.promoted) == len(world.rejected) == 1


async def test_a_model_that_still_cannot_be_judged_is_rejected_once(
    world: Any, looking: Looking
) -> None:
    await world.project()
    run_id = beating(world)
    world.tracking.register("rain", "rain", run_id)
    await world.settle()
    await looking.until(400)
    await world.settle()

    world.tracking.tag(run_id, "mlops.heartbeat", f"{NOW_MS + 500_000} a")
    world.tracking.end_run(run_id)
    await world.settle()

    assert len(world.rejected) == 1


async def test_the_registry_shows_project_and_apple_s_backends(world: Any) -> None:
    run_id = world.tracking.start_run("rain")
    apple = {"mlx": "yes", "coreml": "no: no converter"}
    world.tracking.packages[f"runs:/{run_id}/model"] = Package(apple=apple)

    world.tracking.register("rain", "rain", run_id)
    await world.settle()

    version = await world.tracking.version("rain", "rain", 1)
    assert world.bus.published[-1].apple_compatibility == apple
    assert version.tags == {
        "mlops.project": "rain",
        "mlops.apple.mlx": "yes",
        "mlops.apple.coreml": "no: no converter",
    }
