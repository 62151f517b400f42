# SPDX-License-Identifier: Apache-2.0
"""What answered and is gone, told over the memory bus: when, why, and when it is back."""

from __future__ import annotations

from typing import Any

from mlops.contracts.serving import DeploymentProgressed
from mlops.contracts.settings import ServeSettings
from mlops.contracts.workspaces import ProjectUpdated

APP = "rain.rain.v1"


def told(stage: Any) -> list[tuple[str, str]]:
    return [
        (one.phase, one.reason)
        for one in stage.bus.published
        if isinstance(one, DeploymentProgressed) and one.phase in ("lost", "recovered", "scaled")
    ]


async def report(stage: Any, *replicas: str) -> None:
    for name in replicas:
        counts = {"answered": 1, "busy_s": 0.0, "cpu_s": 0.0, "waiting": 6}
        question = {"project": "rain", "model": "rain", "version": 1, "replica": name, **counts}
        await stage.bus.ask("serving", "limits", question)


async def test_a_head_that_is_away_is_a_loss_and_its_return_a_recovery(stage: Any) -> None:
    await stage.first()
    stage.replicas.away = True
    await stage.turn(2, times=4)

    stage.replicas.lose_everything()
    await stage.turn(2, times=4)

    [lost, back] = told(stage)
    assert lost == ("lost", "it does not answer, and Ray cannot say why")
    assert back == ("recovered", "all of it answers after 10.0 s")


async def test_one_of_two_that_dies_is_told_with_rays_reason(stage: Any) -> None:
    await stage.first()
    stage.replicas.limping = {APP}
    stage.replicas.stuck = {"rain.rain.v2"}  # so that serving looks
    await stage.tell(stage.promoted(2))
    await stage.turn(1, times=6)

    stage.replicas.limping = set()
    await stage.turn(1, times=4)

    [lost, back] = told(stage)
    assert lost == ("lost", "1 of at least 1 replicas answer: a replica has died")
    assert back[0] == "recovered"


async def test_a_moment_without_an_answer_is_no_loss(stage: Any) -> None:
    await stage.first()
    stage.replicas.away = True
    await stage.turn(0.5, times=2)

    stage.replicas.away = False
    await stage.turn(0.5, times=4)

    assert told(stage) == []


async def test_a_replica_that_ray_has_replaced_already_is_told_too(stage: Any) -> None:
    await stage.first()
    await report(stage, "one")
    await stage.turn(1, times=2)

    await stage.turn(8)
    await report(stage, "two")
    await stage.turn(1, times=3)

    [lost, back] = told(stage)
    assert lost == ("lost", "replica one has died and was replaced")
    assert back[0] == "recovered"


async def test_a_loss_told_by_a_process_that_was_killed_is_ended_by_the_next(stage: Any) -> None:
    await stage.first()
    stage.replicas.away = True
    await stage.turn(2, times=4)

    stage.start()
    stage.replicas.lose_everything()
    await stage.turn(2, times=4)

    assert [phase for phase, _ in told(stage)] == ["lost", "recovered"]


async def test_other_numbers_of_replicas_are_told_with_the_demand(stage: Any) -> None:
    await stage.first()
    await report(stage, "one")
    await stage.turn(1, times=2)

    stage.replicas.counts[APP] = 2
    await report(stage, "one", "two")
    await stage.turn(1, times=2)

    assert told(stage) == [
        ("scaled", "from 1 to 2 replicas; 12.0 requests under way; 1 to 1 are allowed")
    ]


async def test_what_was_stopped_on_purpose_is_not_lost(stage: Any) -> None:
    await stage.first()

    await stage.tell(stage.promoted(2))
    await stage.turn(times=60)

    assert "v1 removed" in stage.said()
    assert told(stage) == []


async def test_other_replicas_after_a_sleep_are_neither_a_loss_nor_another_number(
    stage: Any,
) -> None:
    serve = ServeSettings(model="rain", min_replicas=0, max_replicas=2, sleep_after="20s")
    settings = stage.settings.model_copy(update={"serve": serve})
    await stage.tell(ProjectUpdated(project="rain", settings=settings, revision=2))
    await stage.first()
    await report(stage, "one")
    await stage.turn(1, times=3)
    stage.bus.published.clear()

    await stage.turn(10, times=5)
    await stage.bus.ask("serving", "wake", {"project": "rain", "model": "rain"})
    stage.replicas.counts[APP] = 2
    await report(stage, "two", "three")
    await stage.turn(1, times=8)

    assert list(stage.replicas.apps) == [APP]
    assert told(stage) == []


async def test_a_version_that_cannot_start_again_is_packed_anew(stage: Any) -> None:
    await stage.first()
    package = await stage.packages.pack("rain", "rain", 1, "auto")
    stage.packages.packed.clear()
    stage.replicas.broken = {package.bento_tag: "damaged since it was packed"}

    await stage.turn(1, times=10)
    stage.replicas.broken = {}
    await stage.turn(1, times=30)

    assert stage.packages.packed == [("rain", "rain", 1, "auto")]
    assert [phase for phase, _ in told(stage)] == ["lost", "recovered"]
