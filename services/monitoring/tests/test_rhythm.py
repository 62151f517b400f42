# SPDX-License-Identifier: Apache-2.0
"""A project that tells its rhythm gets a reference of two days, quiet nights, and real shifts told."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops.contracts.monitoring import DriftDetected
from mlops.contracts.serving import Prediction, PredictionLogged

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
MINUTES = 2  # between two requests: 720 a day, three windows of 240


async def live(world: Any, begin: int, rows: int, shift: float = 0.0) -> None:
    for start in range(begin, begin + rows, 120):
        batch = tuple(request(world, i, shift) for i in range(start, start + 120))
        await world.tell(
            PredictionLogged(project="rainfall", model="rain", version=1, predictions=batch)
        )


def request(world: Any, number: int, shift: float) -> Prediction:
    at = MONDAY + timedelta(minutes=MINUTES * number)
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
