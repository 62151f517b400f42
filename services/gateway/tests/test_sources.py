# SPDX-License-Identifier: Apache-2.0
"""Sources: the read models survive a history that breaks off; every message counts once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import datetime

import pytest
from services.gateway.tests.conftest import drain

from mlops.chassis.bus import Recorded
from mlops.chassis.bus_memory import MemoryBus
from mlops.chassis.errors import UnavailableError
from mlops.contracts.monitoring import PerformanceMeasured, Window
from mlops.gateway.adapters.memory import MemoryOfBus
from mlops.gateway.sources import Follower

NOW = "2026-01-01T00:00:00Z"


class BreakingHistory:
    """A history that breaks off after some messages, until it is mended."""

    def __init__(self, bus: MemoryBus, breaks_after: int) -> None:
        self.bus = bus
        self.left = breaks_after

    async def follow(
        self,
        types: Sequence[str] = (),
        scope: str = "*",
        *,
        since: datetime | None = None,
        live: bool = True,
    ) -> AsyncIterator[Recorded]:
        del live  # it always ends, so that a test does
        async for recorded in self.bus.follow(types, scope, since=since, live=False):
            if self.left == 0:
                raise UnavailableError("the bus went away")
            self.left -= 1
            yield recorded


async def test_broken_off_history_is_taken_up_again_without_counting_twice(bus: MemoryBus) -> None:
    window = Window.model_validate({"index": 0, "rows": 1, "first_at": NOW, "last_at": NOW})
    for value in (0.7, 0.8, 0.9):
        await bus.publish(
            PerformanceMeasured(
                project="p", model="m", version=1, metric="accuracy", value=value, window=window
            )
        )
    memory, deployed = MemoryOfBus(), list[int]()
    history = BreakingHistory(bus, breaks_after=2)
    follower = Follower(history, memory, lambda: deployed.append(1))

    with suppress(UnavailableError):
        await drain(follower())
    half = [one.value for one in memory.world.measures["p", "m"]]
    history.left = -1
    await drain(follower())

    assert half == [0.7, 0.8]
    assert [one.value for one in memory.world.measures["p", "m"]] == [0.7, 0.8, 0.9]
    assert memory.rebuilt


async def test_questions_are_not_answered_before_the_backlog_is_read(bus: MemoryBus) -> None:
    memory = MemoryOfBus()
    history = BreakingHistory(bus, breaks_after=-1)

    before = await memory.check()
    await drain(Follower(history, memory, lambda: None)())

    assert before == "still reading what the bus holds"
    assert await memory.check() is None


@pytest.mark.parametrize("payload", [b"not json", b"[]", b'{"id": 3}', b"{}"])
async def test_strange_bytes_on_the_bus_are_passed_over(bus: MemoryBus, payload: bytes) -> None:
    await bus.publish_bytes("run.started.p", payload, "strange")
    memory = MemoryOfBus()

    await drain(Follower(BreakingHistory(bus, breaks_after=-1), memory, lambda: None)())

    assert memory.rebuilt
