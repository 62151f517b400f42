# SPDX-License-Identifier: Apache-2.0
"""A machine at work: its jobs share it, its heat slows them, and every second and joule is counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mlops.orchestration_bridge.model.placement import GIB
from mlops.orchestration_bridge.simulation import physics
from mlops.orchestration_bridge.simulation.fleets import Make
from mlops.orchestration_bridge.simulation.physics import Heat

SYSTEM_GIB = 4
SLOWED = 0.95
_DONE = 1e-9
_SOON_S = 1e-6


@dataclass
class Task:
    """A job on a machine: what is left of it, and how fast it goes there when it is alone and the machine is cool."""

    key: str
    left: float
    pace: float
    intensity: float
    memory_bytes: int


@dataclass
class Account:
    """What a machine has done and taken. Joules are of the whole machine, `work_j` those above rest."""

    work: float = 0.0
    energy_j: float = 0.0
    work_j: float = 0.0
    busy_s: float = 0.0
    slowed_s: float = 0.0
    onsets: int = 0


class Machine:
    """One machine in its own time. It changes in place: a step costs a microsecond or two."""

    def __init__(self, make: Make, heat: Heat | None = None, at_s: float = 0.0) -> None:
        self.make = make
        self.at_s = at_s
        rests_w = make.kind.body.idle_w
        rests_c = physics.settles(make.kind.body, rests_w, make.ambient_c)
        chassis_c = make.ambient_c + rests_w * make.kind.body.chassis_to_air_k_per_w
        self.heat = heat or Heat(rests_c, chassis_c)
        self.tasks: dict[str, Task] = {}
        self.account = Account()
        self.power_w = rests_w

    @property
    def load(self) -> float:
        """Return the part of it that is busy."""
        return min(1.0, sum(task.intensity for task in self.tasks.values()))

    @property
    def memory_free(self) -> int:
        """Return the memory that nothing uses."""
        used = sum(task.memory_bytes for task in self.tasks.values())
        return self.make.memory_bytes - SYSTEM_GIB * GIB - used

    def copy(self) -> Machine:
        """Return another that goes on by itself."""
        other = Machine(self.make, self.heat, self.at_s)
        other.tasks = {
            key: Task(key, task.left, task.pace, task.intensity, task.memory_bytes)
            for key, task in self.tasks.items()
        }
        return other

    def advance(self, until_s: float) -> Iterator[tuple[str, float]]:
        """Let it live until then; yield each job that ends, and when."""
        while until_s - self.at_s > _SOON_S:
            yield from self.step(until_s, physics.LOOK_S)

    def step(self, until_s: float, most_s: float) -> list[tuple[str, float]]:
        """Let it live until then, for so long at most, or until a job ends; return what ends, and when."""
        share, load = physics.clock(self.make.kind.body, self.heat), self.load
        rate = physics.speed(share) * self._crowded()
        seconds = min(most_s, until_s - self.at_s, self._next_end_s(rate))
        self._live(load, share, rate, seconds)
        return self._ended()

    def _crowded(self) -> float:
        """Return how much of its own pace each task gets: together they cannot have more than the machine."""
        asked = sum(task.intensity for task in self.tasks.values())
        return 1.0 if asked <= 1.0 else 1.0 / asked

    def _next_end_s(self, rate: float) -> float:
        return min(
            (task.left / (task.pace * rate) for task in self.tasks.values()), default=float("inf")
        )

    def _live(self, load: float, share: float, rate: float, seconds: float) -> None:
        body, account = self.make.kind.body, self.account
        self.power_w = physics.power(body, load, share)
        moved = physics.after(body, self.heat, self.power_w, self.make.ambient_c, seconds)
        before, self.heat = self.heat, physics.governed(body, moved, load, seconds)
        self.at_s += seconds
        for task in self.tasks.values():
            done = min(task.left, task.pace * rate * seconds)
            task.left -= done
            account.work += done
        account.energy_j += self.power_w * seconds
        account.work_j += (self.power_w - body.idle_w) * seconds
        account.onsets += self.heat.level >= physics.THROTTLED > before.level
        if self.tasks:
            account.busy_s += seconds
            account.slowed_s += seconds if physics.speed(share) < SLOWED else 0.0

    def _ended(self) -> list[tuple[str, float]]:
        over = [key for key, task in self.tasks.items() if task.left <= _DONE]
        for key in over:
            del self.tasks[key]
        return [(key, self.at_s) for key in over]
