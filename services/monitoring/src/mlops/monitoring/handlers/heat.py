# SPDX-License-Identifier: Apache-2.0
"""When nodes were held back, as a suspect for what models did meanwhile: heat, want of memory, low power mode."""

from __future__ import annotations

from collections.abc import Sequence

from mlops.contracts.message import Message
from mlops.contracts.telemetry_agent import (
    HardwareSample,
    TelemetrySampled,
    ThermalRecovered,
    ThermalThrottled,
)
from mlops.monitoring.model.suspects import MEMORY, POWER, Heat

_PRESSED = ("warn", "critical")
_LOW_POWER, _CAPPED = "low_power_mode", "power_cap"


class HeatLog:
    """The newest such times; kept in memory only, because samples tell the present again and again."""

    def __init__(self) -> None:
        self.heat = Heat()

    async def on_telemetry_sampled(self, event: TelemetrySampled) -> Sequence[Message]:
        """Note what a sample says, where the machine can tell it and tells it in time."""
        sample = event.sample
        if sample.backfill:
            return []
        if sample.thermal.level is not None:
            self.heat = self.heat.told(event.node, sample.thermal.level, sample.observed_at)
        for cause, text in ((MEMORY, _memory(sample)), (POWER, _power(sample))):
            self.heat = self.heat.strained(event.node, cause, text, sample.observed_at)
        return []

    async def on_thermal_throttled(self, event: ThermalThrottled) -> Sequence[Message]:
        """Note that a node slows down."""
        self.heat = self.heat.told(event.node, event.level, event.since)
        return []

    async def on_thermal_recovered(self, event: ThermalRecovered) -> Sequence[Message]:
        """Note that a node is well again."""
        self.heat = self.heat.told(event.node, event.level, event.time)
        return []


def _memory(sample: HardwareSample) -> str:
    pressure = sample.memory.pressure
    return f"was short of memory (pressure {pressure})" if pressure in _PRESSED else ""


def _power(sample: HardwareSample) -> str:
    if sample.power.mode == "low" or _LOW_POWER in sample.thermal.reasons:
        return "was in low power mode"
    return "had its power capped" if _CAPPED in sample.thermal.reasons else ""
