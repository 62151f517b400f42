# SPDX-License-Identifier: Apache-2.0
"""What rollouts and packing do while machines are hot, told over the memory bus."""

from __future__ import annotations

import asyncio
from typing import Any

from services.serving.tests.heat import (
    changes,
    concurrency,
    cool,
    hot,
    told_to_ray,
)

from mlops.contracts.serving import DeploymentProgressed, RollbackModel
from mlops.contracts.settings import ServeSettings
from mlops.contracts.workspaces import ProjectUpdated


async def test_a_rollout_holds_its_traffic_while_it_is_hot_and_goes_on_after(stage: Any) -> None:
    await stage.first()
    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)
    assert await stage.routes() == {1: 0.9, 2: 0.1}

    await stage.tell(hot(2, stage.now))
    await stage.turn(times=40)
    held = await stage.routes()
    detail = await stage.bus.ask("serving", "get", {"project": "rain", "model": "rain"})
    await stage.tell(cool(stage.now))
    await stage.turn(times=80)

    assert held == {1: 0.9, 2: 0.1}
    why = "waits for a cooler machine; n1 is at level 2: pressure is heavy"
    assert detail["deployment"]["rollout"]["held"] == why
    progressed = [one for one in stage.bus.published if isinstance(one, DeploymentProgressed)]
    [told] = [one for one in progressed if one.phase == "held"]
    assert (told.version, told.traffic_ratio, told.reason) == (2, 0.1, why)
    assert stage.said()[-2:] == ["v2 completed", "v1 removed"]


async def test_from_level_3_on_nothing_is_packed_or_started(stage: Any) -> None:
    await stage.first()
    await stage.tell(hot(3, stage.now), stage.promoted(2))
    await stage.turn(times=20)
    waiting = list(stage.replicas.apps)

    await stage.tell(cool(stage.now))
    await stage.turn(times=120)

    assert waiting == ["rain.rain.v1"]
    assert "v2 held 0" in stage.said()
    assert stage.said()[-2:] == ["v2 completed", "v1 removed"]


async def test_flapping_heat_holds_a_rollout_with_one_word_a_step(stage: Any) -> None:
    await stage.first()
    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)
    for _ in range(30):
        await stage.tell(hot(2, stage.now))
        await stage.turn(5)
        await stage.tell(cool(stage.now))
        await stage.turn(5)

    assert [one for one in stage.said() if "held" in one] == ["v2 held 0.1"]
    assert len([one for one in changes(stage) if one[1] == "slowed"]) <= 2 * 3


async def test_a_first_version_and_a_rollback_wait_for_no_cool_machine(stage: Any) -> None:
    await stage.tell(hot(4, stage.now), stage.promoted(1))
    await stage.turn(times=10)
    assert await stage.routes() == {1: 1.0}

    await stage.tell(cool(stage.now))
    await stage.turn(60, times=10)
    await stage.tell(stage.promoted(2))
    await stage.turn(times=40)
    await stage.tell(hot(4, stage.now))
    await stage.tell(RollbackModel(project="rain", model="rain", time=stage.now))
    await stage.turn(times=40)

    assert await stage.routes() == {1: 1.0}


async def test_a_version_that_fails_is_taken_back_however_hot_it_is(stage: Any) -> None:
    await stage.first()
    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)
    await stage.tell(hot(4, stage.now))

    stage.replicas.stuck = {"rain.rain.v2"}
    stage.replicas._seen.discard("rain.rain.v2")
    await stage.turn(5, times=6)

    assert "v2 reverted" in stage.said()


async def test_what_runs_and_why_it_is_slow_is_shown(stage: Any) -> None:
    await stage.first()
    await stage.tell(hot(2, stage.now))

    answer = await stage.bus.ask("serving", "list", {})

    [found] = answer["deployments"]
    assert found["heat"]["1"] == {
        "level": 2,
        "concurrency": 4,
        "full": 8,
        "node": "n1",
        "why": "n1 is at level 2: pressure is heavy",
    }
    assert answer["nodes"]["n1"]["concurrency"] == 4


async def test_heat_and_other_models_wait_for_no_packing(stage: Any) -> None:
    await stage.first()
    stage.packages.slow = asyncio.Event()
    await stage.tell(stage.promoted(2))
    await stage.turn(times=2)
    snow = stage.settings.model_copy(
        update={"name": "snow", "serve": ServeSettings(model="snow", max_replicas=2)}
    )
    await stage.tell(hot(2, stage.now), ProjectUpdated(project="snow", settings=snow, revision=1))
    await stage.turn()
    during = (await concurrency(stage), await told_to_ray(stage))

    stage.packages.slow.set()
    await stage.tell(cool(stage.now))
    await stage.turn(times=120)

    assert during == (4, 4)
    assert stage.said()[-2:] == ["v2 completed", "v1 removed"]


async def test_packing_that_nobody_waits_for_any_more_is_given_up(stage: Any) -> None:
    await stage.first()
    stage.packages.slow = asyncio.Event()
    await stage.tell(stage.promoted(2))
    await stage.turn(times=2)

    await stage.tell(stage.promoted(3))
    stage.packages.slow.set()
    await stage.turn(times=40)

    assert "v2 reverted" in stage.said()
    assert "v3 completed" in stage.said()
