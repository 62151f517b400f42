# SPDX-License-Identifier: Apache-2.0
"""What clients may claim: it is told with what can be told, and holds nothing else back."""

from __future__ import annotations

from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mlops.chassis.errors import UnavailableError
from mlops.contracts.message import Message
from mlops.contracts.tracking import (
    ModelRegistered,
    RunCompleted,
    RunFailed,
    RunStarted,
)
from mlops.contracts.units import DatasetVersion
from mlops.tracking.model.facts import Dataset, Package, RunFacts
from mlops.tracking.sources.relay import Relay


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


@pytest.mark.parametrize(
    "source",
    ["http://[bad/x.csv", "//[x/y", "https://ex\u2100mple.com/a", "data/\ud800.csv", "\0", "file:"],
)
async def test_a_source_that_is_none_is_told_as_logged_and_holds_nothing_back(
    world: Any, source: str
) -> None:
    await world.project()
    odd = world.tracking.start_run("rain", inputs=[Dataset("d", None, "12345678", source=source)])
    world.tracking.log(odd, {"accuracy": 0.5})
    world.tracking.end_run(odd)
    even = world.tracking.start_run("rain")
    world.tracking.end_run(even)

    await world.settle()

    first, second = world.told(RunCompleted)
    assert (first.run_id, second.run_id) == (odd, even)
    assert first.datasets == (DatasetVersion(name="d", hash="12345678"),)
    assert first.metrics == {"accuracy": 0.5}


@pytest.mark.parametrize(
    "package",
    [Package(("\ud800",)), Package(apple={"mlx": "\ud800"}), Package(signature="\ud800")],
)
async def test_a_model_whose_files_no_message_can_hold_is_told_without_them(
    world: Any, package: Package
) -> None:
    world.tracking.packages["runs:/a/model"] = package
    world.tracking.register("rain", "rain", "a")
    run_id = world.tracking.start_run("rain")

    await world.settle()

    registered, started = world.bus.published[0], world.bus.published[-1]
    assert (registered.type, registered.name, registered.flavors) == (
        "model.registered",
        "rain",
        (),
    )
    assert started.run_id == run_id


class Reading:
    """What is known of runs, of which every reading fails a few times, or always."""

    def __init__(self, world: Any, error: Exception, times: int) -> None:
        self._tracking = world.tracking
        self._error = error
        self.left = times

    async def run(self, run_id: str) -> RunFacts | None:
        if self.left:
            self.left -= 1
            raise self._error
        found: RunFacts | None = await self._tracking.run(run_id)
        return found


def relay(world: Any, reading: Any) -> Relay:
    return Relay(world.tracking, reading, world.lead, lambda: datetime.now(UTC), timedelta(days=1))


async def first_of(relay: Relay) -> Message:
    async with aclosing(relay.tell()) as told:
        return await anext(told)


@pytest.mark.parametrize("error", [RecursionError(), ValueError("odd"), KeyError("odd")])
async def test_a_run_that_cannot_be_read_is_told_by_its_row_at_once(
    world: Any, error: Exception
) -> None:
    run_id = world.tracking.start_run("rain", params={"depth": "3"})

    started = await first_of(relay(world, Reading(world, error, 99)))

    assert isinstance(started, RunStarted)
    assert (started.run_id, started.user, started.params) == (run_id, "somebody", {})


async def test_a_fault_of_the_machine_is_waited_out_a_few_times_only(world: Any) -> None:
    world.tracking.start_run("rain", params={"depth": "3"})
    brief = relay(world, Reading(world, OSError("too many open files"), 2))
    lasting = relay(world, Reading(world, OSError("too many open files"), 99))

    for _ in range(2):
        with pytest.raises(OSError, match="too many"):
            await first_of(brief)
    full = await first_of(brief)
    for _ in range(4):
        with pytest.raises(OSError, match="too many"):
            await first_of(lasting)
    bare = await first_of(lasting)

    assert isinstance(full, RunStarted)
    assert isinstance(bare, RunStarted)
    assert (full.params, bare.params) == ({"depth": "3"}, {})


async def test_a_store_that_is_away_is_waited_for_however_long(world: Any) -> None:
    world.tracking.start_run("rain")
    waiting = relay(world, Reading(world, UnavailableError("away"), 20))

    for _ in range(20):
        with pytest.raises(UnavailableError):
            await first_of(waiting)

    assert isinstance(await first_of(waiting), RunStarted)
