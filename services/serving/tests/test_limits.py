# SPDX-License-Identifier: Apache-2.0
"""What a replica keeps to: serving's word, Ray's where serving is silent, the lower one at once; and what it reports."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlops.chassis.bus_memory import MemoryBus
from mlops.chassis.errors import UnavailableError
from mlops.contracts.serving import DeploymentProgressed
from mlops.serving.adapters.counters import Counters, node_here, uses_accelerator
from mlops.serving.adapters.limits import Limits
from mlops.serving.adapters.prediction_log import PredictionLog
from mlops.serving.adapters.turns import Turns


class Serving:
    """Answers as serving does."""

    def __init__(self) -> None:
        self.concurrency = 8
        self.away = False
        self.asked: list[Mapping[str, Any]] = []

    async def limits(self, question: Mapping[str, Any]) -> dict[str, Any]:
        self.asked.append(question)
        if self.away:
            raise UnavailableError("serving is away")
        return {"concurrency": self.concurrency, "log_predictions": 1.0}


@pytest.fixture
def serving() -> Serving:
    return Serving()


@pytest.fixture
def bus(serving: Serving) -> MemoryBus:
    bus = MemoryBus()
    bus.answer("serving", "limits", serving.limits)
    return bus


@pytest.fixture
def turns() -> Turns:
    return Turns(8)


@pytest.fixture
def limits(bus: MemoryBus, turns: Turns) -> Limits:
    log = PredictionLog(bus.publish, "rain", "rain", 1)
    return Limits(turns, log, "rain", lambda: {"replica": "r1"})


@pytest.fixture
async def following(limits: Limits, bus: Any) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(limits.follow(bus)), asyncio.create_task(limits.listen(bus))]
    await asyncio.sleep(0.05)
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def test_ray_lowers_and_raises_it_while_serving_is_silent(limits: Limits, turns: Turns) -> None:
    seen = []
    for wanted in ({"concurrency": 2}, {"concurrency": 8}, None):
        limits.declare(wanted)
        seen.append(turns.most)

    assert (seen, limits.source) == ([2, 8, 8], "user_config")


def test_ray_says_how_many_may_wait(limits: Limits, turns: Turns) -> None:
    seen = []
    for wanted in ({"queue": 5}, {"concurrency": 2}):
        limits.declare(wanted)
        seen.append(turns.queue)

    assert seen == [5, 64]


async def test_a_lower_word_of_ray_counts_at_once_a_higher_one_not_over_servings(
    limits: Limits, turns: Turns, serving: Serving, bus: Any
) -> None:
    serving.concurrency = 4
    await limits.ask(bus)
    limits.declare({"concurrency": 8})
    higher = turns.most
    limits.declare({"concurrency": 2})

    assert (higher, turns.most) == (4, 2)


@pytest.mark.usefixtures("following")
async def test_a_change_that_is_told_is_asked_for_at_once(
    turns: Turns, serving: Serving, bus: MemoryBus
) -> None:
    serving.concurrency = 2
    began = time.perf_counter()

    await bus.publish(
        DeploymentProgressed(
            project="rain", model="rain", version=1, deployment_id="d", phase="slowed"
        )
    )
    async with asyncio.timeout(30):
        while turns.most != 2:
            await asyncio.sleep(0.005)

    assert time.perf_counter() - began < 1.5  # it asks every 2 s otherwise


@pytest.mark.usefixtures("following")
async def test_the_last_word_holds_while_serving_is_away(
    limits: Limits, turns: Turns, serving: Serving, bus: Any
) -> None:
    serving.concurrency = 2
    await limits.ask(bus)
    serving.away = True

    with pytest.raises(UnavailableError):
        await limits.ask(bus)

    assert (turns.most, limits.source) == (2, "serving")


async def test_a_question_reports_what_was_counted(
    limits: Limits, serving: Serving, bus: Any
) -> None:
    await limits.ask(bus)

    assert serving.asked == [{"project": "rain", "replica": "r1"}]


def test_counters_only_grow_and_name_the_machine(tmp_path: Path) -> None:
    folder = tmp_path / "state" / "telemetry_agent"
    folder.mkdir(parents=True)
    counters = Counters({"home": str(tmp_path), "model": "rain", "version": 3})
    before = counters.report()
    (folder / "node_id").write_text("node-1a2b3c4d\n")
    with counters.busy():
        time.sleep(0.01)
    counters.answered += 5

    after = counters.report()

    assert (before["node"], after["node"]) == ("", "node-1a2b3c4d")
    assert (after["model"], after["version"], after["answered"]) == ("rain", 3, 5)
    assert after["busy_s"] >= 0.01
    assert after["cpu_s"] >= before["cpu_s"]
    assert after["replica"] == before["replica"]


@pytest.mark.parametrize("content", ["", "Not A Name", "../x", "a" * 64])
def test_a_name_that_is_none_is_no_machine(tmp_path: Path, content: str) -> None:
    file = tmp_path / "node_id"
    file.write_text(content)

    assert node_here(file) == ""


def test_what_is_not_loaded_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.delitem(sys.modules, "mlx.core", raising=False)
    without = uses_accelerator()
    metal = SimpleNamespace(metal=SimpleNamespace(is_available=lambda: True))
    monkeypatch.setitem(sys.modules, "mlx.core", metal)

    assert (without, uses_accelerator()) == (False, True)
