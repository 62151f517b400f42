# SPDX-License-Identifier: Apache-2.0
"""Pools: gives each machine's pool at the orchestrator as many slots as its heat allows, as soon as that changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from datetime import timedelta

import structlog

from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message
from mlops.orchestration_bridge.errors import OrchestratorAwayError
from mlops.orchestration_bridge.ports.books import Books
from mlops.orchestration_bridge.ports.pipelines import Pools

_IDLE_ROUNDS = 5


class PoolKeeper:
    """Beside the dispatcher, whose calls to the orchestrator may take long: heat waits for nobody."""

    def __init__(
        self, books: Books, pools: Pools, clock: Clock, pause: timedelta, local: str = ""
    ) -> None:
        self._books = books
        self._pools = pools
        self._clock = clock
        self._pause_s = pause.total_seconds()
        self._local = local
        self._given: dict[str, int] = {}
        self._failed: dict[str, str] = {}
        self._log = structlog.get_logger("pools")

    async def messages(self) -> AsyncGenerator[Message, None]:
        """Keep the pools for ever; nothing is told of them, `thermal.*` has told it already."""
        while True:
            self._books.heat.clear()
            for message in await self.round():
                yield message
            pause_s = self._pause_s * (1 if self._failed else _IDLE_ROUNDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._books.heat.wait()

    async def round(self) -> Sequence[Message]:
        """Resize each pool whose slots are not what they should be; one that fails is tried in the next round."""
        fleet, now = await self._books.fleet(), self._clock()
        names = [name for name in fleet.names(now) if name in fleet.nodes]
        for name in names:
            slots = fleet.slots(name, now)
            if self._given.get(name) != slots:
                await self._resize(name, slots, local=name == self._local or len(names) == 1)
        return ()

    async def _resize(self, name: str, slots: int, *, local: bool) -> None:
        try:
            await self._pools.resize(name, slots, local=local)
        except (OrchestratorAwayError, RejectedError) as error:
            if self._failed.get(name) != str(error):
                self._log.warning("pool.unchanged", node=name, slots=slots, reason=str(error))
            self._failed[name] = str(error)
            return
        self._failed.pop(name, None)
        self._log.info("pool.resized", node=name, slots=slots, before=self._given.get(name))
        self._given[name] = slots
