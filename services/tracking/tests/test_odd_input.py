# SPDX-License-Identifier: Apache-2.0
"""What clients may claim: it is told with what can be told, and holds nothing else back."""

from __future__ import annotations

from typing import Any

import pytest

from mlops.contracts.tracking import (
    ModelRegistered,
    RunCompleted,
    RunFailed,
    RunStarted,
)
from mlops.tracking.model.facts import Package


async def test_a_run_deleted_meanwhile_blocks_nothing(world: Any) -> None:
    gone = world.tracking.start_run("rain")
    world.tracking.end_run(gone, "KILLED")
    world.tracking.delete_run(gone)
    kept = world.tracking.start_run("rain")

    await world.settle()

    assert [getattr(message, "run_id", None) for message in world.bus.published] == [
        gone,
        gone,
        kept,
    ]
    (failed,) = [message for message in world.bus.published if isinstance(message, RunFailed)]
    assert failed.status == "KILLED"


async def test_a_run_of_extreme_size_is_told_with_less(world: Any) -> None:
    long = {f"{number:04}" + "指" * 240: "指" * 6000 for number in range(2000)}
    run_id = world.tracking.start_run("rain", params=long, tags=long)
    world.tracking.log(run_id, dict.fromkeys(long, 1.0))
    world.tracking.end_run(run_id)

    await world.settle()

    started, completed = world.bus.published
    assert isinstance(started, RunStarted)
    assert isinstance(completed, RunCompleted)
    assert completed.params
    assert completed.metrics
    assert len(completed.encode()) > 20_000


async def test_prompts_are_no_models(world: Any) -> None:
    world.tracking.register("rain", "a-prompt", None, is_prompt=True)
    run_id = world.tracking.start_run("rain")

    rows = await world.tracking.pending(10)
    await world.relay(1)

    assert len(rows) == 2
    assert [getattr(message, "run_id", None) for message in world.bus.published] == [run_id]


@pytest.mark.parametrize("moment", [10**18, -(10**18), 10**30])
async def test_a_run_of_an_impossible_time_holds_nothing_back(world: Any, moment: int) -> None:
    odd = world.tracking.start_run("rain", at_ms=moment)
    even = world.tracking.start_run("rain")

    await world.settle()

    first, second = world.told(RunStarted)
    assert isinstance(first, RunStarted)
    assert (first.run_id, first.started_at) == (odd, None)
    assert isinstance(second, RunStarted)
    assert second.run_id == even


async def test_a_model_with_odd_files_is_told_with_what_can_be_told(world: Any) -> None:
    many = tuple(f"flavor-{number:05}" * 5 for number in range(3000))
    world.tracking.packages["runs:/a/model"] = Package(many, -1, "指" * 7000)
    world.tracking.register("rain", "rain", "a")

    await world.settle()

    (registered,) = world.told(ModelRegistered)
    assert isinstance(registered, ModelRegistered)
    assert registered.size_bytes is None
    assert registered.flavors


async def test_a_model_of_a_run_id_that_is_none_is_told_and_judged(world: Any) -> None:
    await world.project()
    world.tracking.register("rain", "rain", "x" * 300)

    await world.settle()

    (registered,) = world.told(ModelRegistered)
    (rejected,) = world.rejected
    assert isinstance(registered, ModelRegistered)
    assert registered.run_id is None
    assert "'accuracy' is missing" in rejected.reason
    assert world.bus.dead == []


async def test_a_row_that_no_message_can_hold_holds_nothing_back(world: Any) -> None:
    world.tracking.register("rain", "x" * 300, None)
    run_id = world.tracking.start_run("rain")

    await world.relay(1)

    assert [getattr(message, "run_id", None) for message in world.bus.published] == [run_id]
