# SPDX-License-Identifier: Apache-2.0
"""What the platform sees of serving, told over the memory bus."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from mlops.chassis.bus_memory import MemoryBus
from mlops.contracts.serving import (
    DeploymentCompleted,
    DeploymentFailed,
    DeploymentRemoved,
    DeploymentReverted,
    DeploymentStarted,
    DeployModel,
    RollbackModel,
    UndeployModel,
)
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.tracking import ModelPromoted
from mlops.contracts.workspaces import (
    ProjectArchived,
    ProjectRegistered,
    WorkspaceProvisioned,
    WorkspaceRefused,
)
from mlops.serving.app import wire
from mlops.serving.model.evidence import Counts


async def test_a_project_gets_its_endpoint(stage: Any) -> None:
    told = stage.only(WorkspaceProvisioned)

    assert (told.component, told.names) == ("serving", {"endpoint": "/v2/models/rain"})


async def test_a_project_that_serves_nothing_gets_none(stage: Any) -> None:
    settings = ProjectSettings(name="sun")

    await stage.tell(ProjectRegistered(project="sun", settings=settings, revision=1))

    assert stage.bus.published[-1].model_dump()["names"] == {}


async def test_two_projects_cannot_share_an_endpoint(stage: Any) -> None:
    settings = stage.settings.model_copy(update={"name": "sun"})

    await stage.tell(ProjectRegistered(project="sun", settings=settings, revision=1))

    assert stage.only(WorkspaceRefused).reason.startswith(
        "endpoint /v2/models/rain belongs to project 'rain'"
    )


async def test_the_first_champion_answers_everything(stage: Any) -> None:
    await stage.tell(stage.promoted(1))
    await stage.turn(times=10)

    assert stage.said() == [
        "v1 started",
        "v1 packed 0",
        "v1 warm 0",
        "v1 canary 1",
        "v1 completed",
    ]
    answer = await stage.bus.ask("serving", "routes", {})
    assert answer["routes"] == [
        {
            "project": "rain",
            "model": "rain",
            "versions": [{"version": 1, "url": "http://door/rain/rain/v1", "weight": 1.0}],
            "shadow": None,
            "asleep": False,
        }
    ]


async def test_a_new_champion_takes_over_step_by_step_and_the_old_one_drains(stage: Any) -> None:
    await stage.first()
    promotion = stage.promoted(2, correlation_id="story")

    await stage.tell(promotion)
    shares = []
    for _ in range(40):
        await stage.turn()
        shares.append(await stage.routes())

    assert stage.said() == [
        "v2 started",
        "v2 packed 0",
        "v2 warm 0",
        "v2 canary 0.1",
        "v2 canary 1",
        "v2 completed",
        "v1 removed",
    ]
    assert [dict(one) for one in dict.fromkeys(tuple(one.items()) for one in shares)] == [
        {1: 1.0},
        {1: 0.9, 2: 0.1},
        {2: 1.0},
    ]
    assert list(stage.replicas.apps) == ["rain.rain.v2"]
    told = stage.only(DeploymentCompleted)
    assert (told.previous_version, told.metric, told.metrics) == (1, "accuracy", {"accuracy": 0.8})
    facts = [one for one in stage.bus.published if one.type in stage.kinds]
    assert {(one.correlation_id, one.causation_id) for one in facts} == {("story", promotion.id)}
    assert len({one.id for one in facts}) == len(facts)


async def test_each_share_is_held_as_long_as_the_project_says(stage: Any) -> None:
    await stage.first()
    await stage.tell(stage.promoted(2))

    await stage.turn(0.5, times=20)

    at = {stage.short(one): one.time for one in stage.bus.published}
    assert at.keys() >= {"v2 canary 0.1", "v2 canary 1", "v2 completed"}
    detail = await stage.bus.ask("serving", "get", {"project": "rain", "model": "rain"})
    marks = detail["deployment"]["rollouts"][-1]["marks"]
    times = [datetime.fromisoformat(mark["at"]) for mark in marks if mark["phase"] != "starting"]
    assert [b - a for a, b in pairwise(times[1:])] == [
        timedelta(seconds=2),
        timedelta(seconds=2),
    ]


async def test_a_model_that_the_project_does_not_serve_is_left_alone(stage: Any) -> None:
    await stage.tell(
        ModelPromoted(project="rain", name="other", version=1),
        ModelPromoted(project="nobody", name="rain", version=1),
    )
    await stage.turn(times=5)

    assert stage.said() == []


async def test_errors_of_the_new_version_take_it_back(stage: Any) -> None:
    await stage.first()
    stage.traffic.by_version = {
        1: Counts(1000, 0),
        2: Counts(40, 40),
    }  # an earlier life of version 2
    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)
    assert await stage.routes() == {1: 0.9, 2: 0.1}

    stage.traffic.by_version = {1: Counts(1200, 0), 2: Counts(60, 45)}
    await stage.turn()

    assert await stage.routes() == {1: 1.0}
    told = stage.only(DeploymentReverted)
    assert (told.to_version, told.error_ratio) == (1, 0.25)
    assert told.reason == "5 of 20 requests failed (25.0%), 2.0% are allowed"
    await stage.turn(times=20)
    assert stage.said()[-2:] == ["v2 reverted", "v2 removed"]


async def test_a_version_that_cannot_be_packed_fails_and_the_old_one_answers(stage: Any) -> None:
    await stage.first()
    stage.packages.broken = {2: "version 2 of 'rain' has no MLmodel file"}

    await stage.tell(stage.promoted(2))
    await stage.turn(times=5)

    told = stage.only(DeploymentFailed)
    assert (told.phase, told.reason) == ("packing", "version 2 of 'rain' has no MLmodel file")
    assert await stage.routes() == {1: 1.0}


async def test_a_version_that_cannot_start_fails_and_the_old_one_answers(stage: Any) -> None:
    await stage.first()
    package = await stage.packages.pack("rain", "rain", 2, "auto")
    stage.replicas.broken = {package.bento_tag: "No module named 'lightgbm'"}

    await stage.tell(stage.promoted(2))
    await stage.turn(times=10)

    told = stage.only(DeploymentFailed)
    assert (told.phase, told.reason) == ("starting", "No module named 'lightgbm'")
    assert await stage.routes() == {1: 1.0}
    assert list(stage.replicas.apps) == ["rain.rain.v1"]
    assert stage.said() == ["v2 started", "v2 packed 0", "v2 failed"]


async def test_while_the_registry_is_away_the_rollout_waits_then_fails(stage: Any) -> None:
    await stage.first()
    stage.packages.away = True
    await stage.tell(stage.promoted(2))

    await stage.turn(10, times=5)
    assert stage.said() == ["v2 started"]
    await stage.turn(10, times=5)

    assert stage.only(DeploymentFailed).reason == "the registry is away"


async def test_a_newer_champion_supersedes_an_unfinished_rollout(stage: Any) -> None:
    await stage.first()
    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)
    third = stage.promoted(3)

    await stage.tell(third)
    await stage.turn(times=60)

    reverted = stage.only(DeploymentReverted)
    assert (reverted.version, reverted.reason) == (2, "superseded by version 3")
    assert reverted.causation_id == third.id
    assert [one for one in stage.said() if "completed" in one] == ["v3 completed"]
    assert list(stage.replicas.apps) == ["rain.rain.v3"]


async def test_a_late_promotion_does_not_bring_back_an_older_champion(stage: Any) -> None:
    early = stage.promoted(1)
    await stage.tell(stage.promoted(2, time=stage.now + timedelta(seconds=1)), early)
    await stage.turn(times=30)

    assert await stage.routes() == {2: 1.0}


async def test_a_rollback_serves_the_version_before(stage: Any) -> None:
    await stage.first()
    await stage.tell(stage.promoted(2))
    await stage.turn(times=40)

    back = RollbackModel(project="rain", model="rain", time=stage.now)
    await stage.tell(back)
    await stage.turn(times=40)

    assert await stage.routes() == {1: 1.0}
    assert stage.said()[-2:] == ["v1 completed", "v2 removed"]
    assert stage.bus.published[-1].causation_id == back.id


async def test_a_rollback_in_mid_rollout_takes_it_back(stage: Any) -> None:
    await stage.first()
    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)

    back = RollbackModel(project="rain", model="rain", time=stage.now)
    await stage.tell(back)
    await stage.turn(times=20)

    told = stage.only(DeploymentReverted)
    assert (told.version, told.to_version, told.causation_id) == (2, 1, back.id)
    assert await stage.routes() == {1: 1.0}


async def test_a_person_deploys_any_version_even_with_a_slow_clock(stage: Any) -> None:
    await stage.first()
    stage.packages.metrics = {"accuracy": 0.7}

    await stage.tell(
        DeployModel(project="rain", model="rain", version=7, time=stage.now - timedelta(days=1))
    )
    await stage.turn(times=30)

    told = stage.only(DeploymentCompleted)
    assert (told.version, told.metric, told.metrics) == (7, "accuracy", {"accuracy": 0.7})


async def test_only_packages_in_use_or_for_a_rollback_are_kept(stage: Any) -> None:
    await stage.first()
    for version in (2, 3):
        await stage.tell(stage.promoted(version))
        await stage.turn(times=40)

    kept = [await stage.packages.pack("rain", "rain", version, "auto") for version in (2, 3)]

    assert stage.packages.kept == [one.bento_tag for one in kept]


async def test_undeploying_stops_everything_and_says_so(stage: Any) -> None:
    await stage.first()
    wish = UndeployModel(project="rain", model="rain", time=stage.now)

    await stage.tell(wish)
    assert await stage.routes() == {}
    await stage.turn(times=20)

    told = stage.only(DeploymentRemoved)
    assert (told.version, told.causation_id) == (1, wish.id)
    assert stage.replicas.apps == {}


async def test_an_archived_project_is_no_longer_served(stage: Any) -> None:
    await stage.first()

    await stage.tell(ProjectArchived(project="rain", time=stage.now), stage.promoted(2))
    await stage.turn(times=20)

    assert stage.replicas.apps == {}
    assert stage.said() == ["v1 removed"]


async def test_a_redelivered_wish_starts_one_rollout(stage: Any) -> None:
    wish = stage.promoted(1)
    await stage.tell(wish)
    first = [(one.type, one.id) for one in stage.bus.published if one.type in stage.kinds]
    again = MemoryBus(_buckets=stage.bus._buckets)
    wire(again, stage.packages, stage.replicas, stage.replicas, stage.traffic)

    await again.publish(wish)
    await again.settle()

    assert [(one.type, one.id) for one in again.published if one.type in stage.kinds] == first
    assert [type(one) for one in again.published[1:]] == [DeploymentStarted]
