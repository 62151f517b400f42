# SPDX-License-Identifier: Apache-2.0
"""Stories of a model and what it owes: told when it does worse, and held to what it has shown."""

from __future__ import annotations

from typing import Any

import pytest

from mlops.contracts.monitoring import (
    PerformanceDegraded,
    PerformanceMeasured,
    PerformanceRecovered,
)


async def test_a_worse_model_is_told_in_each_window_and_recovers_once(world: Any) -> None:
    await world.register()
    await world.deploy(accuracy=0.9)

    for right in (0.9, 0.6, 0.6, 0.9, 0.9):
        await world.window(right=right)

    told = world.heard(PerformanceDegraded)
    assert [one.window.index for one in told] == [1, 2]
    assert (told[0].value, told[0].expected) == (0.6, 0.9)
    assert abs(told[0].threshold - 0.85) < 1e-9
    assert [one.window.index for one in world.heard(PerformanceRecovered)] == [3]


async def test_one_unlucky_window_is_not_told_two_are(world: Any) -> None:
    await world.register()
    await world.deploy(accuracy=0.9)

    for right in (0.9, 0.84, 0.9, 0.84):
        await world.window(right=right)

    assert [one.window.index for one in world.heard(PerformanceDegraded)] == [3]


async def test_a_version_that_was_better_than_promised_is_held_to_what_it_showed(
    world: Any,
) -> None:
    await world.register()
    await world.deploy(accuracy=0.72)

    for right in (0.8, 0.84, 0.84, 0.7):
        await world.window(right=right)

    expected = [told.expected for told in world.heard(PerformanceMeasured)]
    assert expected == pytest.approx([0.72, 0.72, 0.82, 0.82])
    (told,) = world.heard(PerformanceDegraded)
    assert (told.value, told.window.index) == (0.7, 3)


async def test_a_new_version_is_held_to_its_own_promise(world: Any) -> None:
    await world.register()
    await world.deploy(accuracy=0.72)
    for right in (0.8, 0.84):
        await world.window(right=right)

    await world.deploy(version=2, accuracy=0.75)
    await world.window(version=2, right=0.76)

    assert world.heard(PerformanceMeasured)[-1].expected == 0.75
