# SPDX-License-Identifier: Apache-2.0
"""A project that tells its rhythm gets a reference of two days, quiet nights, and real shifts told."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops.contracts.monitoring import DriftDetected
from mlops.contracts.serving import Prediction, PredictionLogged
from mlops.monitoring.model.windows import ModelKey

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
RAIN = ModelKey("rainfall", "rain")
MINUTES = 2  # between two requests: 720 a day, three windows of 240


async def live(
    world: Any,
    begin: int,
    rows: int,
    shift: float = 0.0,
    minutes: float = MINUTES,
    version: int = 1,
    at_once: int = 120,
) -> None:
    for start in range(begin, begin + rows, at_once):
        batch = tuple(request(world, i, shift, minutes) for i in range(start, start + at_once))
        await world.tell(
            PredictionLogged(project="rainfall", model="rain", version=version, predictions=batch)
        )


def request(world: Any, number: int, shift: float, minutes: float) -> Prediction:
    at = MONDAY + timedelta(minutes=minutes * number)
    wave = math.sin(2 * math.pi * (at.hour * 60 + at.minute) / 1440)
    return Prediction(
        request_id=f"r{number}",
        at=at,
        features={
            "load": float(world.rng.normal() + 1.5 * wave + shift),
            "noise": float(world.rng.normal()),
        },
        prediction=float(world.rng.normal()),
    )


@pytest.mark.parametrize(("cycle", "told"), [("24h", [11]), ("none", [])])
async def test_a_told_day_is_waited_for_and_then_a_shift_smaller_than_its_swing_is_told(
    world: Any, cycle: str, told: list[int]
) -> None:
    await world.register(window=240, drift={"cycle": cycle})
    await world.deploy()

    await live(world, 0, 11 * 240)
    quiet = world.heard(DriftDetected)
    await live(world, 11 * 240, 2 * 240, shift=0.8)

    assert quiet == []
    assert [event.window.index for event in world.heard(DriftDetected)] == told


async def test_a_told_day_of_more_rows_than_are_kept_otherwise_is_waited_for_too(
    world: Any,
) -> None:
    await world.register(window=240, drift={"cycle": "24h"})  # of which 8 windows are kept
    await world.deploy()

    await live(world, 0, 13 * 240, minutes=1)  # two days are 12 windows
    quiet = world.heard(DriftDetected)
    await live(world, 13 * 240, 2 * 240, shift=9.0, minutes=1)

    assert quiet == []
    assert world.heard(DriftDetected)[0].window.index == 13
    kept = await world.ledger.look(lambda page: page.windows.latest(RAIN, 100))
    assert [window.index for window in kept if window.stored] == list(range(7, 15))


async def test_a_reference_is_made_of_what_is_kept_where_another_version_takes_half_of_the_rows(
    world: Any,
) -> None:
    await world.register(window=2000, drift={"cycle": "24h"})  # ten windows are waited for
    await world.deploy()

    for number in range(11):
        version = 1 + number % 2
        await live(world, number * 2000, 2000, minutes=0.01, version=version, at_once=250)

    baseline = await world.ledger.look(lambda page: page.baselines.get(RAIN, 1))
    assert baseline is not None
    assert baseline.origin == "windows 0 to 10"


async def test_a_told_day_is_waited_for_too_where_windows_are_judged_before_they_are_full(
    world: Any,
) -> None:
    await world.register(window=500, window_max_age="1h", drift={"cycle": "24h"})
    await world.deploy()

    for number in range(50):
        await live(world, number * 240, 240, minutes=0.25, at_once=240)
        world.elapsed_s += 3600
        for message in [one async for one in world.ageing.tell()]:
            await world.tell(message)

    baseline = await world.ledger.look(lambda page: page.baselines.get(RAIN, 1))
    assert baseline is not None
    assert baseline.origin == "windows 0 to 48"  # more than 20 000 rows of full windows would be
