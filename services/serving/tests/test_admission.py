# SPDX-License-Identifier: Apache-2.0
"""Versions that do not fit into memory together, told over the memory bus."""

from __future__ import annotations

from typing import Any

from mlops.contracts.serving import (
    DeploymentFailed,
    DeploymentProgressed,
    DeployModel,
    UndeployModel,
)
from mlops.contracts.settings import ProjectSettings, ServeSettings
from mlops.contracts.workspaces import ProjectRegistered, ProjectUpdated

# A replica of the fake is estimated at 260 MiB: an interpreter and scikit-learn.
ONE, TWO, THREE = 0.3, 0.55, 0.8


def registered(name: str, **serve: Any) -> ProjectRegistered:
    settings = ProjectSettings(
        name=name, serve=ServeSettings(**{"model": name, "rollout": "direct", **serve})
    )
    return ProjectRegistered(project=name, settings=settings, revision=1)


async def serve(stage: Any, name: str, **settings: Any) -> None:
    await stage.tell(registered(name, **settings))
    await stage.tell(DeployModel(project=name, model=name, version=1, time=stage.now))
    await stage.turn(times=12)


async def limited(begun: Any, gib: float) -> Any:
    stage = await begun()
    stage.capacity_gib = gib
    stage.start()
    return stage


async def report(stage: Any, name: str, memory_mib: int) -> None:
    counts = {"answered": 1, "busy_s": 0.0, "cpu_s": 0.0, "memory_bytes": memory_mib * 2**20}
    question = {"project": name, "model": name, "version": 1, "replica": name, **counts}
    await stage.bus.ask("serving", "limits", question)


async def test_a_version_that_cannot_fit_fails_with_the_numbers_and_the_old_one_answers(
    begun: Any,
) -> None:
    stage = await limited(begun, ONE)
    await stage.first()

    await stage.tell(stage.promoted(2))
    await stage.turn(times=10)

    failed = stage.only(DeploymentFailed)
    assert failed.phase == "starting"
    assert failed.reason.startswith("needs 0.25 GiB for 1 replica(s), free 0.05 of 0.30 GiB")
    assert "held: rain.rain.v1 0.25" in failed.reason
    assert list(stage.replicas.apps) == ["rain.rain.v1"]
    assert await stage.routes() == {1: 1.0}


async def test_both_versions_of_a_rollout_must_fit(begun: Any) -> None:
    stage = await limited(begun, TWO)
    await stage.first()

    await stage.tell(stage.promoted(2))
    await stage.turn(times=30)

    assert "v2 completed" in stage.said()


async def test_a_small_measured_model_makes_room_that_its_estimate_did_not_leave(
    begun: Any,
) -> None:
    stage = await limited(begun, 0.4)
    await stage.first()
    await report(stage, "rain", memory_mib=100)

    await stage.tell(stage.promoted(2))
    await stage.turn(times=30)

    assert "v2 completed" in stage.said()


async def test_what_was_measured_is_known_after_a_restart(begun: Any) -> None:
    stage = await limited(begun, 0.4)
    await stage.first()
    await report(stage, "rain", memory_mib=100)
    await stage.turn(61)

    stage.start()
    await stage.tell(stage.promoted(2))
    await stage.turn(times=30)

    assert "v2 completed" in stage.said()


async def test_an_idle_version_sleeps_to_make_room(begun: Any) -> None:
    stage = await limited(begun, TWO)
    await serve(stage, "fog", min_replicas=0, sleep_after="1h")
    await stage.turn(40)
    await serve(stage, "hail")
    stage.bus.published.clear()

    await serve(stage, "snow")
    await stage.turn(2, times=12)

    assert set(stage.replicas.apps) == {"hail.hail.v1", "snow.snow.v1"}
    phases = [
        (one.project, one.phase, one.reason)
        for one in stage.bus.published
        if isinstance(one, DeploymentProgressed) and one.phase in ("asleep", "held")
    ]
    assert phases == [("fog", "asleep", "makes room for another project")]
    assert "v1 completed" in stage.said()


