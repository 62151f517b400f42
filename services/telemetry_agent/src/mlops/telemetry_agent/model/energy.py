# SPDX-License-Identifier: Apache-2.0
"""Joules that only grow: counted by the machine where it counts, else watts over the time between two readings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlops.telemetry_agent.model.reading import Reading, Value

PARTS = ("cpu", "gpu", "ane", "dram", "package", "system")
INTEGRATED = "integrated"
# Longer than this nobody looked (the machine slept): what it drew then is not known.
LONGEST_GAP_S = 60.0


@dataclass(frozen=True)
class Meter:
    """Joules since this start of the agent, and which probe counted them; `integrated` parts were estimated."""

    joules: Mapping[str, float] = field(default_factory=dict)
    counted_by: Mapping[str, str] = field(default_factory=dict)

    @property
    def measured(self) -> bool:
        """Return whether every joule comes from a counter of the machine."""
        return INTEGRATED not in self.counted_by.values()


def count(meter: Meter, reading: Reading, seconds: float) -> Meter:
    """Return the meter after one reading, *seconds* after the one before.

    A part whose counter was ever read is never integrated again: a counter that pauses tells the rest later.
    """
    joules, counted_by = dict(meter.joules), dict(meter.counted_by)
    for part in PARTS:
        counted, watts = reading.number(f"energy.{part}_j"), reading.number(f"power.{part}_w")
        if counted is not None:
            joules[part] = joules.get(part, 0.0) + counted
            if counted_by.get(part) != INTEGRATED:
                counted_by[part] = reading.provenance.get(f"energy.{part}_j", "")
        elif watts is not None and counted_by.get(part, INTEGRATED) == INTEGRATED:
            joules[part] = joules.get(part, 0.0) + watts * max(0.0, min(seconds, LONGEST_GAP_S))
            counted_by[part] = INTEGRATED
    return Meter(joules, counted_by)


def fields(meter: Meter) -> tuple[dict[str, Value], dict[str, str]]:
    """Return the growing counters as fields of a reading, and where each comes from."""
    values: dict[str, Value] = {f"energy.{part}_j": round(j, 3) for part, j in meter.joules.items()}
    if values:
        values["energy.measured"] = meter.measured
    return values, {f"energy.{part}_j": probe for part, probe in meter.counted_by.items()}
