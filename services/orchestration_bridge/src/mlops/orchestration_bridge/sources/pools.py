# SPDX-License-Identifier: Apache-2.0
"""Pools: gives each machine's pool at the orchestrator as many slots as its heat allows, and drains the hottest."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Sequence
from datetime import timedelta

import structlog

from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError
from mlops.contracts.message import Message
from mlops.orchestration_bridge.errors import OrchestratorAwayError
from mlops.orchestration_bridge.model import workers
from mlops.orchestration_bridge.model.fleet import Fleet
from mlops.orchestration_bridge.model.workers import Step, Worker
from mlops.orchestration_bridge.ports.books import Books
from mlops.orchestration_bridge.ports.pipelines import Pools

_IDLE_ROUNDS = 5


class PoolKeeper:
    """Beside the dispatcher, whose calls to the orchestrator may take long: heat waits for nobody."""

    def __init__(self, books: Books, pools: Pools, clock: Clock, pause: timedelta) -> None:
        self._books = books
        self._pools = pools
        self._clock = clock
        self._pause_s = pause.total_seconds()
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
        """Do what each machine's heat asks for; whatever fails is tried in the next round."""
        if self._books.several:
            await self._try("workers", self._look())
        fleet, now = await self._books.fleet(), self._clock()
        names = [name for name in fleet.names(now) if name in fleet.nodes]
        for name in names:
            slots, alone = fleet.slots(name, now), len(names) == 1 and name not in fleet.workers
            if self._given.get(name) != slots:
                await self._try(name, self._resize(name, slots, local=alone or name == fleet.local))
        for worker in fleet.workers.values():
            await self._try(f"worker {worker.name}", self._keep(worker, fleet))
        return ()

    async def _look(self) -> None:
        found = {worker.name: worker for worker in await self._pools.workers()}
        before = {name: worker.work for name, worker in self._books.workers.items()}
        self._books.workers = found
        if before != {name: worker.work for name, worker in found.items()}:
            self._log.info("workers", **{name: one.work.value for name, one in found.items()})
            self._books.changed.set()  # what waited for a machine may go there now, or no longer
            self._books.alarm.set()

    async def _resize(self, name: str, slots: int, *, local: bool) -> None:
        await self._pools.resize(name, slots, local=local)
        self._log.info("pool.resized", node=name, slots=slots, before=self._given.get(name))
        self._given[name] = slots

    async def _keep(self, worker: Worker, fleet: Fleet) -> None:
        name, node = worker.name, fleet.nodes.get(worker.name)
        step = workers.step(worker, node, self._clock(), fleet.pace)
        if step is Step.DRAIN and node is not None:
            why = workers.comment(name, node)
            await self._pools.drain(name, why)
            self._log.warning("worker.drained", node=name, reason=why)
        elif step is Step.UNDRAIN:
            await self._pools.undrain(name)
            self._log.info("worker.undrained", node=name)
        elif not worker.takes_work:
            await self._pools.release(name, workers.closed(worker))

    async def _try(self, what: str, act: Awaitable[None]) -> None:
        try:
            await act
        except (OrchestratorAwayError, RejectedError) as error:
            if self._failed.get(what) != str(error):
                self._log.warning("pool.unchanged", node=what, reason=str(error))
            self._failed[what] = str(error)
        else:
            self._failed.pop(what, None)
