# SPDX-License-Identifier: Apache-2.0
"""Rollouts whose process or replicas die in the middle, told over the memory bus."""

from __future__ import annotations

from typing import Any

import pytest

from mlops.chassis.errors import UnavailableError


async def test_killed_at_any_round_the_next_process_ends_it_with_the_same_messages(
    begun: Any,
) -> None:
    kills = [await _history(begun, killed_after=round_) for round_ in range(1, 16)]

    assert (
        kills
        == [
            [
                "v2 started",
                "v2 packed 0",
                "v2 warm 0",
                "v2 canary 0.1",
                "v2 canary 1",
                "v2 completed",
                "v1 removed",
            ]
        ]
        * 15
    )


async def _history(begun: Any, killed_after: int) -> list[str]:
    stage = await begun()
    await stage.first()
    await stage.tell(stage.promoted(2, id="p2"))
    for round_ in range(1, 40):
        await stage.turn()
        if round_ == killed_after:
            stage.start()
    return list(stage.said())


async def test_killed_between_telling_and_marking_it_tells_the_same_id_again(stage: Any) -> None:
    await stage.first()
    await stage.tell(stage.promoted(2))
    assert stage.parts is not None
    lost = [one async for one in _first(stage.parts.reconciler.round())]

    stage.start()
    await stage.turn(times=40)

    assert [one.type for one in lost] == ["deployment.progressed"]
    assert [one.id for one in lost] == [
        one.id for one in stage.bus.published if stage.short(one) == "v2 packed 0"
    ]


async def _first(messages: Any) -> Any:
    async for message in messages:
        yield message
        return


async def test_an_empty_home_of_replicas_is_filled_again(stage: Any) -> None:
    await stage.first()
    stage.replicas.away = True
    await stage.turn(times=2)
    assert stage.parts is not None
    assert await stage.parts.fleet.check() is not None

    stage.replicas.lose_everything()
    await stage.turn(times=3)

    assert list(stage.replicas.apps) == ["rain.rain.v1"]
    assert await stage.parts.fleet.check() is None
    assert stage.said() == []


async def test_a_rollout_outlives_the_loss_of_all_replicas(stage: Any) -> None:
    await stage.first()
    await stage.tell(stage.promoted(2))
    await stage.turn(times=6)
    stage.replicas.away = True
    await stage.turn(30, times=3)

    stage.replicas.lose_everything()
    await stage.turn(times=40)

    assert stage.said()[-2:] == ["v2 completed", "v1 removed"]


async def test_without_a_door_a_new_process_tells_no_routes_before_it_has_looked(
    begun: Any,
) -> None:
    stage = await begun()
    stage.door = ""
    stage.start()
    await stage.first()
    before = await stage.bus.ask("serving", "routes", {})

    stage.start()
    with pytest.raises(UnavailableError, match="has not looked"):
        await stage.bus.ask("serving", "routes", {})
    await stage.turn()

    assert before["routes"][0]["versions"][0]["url"] == "memory://rain/rain/v1"
    assert await stage.bus.ask("serving", "routes", {}) == before


async def test_without_a_door_the_last_ports_hold_while_ray_is_not_seen(begun: Any) -> None:
    stage = await begun()
    stage.door = ""
    stage.start()
    await stage.first()
    before = await stage.bus.ask("serving", "routes", {})

    stage.replicas.away = True
    await stage.turn(times=2)

    assert await stage.bus.ask("serving", "routes", {}) == before


async def test_a_version_of_which_some_replicas_answer_is_not_stopped(stage: Any) -> None:
    await stage.first()
    stage.replicas.limping = {"rain.rain.v1"}
    stage.replicas.stuck = {"rain.rain.v2"}  # so that serving keeps looking
    stage.replicas.starts.clear()

    await stage.tell(stage.promoted(2))
    await stage.turn(5, times=10)

    assert stage.replicas.starts == ["rain.rain.v2"]
    assert "rain.rain.v1" in stage.replicas.apps


async def test_a_version_that_has_died_is_begun_anew_when_it_does_not_come_back_by_itself(
    stage: Any,
) -> None:
    await stage.first()
    package = await stage.packages.pack("rain", "rain", 1, "auto")
    stage.replicas.starts.clear()
    stage.replicas.broken = {package.bento_tag: "killed"}
    begun = []
    for _ in range(20):
        await stage.turn(1)
        begun.append(len(stage.replicas.starts))

    assert begun[9] == 0
    assert begun[-1] == 1
