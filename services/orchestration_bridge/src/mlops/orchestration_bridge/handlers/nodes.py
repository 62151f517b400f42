# SPDX-License-Identifier: Apache-2.0
"""What machines say of their heat is kept; the dispatcher looks at it before each start."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from mlops.chassis.bus import Documents
from mlops.chassis.clock import Clock
from mlops.contracts.message import Message, NodeEvent
from mlops.contracts.telemetry_agent import TelemetrySampled, ThermalRecovered, ThermalThrottled
from mlops.orchestration_bridge.model import heat
from mlops.orchestration_bridge.model.heat import Node
from mlops.orchestration_bridge.ports.books import Books, NodeDocument


class Nodes:
    """The heat of each machine: edges when they come, samples to heal a missed edge."""

    def __init__(self, books: Books, clock: Clock) -> None:
        self._clock = clock
        self._documents: Documents[NodeDocument] = books.nodes
        self._changed = books.changed

    async def on_thermal_throttled(self, event: ThermalThrottled) -> Sequence[Message]:
        """Keep the level and the reason."""
        return await self._keep(event, Node(event.level, self._at(event), reason=event.reason))

    async def on_thermal_recovered(self, event: ThermalRecovered) -> Sequence[Message]:
        """Keep the lower level."""
        return await self._keep(event, Node(event.level, self._at(event)))

    async def on_telemetry_sampled(self, event: TelemetrySampled) -> Sequence[Message]:
        """Keep a new level, and now and then a sign of life; most samples change nothing."""
        interval = timedelta(seconds=event.sample.window_s)
        said = Node(event.sample.thermal.level, self._at(event), interval)
        known = await self._documents.get(event.node)
        if known is not None and not heat.worth_keeping(known.node, said):
            return []
        return await self._keep(event, said)

    def _at(self, event: NodeEvent) -> datetime:
        # A clock that once went ahead would silence the machine until then.
        return min(event.time, self._clock())

    async def _keep(self, event: NodeEvent, said: Node) -> Sequence[Message]:
        def change(now: NodeDocument | None) -> NodeDocument:
            return NodeDocument(node=heat.newer(now.node if now else None, said))

        await self._documents.change(event.node, change, applied=event.id)
        self._changed.set()
        return []
