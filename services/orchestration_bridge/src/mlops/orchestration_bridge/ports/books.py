# SPDX-License-Identifier: Apache-2.0
"""Books: the documents of queues and machines, and what the orchestrator last said of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict

from mlops.chassis.bus import Documents
from mlops.orchestration_bridge.model.admission import World
from mlops.orchestration_bridge.model.heat import Node
from mlops.orchestration_bridge.model.queue import Queue


class QueueDocument(BaseModel):
    """The queue of one project, as it is kept."""

    model_config = ConfigDict(frozen=True)

    queue: Queue


class NodeDocument(BaseModel):
    """What is known of one machine, as it is kept."""

    model_config = ConfigDict(frozen=True)

    node: Node


class Books:
    """All queues and machines; `changed` rings when a queue did, `away` says why the orchestrator cannot be asked."""

    def __init__(
        self,
        queues: Documents[QueueDocument],
        nodes: Documents[NodeDocument],
        max_parallel: int,
    ) -> None:
        self.nodes = nodes
        self.away = ""
        self.notes: dict[str, str] = {}
        self.changed = asyncio.Event()
        self._queues = queues
        self._max_parallel = max_parallel

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
        return document.queue

    async def world(self) -> World:
        """Return everything admission looks at."""
        queues = {name: found.queue for name, found in (await self._queues.all()).items()}
        nodes = {name: found.node for name, found in (await self.nodes.all()).items()}
        return World(queues, nodes, self._max_parallel, self.away)
