# SPDX-License-Identifier: Apache-2.0
"""SimulatedProbe: a machine that is not there, from the thermal model; its samples say `simulated`."""

from __future__ import annotations

import math
import random
from dataclasses import replace

from mlops.telemetry_agent.model import ladder, scenario, thermal
from mlops.telemetry_agent.model.reading import (
    FAILED,
    LEVEL,
    STALE,
    UNSUPPORTED,
    ClusterReading,
    Partial,
    Value,
)
from mlops.telemetry_agent.model.scenario import Scenario
from mlops.telemetry_agent.model.thermal import Heat

_MEMORY_BYTES = 16 * 2**30
_FAULT_AFTER_S = 60.0
_DROPPED, _SPIKED = 0.2, 0.1


class SimulatedProbe:
    """Play a scenario; the same scenario read at the same times gives the same values."""

    name = "simulated"

    def __init__(self, played: Scenario) -> None:
        self._scenario = played
        self._machine = scenario.machine_of(played)
        self._heat = Heat()
        self._began_s: float | None = None
        self._played_s = 0.0
        self._energy_j = 0.0
        self._stuck: Partial | None = None
        self._spiked = False
        self._dice = random.Random(played.seed)  # noqa: S311 - variety, not secrecy

    def read(self, at_s: float) -> Partial:
        """Let the machine live until now, and look."""
        self._began_s = at_s if self._began_s is None else self._began_s
        until = (at_s - self._began_s) * self._scenario.speed
        while self._played_s < until:
            stretch = min(1.0, until - self._played_s)
            load = scenario.load_at(self._scenario, self._played_s)
            self._heat = thermal.advance(
                self._machine, self._heat, load, self._scenario.ambient, stretch
            )
            self._energy_j += self._heat.power_w * stretch
            self._played_s += stretch
        return self._faulty(self._partial())

    def close(self) -> None:
        """Nothing is held open."""

    def _faulty(self, true: Partial) -> Partial:
        faults, late = self._scenario.faults, self._played_s > _FAULT_AFTER_S
        chance = self._dice.random()
        if scenario.SILENCE in faults and late:
            return Partial(self.name, missing=dict.fromkeys(true.values, STALE))
        if scenario.DROP in faults and chance < _DROPPED:
            return Partial(self.name, missing=dict.fromkeys(true.values, FAILED))
        # A spike is one reading: two in a row would be heat.
        self._spiked = not self._spiked and scenario.SPIKE in faults and chance > 1 - _SPIKED
        if self._spiked:
            cannot_be: dict[str, Value] = {"thermal.cpu_temp_c": 999.0, "power.package_w": math.nan}
            return replace(true, values={**true.values, **cannot_be, LEVEL: ladder.THROTTLED})
        if scenario.STICK in faults and late:
            self._stuck = self._stuck or true
            return self._stuck
        return true

    def _partial(self) -> Partial:
        heat, used_j = self._heat, self._energy_j
        self._energy_j = 0.0
        told = ladder.NOMINAL if scenario.LIE_NOMINAL in self._scenario.faults else heat.level
        return Partial(
            self.name,
            values={
                LEVEL: told,
                "thermal.native": ladder.DARWIN_NAMES[told],
                "energy.package_j": used_j,
                "thermal.cpu_temp_c": round(heat.die_c, 2),
                "power.package_w": round(heat.power_w, 3),
                "cpu_busy_ratio": scenario.load_at(self._scenario, self._played_s),
                "memory.total_bytes": _MEMORY_BYTES,
                "memory.available_bytes": _MEMORY_BYTES // 2,
                "memory.pressure": "normal",
                "chip.vendor": "simulated",
                "chip.name": f"simulated {self._scenario.machine}",
                "chip.cores": 8,
                "chip.memory_bytes": _MEMORY_BYTES,
            },
            missing={"gpus": UNSUPPORTED, "power.source": UNSUPPORTED},
            clusters=(ClusterReading("P-Cluster", "performance", 8, None, heat.clock_mhz * 1e6),),
        )