async def test_a_model_that_cannot_wake_says_why_and_sleeps_on(begun: Any) -> None:
    stage = await limited(begun, ONE)
    await serve(stage, "fog", min_replicas=0, sleep_after="10s")
    await stage.turn(5, times=6)
    await serve(stage, "hail")
    stage.bus.published.clear()

    await stage.bus.ask("serving", "wake", {"project": "fog", "model": "fog"})
    await stage.turn(times=4)

    told = stage.only(DeploymentProgressed)
    assert (told.phase, told.project) == ("asleep", "fog")
    assert told.reason.startswith("cannot wake: needs 0.25 GiB")
    assert list(stage.replicas.apps) == ["hail.hail.v1"]


async def test_extra_replicas_go_when_another_version_needs_their_room(begun: Any) -> None:
    stage = await limited(begun, 0.85)
    await serve(stage, "fog", max_replicas=3)
    before = stage.replicas.apps["fog.fog.v1"].max_replicas

    await serve(stage, "hail")

    assert (before, stage.replicas.apps["fog.fog.v1"].max_replicas) == (3, 2)
    assert "hail.hail.v1" in stage.replicas.apps


async def test_a_want_of_room_is_told_when_it_lasts_for_minutes(begun: Any) -> None:
    stage = await limited(begun, ONE)
    await serve(stage, "fog")
    stage.replicas.leaving = {"fog.fog.v1"}
    await stage.tell(UndeployModel(project="fog", model="fog", time=stage.now))
    await stage.turn(10, times=5)

    await serve(stage, "hail")
    soon = [one for one in stage.said() if "held" in one]
    await stage.turn(30, times=7)

    assert soon == []
    assert [one for one in stage.said() if "held" in one] == ["v1 held 0"]
    told = [one for one in stage.bus.published if getattr(one, "phase", "") == "held"]
    assert [one.reason.partition(";")[0] for one in told] == ["waits for versions that leave"]


async def test_what_answers_is_let_in_first_after_all_replicas_were_lost(begun: Any) -> None:
    stage = await limited(begun, TWO)
    await serve(stage, "fog")
    await serve(stage, "hail")
    await serve(stage, "snow")

    stage.start()
    stage.replicas.lose_everything()
    await stage.turn(times=4)

    assert set(stage.replicas.apps) == {"fog.fog.v1", "hail.hail.v1"}


async def test_the_list_tells_how_full_the_memory_is_and_by_whom(begun: Any) -> None:
    stage = await limited(begun, ONE)
    await stage.first()

    room = (await stage.bus.ask("serving", "list", {}))["room"]

    assert room["capacity_bytes"] == int(ONE * 2**30)
    assert room["held"] == {"rain.rain.v1": 260 * 2**20}
    assert room["used_bytes"] == 260 * 2**20


async def test_queue_and_bounds_reach_the_replicas_without_a_new_start(stage: Any) -> None:
    await stage.first()
    stage.replicas.starts.clear()
    settings = stage.settings.model_copy(
        update={"serve": ServeSettings(model="rain", max_queue=7, max_replicas=4)}
    )

    await stage.tell(ProjectUpdated(project="rain", settings=settings, revision=2))
    await stage.turn()

    app = stage.replicas.apps["rain.rain.v1"]
    assert (app.queue, app.max_replicas, stage.replicas.starts) == (7, 4, [])


async def test_a_blue_green_version_starts_at_the_size_of_the_one_before(stage: Any) -> None:
    settings = stage.settings.model_copy(
        update={"serve": ServeSettings(model="rain", rollout="blue-green", max_replicas=4)}
    )
    await stage.tell(ProjectUpdated(project="rain", settings=settings, revision=2))
    await stage.first()
    stage.replicas.counts["rain.rain.v1"] = 3
    stage.replicas.stuck = {"rain.rain.v2"}

    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)

    green = stage.replicas.apps["rain.rain.v2"]
    assert (green.min_replicas, green.max_replicas) == (3, 4)


async def test_measured_memory_above_the_estimate_keeps_what_answers(begun: Any) -> None:
    stage = await limited(begun, TWO)
    await serve(stage, "fog")
    await serve(stage, "hail")
    for name in ("fog", "hail"):
        await report(stage, name, memory_mib=400)
    await stage.turn(times=4)

    assert set(stage.replicas.apps) == {"fog.fog.v1", "hail.hail.v1"}
    room = (await stage.bus.ask("serving", "list", {}))["room"]
    assert room["used_bytes"] > room["capacity_bytes"]
