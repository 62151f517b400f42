# SPDX-License-Identifier: Apache-2.0
"""Rollouts whose process or replicas die in the middle, told over the memory bus."""

from __future__ import annotations

from typing import Any


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
