# SPDX-License-Identifier: Apache-2.0
"""What serving does while machines are hot, told over the memory bus."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from mlops.contracts.serving import DeploymentProgressed, RollbackModel
from mlops.contracts.settings import ServeSettings
from mlops.contracts.telemetry_agent import (
    HardwareSample,
    TelemetrySampled,
    Thermal,
    ThermalRecovered,
    ThermalThrottled,
)
from mlops.contracts.workspaces import ProjectUpdated
from mlops.serving.ports import NodeHeat


def hot(level: int, at: datetime, node: str = "n1", **changes: Any) -> ThermalThrottled:
    known = {"episode_id": "e", "reason": "pressure is heavy", "since": at, "time": at}
    return ThermalThrottled(node=node, level=level, **{**known, **changes})


def cool(at: datetime, node: str = "n1") -> ThermalRecovered:
    return ThermalRecovered(
        node=node, time=at, episode_id="e", level=0, peak_level=4, duration_s=9, since=at
    )


def sample(level: int | None, at: datetime, node: str = "n1", **changes: Any) -> TelemetrySampled:
    known = {"seq": 1, "boot_id": "b", "observed_at": at, "window_s": 10}
    thermal = Thermal(level=level)
    return TelemetrySampled(
        node=node, time=at, sample=HardwareSample(**{**known, "thermal": thermal, **changes})
    )


def question(node: str = "", replica: str = "r1", version: int = 1) -> dict[str, Any]:
    about = {"project": "rain", "model": "rain", "version": version}
    counts = {"answered": 0, "busy_s": 0.0, "cpu_s": 0.0}
    return {**about, **counts, "replica": replica, "node": node}


async def concurrency(stage: Any, **asked: Any) -> int:
    found = await stage.bus.ask("serving", "limits", question(**asked))
    return int(found["concurrency"])


def changes(stage: Any) -> list[tuple[int, str, int]]:
    return [
        (one.version, one.phase, one.concurrency)
        for one in stage.bus.published
        if isinstance(one, DeploymentProgressed) and one.concurrency is not None
    ]


async def test_heat_lowers_what_is_computed_at_once_and_says_so_with_the_reason(stage: Any) -> None:
    await stage.first()
    cause = hot(2, stage.now)

    await stage.tell(cause)

    assert await concurrency(stage) == 4
    told = stage.only(DeploymentProgressed)
    assert (told.phase, told.concurrency, told.traffic_ratio) == ("slowed", 4, 1.0)
    assert told.reason == "n1 is at level 2: pressure is heavy"
    assert (told.causation_id, told.deployment_id) == (cause.id, told.deployment_id)


async def test_it_gets_hotter_and_recovers_step_by_step_told_at_both_ends(stage: Any) -> None:
    await stage.first()
    await stage.tell(hot(2, stage.now), hot(3, stage.now, escalated_from=2))
    stage.now += timedelta(seconds=60)
    await stage.tell(cool(stage.now))

    seen = [await concurrency(stage)]
    for _ in range(30):
        await stage.turn(60)
        seen.append(await concurrency(stage))

    assert list(dict.fromkeys(seen)) == [2, 3, 4, 5, 6, 7, 8]
    assert changes(stage) == [(1, "slowed", 4), (1, "slowed", 2), (1, "restored", 8)]
    assert await stage.bus.documents("serving_nodes", NodeHeat).all() == {}


async def test_a_redelivered_edge_tells_nothing_new(stage: Any) -> None:
    await stage.first()
    edge = hot(2, stage.now)
    await stage.tell(edge)
    told = [one.id for one in stage.bus.published]

    stage.bus._ids.discard(edge.id)
    await stage.tell(edge)

    assert [one.id for one in stage.bus.published if one.id != edge.id] == [
        one for one in told if one != edge.id
    ]


async def test_what_was_written_but_not_told_is_told_by_the_next_process(stage: Any) -> None:
    await stage.first()
    assert stage.parts is not None
    edge = hot(2, stage.now)
    lost = await stage.parts.heats.on_thermal_throttled(edge)

    stage.start()
    again = await stage.parts.heats.on_thermal_throttled(edge)

    assert [one.concurrency for one in lost] == [one.concurrency for one in again] == [4]


async def test_a_new_process_stays_where_the_heat_had_it(stage: Any) -> None:
    await stage.first()
    await stage.tell(hot(3, stage.now))

    stage.start()

    assert await concurrency(stage) == 2
    await stage.turn(times=3)
    assert [app.concurrency for app in stage.replicas.apps.values()] == [2]


async def test_a_new_process_after_a_long_heat_stays_there_too(stage: Any) -> None:
    await stage.first()
    for _ in range(120):
        stage.now += timedelta(seconds=10)
        await stage.tell(sample(3, stage.now))

    stage.start()
    stage.now += timedelta(seconds=30)

    assert await concurrency(stage) == 2


async def test_a_missed_edge_heals_with_the_next_sample_of_both_kinds(stage: Any) -> None:
    await stage.first()
    seen = []
    for level in (3, 0):
        stage.now += timedelta(seconds=10)
        await stage.tell(sample(level, stage.now))
        seen.append(await concurrency(stage))
    await stage.turn(60, times=30)

    assert seen == [2, 2]
    assert await concurrency(stage) == 8


@pytest.mark.parametrize(
    ("late", "level", "more"),
    [
        (timedelta(0), 4, {"backfill": True}),
        (timedelta(seconds=30), 4, {}),
        (timedelta(0), None, {}),
    ],
)
async def test_samples_that_are_late_backfilled_or_without_a_level_change_nothing(
    stage: Any, late: timedelta, level: int | None, more: dict[str, Any]
) -> None:
    await stage.first()
    await stage.tell(sample(0, stage.now))

    await stage.tell(sample(level, stage.now - late, **more))

    assert await concurrency(stage) == 8


async def test_heat_that_was_kept_while_serving_was_away_is_history(stage: Any) -> None:
    await stage.first()
    long_ago = stage.now - timedelta(hours=3)

    for minute in range(0, 100, 10):
        at = long_ago + timedelta(minutes=minute)
        await stage.tell(hot(3, at), sample(3, at, seq=minute + 1))
    now = await concurrency(stage)
    await stage.tell(sample(2, stage.now, seq=500))

    assert (now, await concurrency(stage)) == (8, 4)


async def test_a_machine_whose_clock_is_hours_behind_is_believed_once_it_is_known_to_be_so(
    stage: Any,
) -> None:
    await stage.first()
    for _ in range(2):
        stage.now += timedelta(seconds=10)
        await stage.tell(sample(0, stage.now - timedelta(hours=3)))

    await stage.tell(hot(3, stage.now - timedelta(hours=3)))

    assert await concurrency(stage) == 2


async def test_a_machine_that_lies_counts_as_throttled(stage: Any) -> None:
    await stage.first()

    await stage.tell(sample(0, stage.now, thermal=Thermal(level=0, derived_throttle=True)))

    assert await concurrency(stage) == 4


async def test_the_heat_of_a_machine_that_vanished_does_not_stay(stage: Any) -> None:
    await stage.first()
    await stage.tell(hot(4, stage.now))

    await stage.turn(60, times=35)

    assert await concurrency(stage) == 8
    assert changes(stage)[-1] == (1, "restored", 8)
    answer = await stage.bus.ask("serving", "list", {})
    assert answer["nodes"] == {}


async def test_a_hot_machine_slows_only_its_own_replicas_where_these_are_known(stage: Any) -> None:
    await stage.first()
    await concurrency(stage, node="n2")
    await stage.tell(sample(0, stage.now, node="n2"), hot(3, stage.now, node="n1"))

    seen = [await concurrency(stage, node="n2")]
    await stage.tell(hot(2, stage.now, node="n2"))
    seen.append(await concurrency(stage, node="n2"))

    assert seen == [8, 4]
    assert changes(stage) == [(1, "slowed", 4)]


async def test_ray_is_told_the_lowest_until_all_is_well_and_no_replica_begins_anew(
    stage: Any,
) -> None:
    await stage.first()
    stage.replicas.starts.clear()
    seen = [await told_to_ray(stage)]
    await stage.tell(hot(2, stage.now), hot(3, stage.now))
    await stage.turn()
    seen.append(await told_to_ray(stage))
    await stage.tell(cool(stage.now))
    for _ in range(30):
        await stage.turn(60)
        seen.append(await told_to_ray(stage))

    assert list(dict.fromkeys(seen)) == [8, 2]
    assert seen[-1] == 8
    assert stage.replicas.starts == []


async def told_to_ray(stage: Any) -> int:
    [app] = stage.replicas.apps.values()
    return int(app.concurrency)


async def test_fewer_replicas_may_run_while_it_is_hot(stage: Any) -> None:
    serve = stage.settings.serve.model_copy(update={"max_replicas": 4})
    settings = stage.settings.model_copy(update={"serve": serve})
    await stage.tell(ProjectUpdated(project="rain", settings=settings, revision=2))
    await stage.first()
    seen = [bound(stage)]
    await concurrency(stage)
    stage.now += timedelta(seconds=2)
    await concurrency(stage)  # two reports: it is known to be idle

    await stage.tell(hot(3, stage.now))
    await stage.turn()
    seen.append(bound(stage))
    await stage.tell(cool(stage.now))
    await stage.turn(60, times=30)
    seen.append(bound(stage))

    assert seen == [(1, 4), (1, 1), (1, 4)]


def bound(stage: Any) -> tuple[int, int]:
    [app] = stage.replicas.apps.values()
    return app.min_replicas, app.max_replicas


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
