# SPDX-License-Identifier: Apache-2.0
"""What labels say of a new version takes it back, told over the memory bus."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from mlops.contracts.monitoring import LATENCY_P95, PerformanceDegraded, Window
from mlops.contracts.serving import DeploymentReverted, DeploymentStarted
from mlops.contracts.settings import ServeSettings
from mlops.contracts.workspaces import ProjectUpdated


async def wants(stage: Any, **serve: Any) -> None:
    """Serve version 1, then change the project's `[serve]`."""
    await stage.first()
    usual = {"model": "rain", "steps": (0.1, 1.0), "step_hold": "2s"}
    settings = stage.settings.model_copy(update={"serve": ServeSettings(**{**usual, **serve})})
    await stage.tell(ProjectUpdated(project="rain", settings=settings, revision=2))
    stage.bus.published.clear()


def worse(stage: Any, version: int, ago: timedelta = timedelta(0)) -> PerformanceDegraded:
    until = stage.now - ago
    window = Window(
        index=1, rows=200, labelled=150, first_at=until - timedelta(seconds=1), last_at=until
    )
    return PerformanceDegraded(
        project="rain",
        model="rain",
        version=version,
        metric="accuracy",
        value=0.6,
        expected=0.8,
        threshold=0.75,
        window=window,
        time=stage.now,
    )


async def test_during_its_rollout_a_worse_version_is_taken_back_with_the_numbers(
    stage: Any,
) -> None:
    await stage.first()
    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)
    word = worse(stage, 2)

    await stage.tell(word)
    await stage.turn(times=4)

    told = stage.only(DeploymentReverted)
    assert told.reason == ("accuracy is 0.6 by 150 labels, 0.8 was promised, the bound is 0.75")
    assert (told.to_version, told.causation_id) == (1, word.id)
    assert await stage.routes() == {1: 1.0}


async def test_slow_answers_take_nothing_back_here_for_it_may_be_the_machine(stage: Any) -> None:
    await stage.first()
    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)

    await stage.tell(worse(stage, 2).model_copy(update={"metric": LATENCY_P95}))
    await stage.turn(times=4)

    assert not [one for one in stage.bus.published if isinstance(one, DeploymentReverted)]


async def test_a_canary_that_is_worse_than_the_old_version_is_taken_back_naming_it(
    stage: Any,
) -> None:
    await stage.first()
    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)

    await stage.tell(worse(stage, 2).model_copy(update={"against_version": 1}))
    await stage.turn(times=4)

    told = stage.only(DeploymentReverted)
    assert (
        told.reason == "accuracy is 0.6 by 150 labels, that of version 1 is 0.8, the bound is 0.75"
    )


async def test_what_is_worse_while_the_old_one_is_kept_warm_gives_way_at_once(stage: Any) -> None:
    await wants(stage, keep_warm="1h")
    await stage.tell(stage.promoted(2))
    await stage.turn(times=30)
    stage.replicas.starts.clear()
    word = worse(stage, 2)

    await stage.tell(word)
    await stage.turn(times=3)

    assert await stage.routes() == {1: 1.0}
    assert stage.replicas.starts == []
    back = [one for one in stage.bus.published if isinstance(one, DeploymentStarted)][-1]
    assert (back.version, back.causation_id) == (1, word.id)
    assert back.why.startswith("version 2: accuracy is 0.6 by 150 labels")


async def test_said_twice_it_goes_back_once(stage: Any) -> None:
    await wants(stage, keep_warm="1h")
    await stage.tell(stage.promoted(2))
    await stage.turn(times=30)
    word = worse(stage, 2)

    await stage.tell(word)
    await stage.turn(times=3)
    await stage.tell(word.model_copy(update={"id": "again"}), worse(stage, 1))
    await stage.turn(times=10)

    assert await stage.routes() == {1: 1.0}
    assert [one for one in stage.said() if one == "v1 started"] == ["v1 started"]


async def test_labels_of_an_earlier_life_of_the_version_do_not_count(stage: Any) -> None:
    await stage.first()
    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)

    await stage.tell(worse(stage, 2, ago=timedelta(hours=1)))
    await stage.turn(times=30)

    assert "v2 completed" in stage.said()


async def test_a_project_may_want_to_decide_itself(stage: Any) -> None:
    await wants(stage, revert_on_quality=False)
    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)

    await stage.tell(worse(stage, 2))
    await stage.turn(times=30)

    assert "v2 completed" in stage.said()


async def test_without_a_quick_way_back_or_about_another_model_nothing_changes(
    stage: Any,
) -> None:
    await stage.first()
    await stage.tell(stage.promoted(2))
    await stage.turn(times=60)
    stage.bus.published.clear()
    nobody = worse(stage, 2).model_copy(update={"id": "other", "model": "snow"})

    await stage.tell(worse(stage, 2), worse(stage, 7), nobody)
    await stage.turn(times=10)

    assert stage.said() == []
    assert await stage.routes() == {2: 1.0}


async def test_while_the_old_version_only_drains_nothing_goes_back(stage: Any) -> None:
    await stage.first()
    await stage.tell(stage.promoted(2))
    await stage.turn(times=17)
    assert await stage.routes() == {2: 1.0}

    await stage.tell(worse(stage, 2))
    await stage.turn(times=10)

    assert await stage.routes() == {2: 1.0}
