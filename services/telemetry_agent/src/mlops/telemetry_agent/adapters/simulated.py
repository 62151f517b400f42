# SPDX-License-Identifier: Apache-2.0
"""SimulatedProbe: a machine that is not there, from the thermal model; its samples say `simulated`."""

from __future__ import annotations

from mlops.telemetry_agent.model import ladder, scenario, thermal
from mlops.telemetry_agent.model.reading import LEVEL, UNSUPPORTED, Partial
from mlops.telemetry_agent.model.scenario import Scenario
from mlops.telemetry_agent.model.thermal import Heat

_MEMORY_BYTES = 16 * 2**30


class SimulatedProbe:
    """Play a scenario; the same scenario read at the same times gives the same values."""

    name = "simulated"

    def __init__(self, played: Scenario) -> None:
        self._scenario = played
        self._machine = scenario.machine_of(played)
        self._heat = Heat()
        self._began_s: float | None = None
        self._played_s = 0.0

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
            self._played_s += stretch
        return self._partial()

    def close(self) -> None:
        """Nothing is held open."""

    def _partial(self) -> Partial:
        heat = self._heat
        return Partial(
            self.name,
            values={
                LEVEL: heat.level,
                "thermal.native": ladder.DARWIN_NAMES[heat.level],
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
        )
