# SPDX-License-Identifier: Apache-2.0
"""The gate end to end: from what a run logged to the alias, in every mode and with every odd metric."""

from __future__ import annotations

from typing import Any

import pytest

from mlops.contracts.tracking import ModelNominated, ModelRegistered


@pytest.mark.parametrize(
    ("evaluate", "first", "second", "champion"),
    [
        ({"goal": "max"}, 0.5, 0.6, 2),
        ({"goal": "max", "min_gain": 0.2}, 0.5, 0.6, 1),
        ({"goal": "min"}, 0.5, 0.6, 1),
        ({"goal": "min"}, 0.6, 0.5, 2),
        ({"goal": "max"}, 0.5, float("nan"), 1),
        ({"goal": "max"}, float("nan"), 0.1, 2),
        ({"goal": "max"}, 0.5, float("inf"), 1),
        ({"goal": "max"}, 0.5, None, 1),
    ],
)
async def test_the_gate_from_run_to_alias(
    world: Any, evaluate: dict[str, Any], first: float, second: float | None, champion: int
) -> None:
    await world.project(**evaluate)

    await world.model(first)
    await world.model(second)

    found = await world.tracking.champion("rain", "rain")
    assert found is not None
    assert found.version == champion
    assert len(world.promoted) + len(world.rejected) == 2
    assert world.bus.dead == []


async def test_a_candidate_whose_run_is_gone_is_rejected(world: Any) -> None:
    await world.project()
    run_id = world.tracking.start_run("rain")
    world.tracking.log(run_id, {"accuracy": 0.9})
    world.tracking.register("rain", "rain", run_id)
    world.tracking.delete_run(run_id)

    await world.settle()

    (rejected,) = world.rejected
    assert f"'accuracy' is missing in run {run_id}" in rejected.reason


async def test_a_nomination_told_again_says_the_same(world: Any) -> None:
    await world.project(promote="approve")
    await world.model(0.5)
    registered = world.told(ModelRegistered)[0]

    await world.bus.publish_bytes(registered.subject, registered.encode(), "again")
    await world.settle()

    (first,) = world.told(ModelNominated)
    assert first.causation_id == registered.id
    assert [type(message).__name__ for message in world.bus.published].count("ModelNominated") == 1
