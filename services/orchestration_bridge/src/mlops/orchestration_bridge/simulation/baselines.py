# SPDX-License-Identifier: Apache-2.0
"""The simpler ways: round robin, least loaded, random with a cooldown, and the coolest among the least loaded.

All of them go through what waits in the order of arrival and start whatever fits somewhere, so nothing is kept idle.
They know slots, memory and accelerators as ours does, and heat only from the same messages.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mlops.orchestration_bridge.model.nodes import Reading
from mlops.orchestration_bridge.simulation.fleets import Make
from mlops.orchestration_bridge.simulation.physics import THROTTLED
from mlops.orchestration_bridge.simulation.scheduler import SLOTS, Decision, Told
from mlops.orchestration_bridge.simulation.trace import Job, fits

COOLDOWN = timedelta(seconds=120)
# What samples change (memory, rest) is looked at again so often; what comes or ends is looked at at once.
LOOK_AGAIN = timedelta(seconds=10)


@dataclass
class Place:
    """One machine in a scheduler's books: what it runs, what it last said, and when it was last said to be hot."""

    make: Make
    running: dict[str, Job]
    reading: Reading | None = None
    level: int = 0
    hot_at: datetime | None = None

    def room(self, job: Job) -> bool:
        """Return whether it takes one more job."""
        needs = job.group.needs
        used = sum(one.group.needs.memory_bytes for one in self.running.values())
        free = self.make.memory_bytes - used
        if self.reading is not None and self.reading.memory_available is not None:
            free = min(free, self.reading.memory_available)
        return len(self.running) < SLOTS and fits(self.make, needs) and free >= needs.with_margin


Choice = Callable[[Sequence[Place], datetime], Place | None]


class Greedy:
    """A way of choosing among the machines that have room, in the order in which jobs came."""

    def __init__(self, name: str, makes: Iterable[Make], choose: Choice) -> None:
        self.name = name
        self._choose = choose
        self._places = [Place(make, {}) for make in makes]
        self._by_name = {place.make.name: place for place in self._places}
        self._waiting: dict[str, Job] = {}
        self._where: dict[str, Place] = {}
        self._decided_at: datetime | None = None

    def arrived(self, job: Job, now: datetime) -> None:  # noqa: ARG002 - the port's
        """Let it wait."""
        self._waiting[job.key] = job
        self._decided_at = None

    def told(self, said: Told, now: datetime) -> None:
        """Remember the last word of a machine."""
        place = self._by_name[said.machine]
        level = said.level
        if said.reading is not None:
            place.reading, level = said.reading, said.reading.level or 0
        place.level = level
        place.hot_at = now if level >= THROTTLED else place.hot_at

    def ended(self, key: str, now: datetime) -> None:  # noqa: ARG002 - the port's
        """Give back its slot."""
        del self._where.pop(key).running[key]
        self._decided_at = None

    def left(self, key: str, now: datetime) -> None:
        """Let it wait again: none of these ever asks for it."""
        job = self._where[key].running[key]
        self.ended(key, now)
        self.arrived(job, now)

    def decide(self, now: datetime) -> Decision:
        """Start what fits, first come first served; what fits nowhere lets others pass."""
        if self._decided_at is not None and now - self._decided_at < LOOK_AGAIN:
            return Decision()
        self._decided_at = now
        starts: dict[str, str] = {}
        for key, job in tuple(self._waiting.items()):
            if all(len(one.running) >= SLOTS for one in self._places):
                break
            place = self._choose([one for one in self._places if one.room(job)], now)
            if place is not None:
                place.running[key] = self._waiting.pop(key)
                self._where[key] = place
                starts[key] = place.make.name
        return Decision(starts)


def round_robin(makes: Sequence[Make], seed: int) -> Greedy:  # noqa: ARG001 - one shape for all
    """Return the one that goes round: the next machine in a circle that has room."""
    order = {make.name: place for place, make in enumerate(makes)}
    last = [-1]

    def choose(there: Sequence[Place], now: datetime) -> Place | None:  # noqa: ARG001 - one shape
        found = min(
            there, key=lambda one: (order[one.make.name] - last[0] - 1) % len(order), default=None
        )
        last[0] = order[found.make.name] if found else last[0]
        return found

    return Greedy("round-robin", makes, choose)


def least_loaded(makes: Sequence[Make], seed: int) -> Greedy:  # noqa: ARG001 - the same
    """Return the one that takes the machine with the fewest jobs; the first of a list decides between equals."""

    def choose(there: Sequence[Place], now: datetime) -> Place | None:  # noqa: ARG001 - the same
        return min(there, key=lambda one: len(one.running), default=None)

    return Greedy("least-loaded", makes, choose)


def cooldown(makes: Sequence[Make], seed: int) -> Greedy:
    """Return the one that draws lots among machines that were not said to be hot for two minutes."""
    dice = random.Random(f"cooldown {seed}")  # noqa: S311 - lots, not secrets

    def choose(there: Sequence[Place], now: datetime) -> Place | None:
        rested = [one for one in there if one.hot_at is None or now - one.hot_at >= COOLDOWN]
        return dice.choice(rested) if rested else None

    return Greedy("cooldown", makes, choose)


def coolest(makes: Sequence[Make], seed: int) -> Greedy:  # noqa: ARG001 - the same
    """Return the least loaded, where the lower temperature decides between equals; no thermometer counts by its level."""

    def choose(there: Sequence[Place], now: datetime) -> Place | None:  # noqa: ARG001 - the same
        return min(there, key=lambda one: (len(one.running), one.level, _temp_c(one)), default=None)

    return Greedy("coolest", makes, choose)


def _temp_c(place: Place) -> float:
    said = place.reading
    return 0.0 if said is None or said.temp_c is None else said.temp_c


BASELINES: Mapping[str, Callable[[Sequence[Make], int], Greedy]] = {
    "round-robin": round_robin,
    "least-loaded": least_loaded,
    "cooldown": cooldown,
    "coolest": coolest,
}
