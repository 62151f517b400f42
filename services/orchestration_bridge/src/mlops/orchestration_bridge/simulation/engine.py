# SPDX-License-Identifier: Apache-2.0
"""The run of one scheduler on one trace: events in order of time, and what became of every job.

Machines live on a beat of two seconds (a look of the governor and of the agent); jobs come, messages arrive and work
begins at any moment between. At equal times: what ends, then what comes, then what is told, then what begins.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum

from mlops.orchestration_bridge.simulation.machine import Account, Machine, Task
from mlops.orchestration_bridge.simulation.physics import LOOK_S
from mlops.orchestration_bridge.simulation.scheduler import (
    SAVES_WITHIN,
    Decision,
    Scheduler,
    Told,
    moment,
)
from mlops.orchestration_bridge.simulation.telling import Agent
from mlops.orchestration_bridge.simulation.trace import Job

# What the orchestrator takes to begin a step, and what a moved one takes besides to load what it saved and warm up.
# Assumed, not measured; the same for every scheduler.
START_S = 3.0
MOVE_S = 20.0
LONGEST_S = 48 * 3600.0


class Turn(IntEnum):
    """What happens at a moment; the order of those that happen at the same one."""

    BEAT = 0
    COMES = 1
    TOLD = 2
    BEGINS = 3
    LEAVES = 4


@dataclass(frozen=True)
class Stay:
    """One stretch of a job on one machine."""

    key: str
    project: str
    machine: str
    since_s: float
    until_s: float


@dataclass
class Log:
    """What became of everything."""

    done_s: dict[str, float] = field(default_factory=dict)
    began_s: dict[str, float] = field(default_factory=dict)
    stays: list[Stay] = field(default_factory=list)
    moves: int = 0
    machines: Mapping[str, Account] = field(default_factory=dict)


class Engine:
    """One installation in simulated time."""

    def __init__(self, machines: Sequence[Machine], jobs: Sequence[Job], seed: int) -> None:
        self.machines = {machine.make.name: machine for machine in machines}
        self.now_s = 0.0
        self.log = Log(machines={name: one.account for name, one in self.machines.items()})
        self._jobs = {job.key: job for job in jobs}
        self._agents = [Agent(machine, seed) for machine in machines]
        self._dice = random.Random(f"engine {seed}")  # noqa: S311 - noise
        self._events: list[tuple[float, int, int, object]] = []
        self._count = 0
        self._where: dict[str, tuple[Machine, float]] = {}
        self._left: dict[str, float] = {}
        for job in jobs:
            self._push(job.at_s, Turn.COMES, job)
        self._push(0.0, Turn.BEAT, None)

    def run(self, scheduler: Scheduler) -> Log:
        """Play the trace to its end; raises RuntimeError where work is never done."""
        while len(self.log.done_s) < len(self._jobs):
            self.now_s, turn, _, what = heapq.heappop(self._events)
            if self.now_s > LONGEST_S:
                raise RuntimeError(f"{scheduler.name}: work is left after {LONGEST_S:.0f} s")
            self._happens(Turn(turn), what, scheduler)
            if not self._events or self._events[0][0] > self.now_s:
                self._do(scheduler.decide(moment(self.now_s)))
        return self.log

    def _happens(self, turn: Turn, what: object, scheduler: Scheduler) -> None:
        if turn is Turn.BEAT:
            self._beat(scheduler)
        elif isinstance(what, Job):
            scheduler.arrived(what, moment(self.now_s))
        elif isinstance(what, Told):
            scheduler.told(what, moment(self.now_s))
        elif isinstance(what, str) and turn is Turn.BEGINS:
            self._begins(what, scheduler)
        elif isinstance(what, str):
            self._leaves(what, scheduler)

    def _beat(self, scheduler: Scheduler) -> None:
        for machine in self.machines.values():
            self._live(machine, scheduler)
        for agent in self._agents:
            for arrival in agent.look():
                self._push(arrival.at_s, Turn.TOLD, arrival.said)
        self._push(self.now_s + LOOK_S, Turn.BEAT, None)

    def _live(self, machine: Machine, scheduler: Scheduler) -> None:
        for key, at_s in machine.advance(self.now_s):
            self.log.done_s[key] = at_s
            self._stayed(key, at_s)
            scheduler.ended(key, moment(self.now_s))

    def _do(self, decision: Decision) -> None:
        for key, name in decision.starts.items():
            self._where[key] = (self.machines[name], self.now_s)
            again_s = MOVE_S if key in self._left else 0.0
            self._push(self.now_s + START_S + again_s, Turn.BEGINS, key)
        for key in decision.leaves:
            saves_s = self._dice.uniform(0.0, SAVES_WITHIN.total_seconds())
            self._push(self.now_s + saves_s, Turn.LEAVES, key)

    def _begins(self, key: str, scheduler: Scheduler) -> None:
        machine, _ = self._where[key]
        self._live(machine, scheduler)
        job = self._jobs[key]
        needs = job.group.needs
        self.log.began_s.setdefault(key, self.now_s)
        machine.tasks[key] = Task(
            key,
            self._left.pop(key, job.work),
            machine.make.pace(needs.accelerator),
            job.group.intensity,
            needs.memory_bytes,
        )

    def _leaves(self, key: str, scheduler: Scheduler) -> None:
        if key not in self._where:
            return  # it was done before it came to its next checkpoint
        machine, _ = self._where[key]
        self._live(machine, scheduler)
        task = machine.tasks.pop(key, None)
        if task is not None:
            self._left[key] = task.left
            self._stayed(key, self.now_s)
            self.log.moves += 1
            scheduler.left(key, moment(self.now_s))

    def _stayed(self, key: str, until_s: float) -> None:
        machine, since_s = self._where.pop(key)
        stay = Stay(key, self._jobs[key].group.project, machine.make.name, since_s, until_s)
        self.log.stays.append(stay)

    def _push(self, at_s: float, turn: Turn, what: object) -> None:
        self._count += 1
        heapq.heappush(self._events, (at_s, int(turn), self._count, what))
