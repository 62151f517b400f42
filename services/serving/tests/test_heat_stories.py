# SPDX-License-Identifier: Apache-2.0
"""What serving does while machines are hot, told over the memory bus."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from services.serving.tests.heat import (
    changes,
    concurrency,
    cool,
    hot,
    sample,
    told_to_ray,
)

from mlops.contracts.serving import DeploymentProgressed
from mlops.contracts.telemetry_agent import Thermal
from mlops.contracts.workspaces import ProjectUpdated
from mlops.serving.ports import NodeHeat


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
