# SPDX-License-Identifier: Apache-2.0
"""Books: the documents of queues and machines, and what the orchestrator last said of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from pydantic import BaseModel, ConfigDict

from mlops.chassis.bus import Documents
from mlops.contracts.attribution import Tab
from mlops.orchestration_bridge.model.fleet import Fleet
from mlops.orchestration_bridge.model.heat import USUAL, Rules
from mlops.orchestration_bridge.model.nodes import Node
from mlops.orchestration_bridge.model.queue import Queue
from mlops.orchestration_bridge.model.standing import World
from mlops.orchestration_bridge.model.strain import Strain
from mlops.orchestration_bridge.model.workers import Worker


class QueueDocument(BaseModel):
    """The queue of one project, as it is kept."""

    model_config = ConfigDict(frozen=True)

    queue: Queue


class NodeDocument(BaseModel):
    """What is known of one machine, as it is kept; and of each workflow there what it took, and what it went through."""

    model_config = ConfigDict(frozen=True)

    node: Node
    tab: Tab = Tab()
    strains: Mapping[str, Strain] = {}


class Books:
    """All queues and machines. `away` says why the orchestrator cannot be asked.

    `changed` rings when a queue or a machine did; `alarm` and `heat` when a machine's level or slots did, one for each
    of the two that listen. `hosts` are the machines that take work; none named are all that are heard of. `workers` are
    those that run steps beside the orchestrator's own machine, `local`, as it last told, where `several` may. `last` is the world
    as it was last read here, for those who need it at once.
    """

    def __init__(
        self,
        queues: Documents[QueueDocument],
        nodes: Documents[NodeDocument],
        max_parallel: int,
        hosts: tuple[str, ...] = (),
        local: str = "",
        *,
        several: bool = False,
        heat_rules: Rules = USUAL,
    ) -> None:
        self.nodes = nodes
        self.max_parallel = max_parallel
        self.away = ""
        self.local = local
        self.several = several
        self.workers: Mapping[str, Worker] = {}
        self.notes: dict[str, str] = {}
        self.changed = asyncio.Event()
        self.alarm = asyncio.Event()
        self.heat = asyncio.Event()
        self.last: World | None = None
        self._queues = queues
        self._hosts = hosts
        self.heat_rules = heat_rules

    def ring(self) -> None:
        """Wake everybody who acts on the heat of machines."""
        for bell in (self.changed, self.alarm, self.heat):
            bell.set()

    async def queue(self, project: str) -> Queue | None:
        """Return the queue of a project, None when it was never registered."""
        found = await self._queues.get(project)
        return found.queue if found else None

    async def change(
        self, project: str, change: Callable[[Queue], Queue], *, applied: str
    ) -> Queue:
        """Apply *change* to the queue of a project once per *applied*; return it as it now is."""

        def within(now: QueueDocument | None) -> QueueDocument:
            return QueueDocument(queue=change(now.queue if now else Queue(project)))

        document = await self._queues.change(project, within, applied=applied)
        self.changed.set()
        if self.last is not None:
            known = {**self.last.queues, project: document.queue}
            self.last = replace(self.last, queues=known)
        return document.queue

    async def world(self) -> World:
        """Return everything admission looks at."""
        queues = {name: found.queue for name, found in (await self._queues.all()).items()}
        documents = await self.nodes.all()
        self.last = World(
            queues,
            {name: found.node for name, found in documents.items()},
            self.max_parallel,
            self.away,
            self._hosts,
            self.workers,
            self.local,
            _so_far(documents.values()),
            self.several,
            self.heat_rules,
        )
        return self.last

    async def fleet(self) -> Fleet:
        """Return the machines alone, without what is kept for serving."""
        known, crew = await self._known(), (self.workers, self.local, self.several)
        pace = self.heat_rules.pace
        return Fleet(known, self.max_parallel, self._hosts, 0, *crew, pace)

    async def _known(self) -> dict[str, Node]:
        return {name: found.node for name, found in (await self.nodes.all()).items()}


def _so_far(documents: Iterable[NodeDocument]) -> dict[str, float]:
    """Return the joules of each workflow that has not ended, over all machines."""
    found: dict[str, float] = {}
    for document in documents:
        for key, taken in document.tab.taken.items():
            found[key] = found.get(key, 0.0) + taken.joules
    return found
