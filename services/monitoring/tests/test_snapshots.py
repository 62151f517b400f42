# SPDX-License-Identifier: Apache-2.0
"""Every judged window becomes a snapshot once, all of them in one go, whatever happens in between."""

from __future__ import annotations

import pytest
from services.monitoring.tests.conftest import World

from mlops.monitoring.model.windows import ModelKey
from mlops.monitoring.sources import Snapshotted, snapshots

KEY = ModelKey("rainfall", "rain")


class EndOfRoundError(Exception):
    """The source would now pause."""


async def one_round(world: World) -> list[int]:
    """Let the source look once; return the windows of which a snapshot was kept so far."""

    async def stop() -> None:
        raise EndOfRoundError

    taken = world.bus.documents("monitoring_snapshots", Snapshotted)
    source = snapshots(world.ledger, world.reports, taken, stop)
    with pytest.raises(EndOfRoundError):
        await anext(source)
    return [number for key, number in world.reports.snapshots if key == KEY]


async def test_windows_of_a_reference_have_none_and_judged_ones_have_one_each(world: World) -> None:
    await world.register()
    await world.deploy()
    for _ in range(6):
        await world.window()

    first = await one_round(world)
    again = await one_round(world)

    assert first == [4, 5]  # four windows of 250 make the reference
    assert again == first


async def test_later_windows_follow(world: World) -> None:
    await world.register()
    await world.deploy()
    for _ in range(5):
        await world.window()
    await one_round(world)

    await world.window()

    assert await one_round(world) == [4, 5]


async def test_a_writer_that_fails_is_asked_again_in_the_next_round(world: World) -> None:
    await world.register()
    await world.deploy()
    for _ in range(6):
        await world.window()
    world.reports.failures = 1

    assert await one_round(world) == []
    assert await one_round(world) == [4, 5]


async def test_a_window_that_fails_at_every_try_does_not_hold_back_later_ones(world: World) -> None:
    await world.register()
    await world.deploy()
    for _ in range(6):
        await world.window()
    world.reports.failures = 3

    assert [await one_round(world) for _ in range(4)] == [[], [], [5], [5]]
