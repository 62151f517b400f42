# SPDX-License-Identifier: Apache-2.0
"""Models that nobody asks sleep and wake, told over the memory bus."""

from __future__ import annotations

from typing import Any

import pytest

from mlops.contracts.serving import DeploymentProgressed, UndeployModel
from mlops.contracts.settings import ServeSettings
from mlops.contracts.workspaces import ProjectUpdated
from mlops.serving.errors import UnknownModelError
from mlops.serving.model.evidence import Counts

APP = "rain.rain.v1"


async def sleepy(stage: Any, **serve: Any) -> None:
    """Serve version 1, which may sleep after a minute."""
    await stage.tell(settings(stage, 1, min_replicas=0, sleep_after="60s", **serve))
    await stage.first()


def settings(stage: Any, revision: int, **serve: Any) -> ProjectUpdated:
    wished = {"model": "rain", "steps": (0.1, 1.0), "step_hold": "2s", **serve}
    new = stage.settings.model_copy(update={"serve": ServeSettings(**wished)})
    return ProjectUpdated(project="rain", settings=new, revision=revision)


async def route(stage: Any) -> dict[str, Any]:
    [found] = (await stage.bus.ask("serving", "routes", {}))["routes"]
    return dict(found)


def naps(stage: Any) -> list[str]:
    told = (one for one in stage.bus.published if isinstance(one, DeploymentProgressed))
    return [one.phase for one in told if one.phase in ("asleep", "awake")]


async def wake(stage: Any) -> dict[str, Any]:
    return dict(await stage.bus.ask("serving", "wake", {"project": "rain", "model": "rain"}))


async def report(stage: Any, requests: int) -> None:
    counts = {"answered": requests, "requests": requests, "busy_s": 0.0, "cpu_s": 0.0}
    question = {"project": "rain", "model": "rain", "version": 1, "replica": "r", **counts}
    await stage.bus.ask("serving", "limits", question)


async def test_what_nobody_asks_sleeps_and_no_route_leads_there(stage: Any) -> None:
    await sleepy(stage)

    await stage.turn(10, times=9)

    assert (await route(stage))["versions"] == []
    assert (await route(stage))["asleep"] is True
    assert list(stage.replicas.apps) == []
    told = stage.only(DeploymentProgressed)
    assert (told.phase, told.replicas, told.reason) == ("asleep", 0, "nobody asked for 60 s")


async def test_it_runs_on_until_every_caller_has_heard_that_it_sleeps(stage: Any) -> None:
    await sleepy(stage)
    await stage.turn(30, times=2)

    await stage.turn(1, times=5)

    assert (await route(stage))["asleep"] is True
    assert list(stage.replicas.apps) == [APP]
    await stage.turn(1, times=3)
    assert list(stage.replicas.apps) == []


async def test_requests_keep_it_awake(stage: Any) -> None:
    await sleepy(stage)

    for count in range(1, 20):
        await report(stage, count)
        await stage.turn(30)

    assert naps(stage) == []
    assert list(stage.replicas.apps) == [APP]


async def test_requests_that_only_the_gateway_counts_keep_it_awake(stage: Any) -> None:
    await sleepy(stage)

    for count in range(20):
        stage.traffic.by_version = {1: Counts(requests=count)}
        await stage.turn(30)

    assert naps(stage) == []


async def test_a_model_with_a_least_number_of_replicas_never_sleeps(stage: Any) -> None:
    await stage.first()

    await stage.turn(600, times=5)

    assert list(stage.replicas.apps) == [APP]


async def test_it_wakes_when_asked_and_says_how_long_that_took(stage: Any) -> None:
    await sleepy(stage)
    await stage.turn(10, times=9)
    stage.bus.published.clear()

    answer = await wake(stage)
    assert (answer["asleep"], (await route(stage))["asleep"]) == (True, True)
    await stage.turn(1, times=6)

    assert (await route(stage))["versions"] != []
    assert (await route(stage))["asleep"] is False
    told = stage.only(DeploymentProgressed)
    assert (told.phase, told.traffic_ratio) == ("awake", 1.0)
    assert told.reason == "asked for by a request; it answers after 3.0 s"
    assert (await wake(stage))["asleep"] is False


async def test_woken_while_its_last_replica_still_stops_it_waits_for_that(stage: Any) -> None:
    await sleepy(stage)
    stage.replicas.lingers = True
    await stage.turn(10, times=9)
    await wake(stage)
    await stage.turn(1, times=6)
    waited = list(stage.replicas.apps)

    stage.replicas.leaving.clear()
    await stage.turn(1, times=6)

    assert waited == []
    assert list(stage.replicas.apps) == [APP]
    assert naps(stage) == ["asleep", "awake"]


async def test_after_waking_it_may_sleep_again(stage: Any) -> None:
    await sleepy(stage)
    await stage.turn(10, times=9)
    await wake(stage)
    await stage.turn(1, times=6)

    await stage.turn(10, times=9)

    assert naps(stage) == ["asleep", "awake", "asleep"]


async def test_a_process_killed_in_between_lets_it_sleep_on_and_wakes_it(stage: Any) -> None:
    await sleepy(stage)
    await stage.turn(10, times=9)

    stage.start()
    await stage.turn(10, times=3)
    assert list(stage.replicas.apps) == []
    await wake(stage)
    stage.start()
    await stage.turn(1, times=8)

    assert naps(stage) == ["asleep", "awake"]


async def test_a_rollout_wakes_what_it_needs_and_nothing_sleeps_before_it_has_ended(
    stage: Any,
) -> None:
    await sleepy(stage, step_hold="300s")
    await stage.turn(10, times=9)

    await stage.tell(stage.promoted(2))
    await stage.turn(1, times=20)
    await stage.turn(50, times=5)

    assert naps(stage) == ["asleep", "awake"]
    assert set(stage.replicas.apps) == {APP, "rain.rain.v2"}
    assert await stage.routes() == {1: 0.9, 2: 0.1}


async def test_a_project_that_wants_a_replica_again_gets_it(stage: Any) -> None:
    await sleepy(stage)
    await stage.turn(10, times=9)

    await stage.tell(settings(stage, 3, min_replicas=1))
    await stage.turn(1, times=8)

    assert list(stage.replicas.apps) == [APP]
    assert naps(stage) == ["asleep", "awake"]


async def test_what_sleeps_is_undeployed_without_being_started(stage: Any) -> None:
    await sleepy(stage)
    await stage.turn(10, times=9)
    stage.replicas.starts.clear()

    await stage.tell(UndeployModel(project="rain", model="rain", time=stage.now))
    await stage.turn(3, times=8)

    assert stage.replicas.starts == []
    assert stage.said()[-1] == "v1 removed"
    assert (await stage.bus.ask("serving", "routes", {}))["routes"] == []


async def test_waking_what_was_never_served_is_refused(stage: Any) -> None:
    with pytest.raises(UnknownModelError, match="never served"):
        await stage.bus.ask("serving", "wake", {"project": "rain", "model": "hail"})
