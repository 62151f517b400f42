# SPDX-License-Identifier: Apache-2.0
"""When nodes were hot, as a suspect for what models did meanwhile."""

from __future__ import annotations

from collections.abc import Sequence

from mlops.contracts.message import Message
from mlops.contracts.telemetry_agent import TelemetrySampled, ThermalRecovered, ThermalThrottled
from mlops.monitoring.model.suspects import Heat


class HeatLog:
    """The newest thermal episodes; kept in memory only, because samples tell the present heat again and again."""

    def __init__(self) -> None:
        self.heat = Heat()

    async def on_telemetry_sampled(self, event: TelemetrySampled) -> Sequence[Message]:
        """Note the level of a sample, where the machine can tell it and tells it in time."""
        level = event.sample.thermal.level
        if level is not None and not event.sample.backfill:
            self.heat = self.heat.told(event.node, level, event.sample.observed_at)
        return []

    async def on_thermal_throttled(self, event: ThermalThrottled) -> Sequence[Message]:
        """Note that a node slows down."""
        self.heat = self.heat.told(event.node, event.level, event.since)
        return []

    async def on_thermal_recovered(self, event: ThermalRecovered) -> Sequence[Message]:
        """Note that a node is well again."""
        self.heat = self.heat.told(event.node, event.level, event.time)
        return []
