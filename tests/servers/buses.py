# SPDX-License-Identifier: Apache-2.0
"""Both buses behind the same few verbs: what a conformance test needs to start one and to wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from mlops.chassis.bus_memory import MemoryBus
from mlops.chassis.bus_nats import NatsBus


class NatsHarness:
    """NATS behind the same few verbs that tests use of the memory bus."""

    def __init__(self, server: Any, folder: Path) -> None:
        self.bus = NatsBus(server.url, token=server.token, name="test", outbox=folder / "outbox.db")

    async def start(self) -> None:
        await self.bus.start()

    async def settle(self, until: Callable[[], bool]) -> None:
        async with asyncio.timeout(45):
            while not until():
                await asyncio.sleep(0.01)

    async def close(self) -> None:
        await self.bus.stop(timedelta(seconds=2))


class MemoryHarness:
    def __init__(self) -> None:
        self.bus = MemoryBus()

    async def start(self) -> None:
        await self.bus.start()

    async def settle(self, until: Callable[[], bool]) -> None:
        await self.bus.settle()
        assert until()

    async def close(self) -> None:
        await self.bus.stop()


Harness = NatsHarness | MemoryHarness
