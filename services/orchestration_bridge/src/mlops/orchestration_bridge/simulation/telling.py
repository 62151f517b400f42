# SPDX-License-Identifier: Apache-2.0
"""What a machine's agent tells: noisy, averaged, sometimes late or lost.

Samples go every 10 s, every minute from a machine that is cool and idle; one in fifty is late by up to a minute, one in
a hundred is lost. Edges (throttled, recovered) go at once and are never lost.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from mlops.orchestration_bridge.model.nodes import Reading
from mlops.orchestration_bridge.simulation.belief import Belief
from mlops.orchestration_bridge.simulation.machine import Machine
from mlops.orchestration_bridge.simulation.physics import THROTTLED
from mlops.orchestration_bridge.simulation.scheduler import Told, moment

_WINDOW_S, _IDLE_WINDOW_S = 10.0, 60.0
_DEGREES, _WATTS, _MEMORY = 0.7, 0.03, 0.01
_LATE, _LOST = 0.02, 0.01
_USUAL_DELAY_S, _LATE_DELAY_S = (0.02, 0.5), (2.0, 60.0)


@dataclass(frozen=True)
class Arrival:
    """A message and when it arrives."""

    at_s: float
    said: Told


class _Look(NamedTuple):
    temp_c: float
    power_w: float
    load: float


class Agent:
    """The agent of one machine: it looks at each tick, and what it says arrives a little later."""

    def __init__(self, machine: Machine, seed: int) -> None:
        self._machine = machine
        self._dice = random.Random(f"agent {machine.make.name} {seed}")  # noqa: S311 - noise
        self._belief = Belief()
        self._looks: list[_Look] = []
        self._told_s = -_IDLE_WINDOW_S

    def look(self) -> Iterator[Arrival]:
        """Look at the machine as it is now; yield what is told of it."""
        machine, now_s = self._machine, self._machine.at_s
        temp_c = machine.heat.die_c + self._dice.gauss(0, _DEGREES)
        power_w = max(0.0, machine.power_w * (1 + self._dice.gauss(0, _WATTS)))
        self._looks.append(_Look(temp_c, power_w, machine.load))
        before = self._belief.level
        read_c = temp_c if machine.make.thermometer else None
        self._belief.look(machine.heat.level, read_c, now_s)
        if (before >= THROTTLED) != (self._belief.level >= THROTTLED):
            yield self._edge(now_s)
        window_s = _WINDOW_S if self._belief.level or machine.tasks else _IDLE_WINDOW_S
        if now_s - self._told_s >= window_s:
            self._told_s = now_s
            yield from self._sample(now_s, window_s)

    def _edge(self, now_s: float) -> Arrival:
        name, level = self._machine.make.name, self._belief.level
        said = Told(
            machine=name,
            at=moment(now_s),
            level=level,
            reason="Heavy" if level >= THROTTLED else "",
            episode=f"{name}-{self._belief.episodes}",
        )
        return Arrival(now_s + self._dice.uniform(*_USUAL_DELAY_S), said)

    def _sample(self, now_s: float, window_s: float) -> Iterator[Arrival]:
        looks, self._looks = self._looks, []
        fate = self._dice.random()
        if fate < _LOST:
            return
        late = fate < _LOST + _LATE
        delay_s = self._dice.uniform(*(_LATE_DELAY_S if late else _USUAL_DELAY_S))
        said = Told(self._machine.make.name, moment(now_s), self._reading(looks, window_s))
        yield Arrival(now_s + delay_s, said)

    def _reading(self, looks: list[_Look], window_s: float) -> Reading:
        make, count = self._machine.make, len(looks)
        free = self._machine.memory_free * (1 - abs(self._dice.gauss(0, _MEMORY)))
        return Reading(
            level=self._belief.level,
            window_s=window_s,
            boot_id=make.name,
            source="simulated",
            cores=make.kind.cores,
            memory_total=make.memory_bytes,
            memory_available=max(0, int(free)),
            memory_pressure="normal",
            accelerators=make.kind.accelerators,
            cpu_busy_ratio=sum(look.load for look in looks) / count,
            power_w=sum(look.power_w for look in looks) / count,
            temp_c=sum(look.temp_c for look in looks) / count if make.thermometer else None,
        )
