# SPDX-License-Identifier: Apache-2.0
"""The oracle: it knows every length, every true temperature and the true constants of each machine.

It minimises the sum of completion times of what has come so far, over plans in which every job is given a machine and
each machine takes its jobs shortest first, as slots and memory allow; nothing that runs is moved, and what has not
come yet is not known. It plans three jobs at a time: those that could begin now, the shortest first. Plans are searched
by a beam, which is the whole search where there are few; a plan may let a job wait for a better machine, and is made
anew whenever something changes. So it is a bound of its class only: who moves work, or is lucky with what comes next,
may be better.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

from mlops.orchestration_bridge.simulation import physics
from mlops.orchestration_bridge.simulation.engine import START_S
from mlops.orchestration_bridge.simulation.machine import Machine, Task
from mlops.orchestration_bridge.simulation.scheduler import SLOTS, Decision, Told
from mlops.orchestration_bridge.simulation.trace import Job, fits

MOST_AHEAD, TRIES = 3, 24
_STEP_S, _LONGEST_S = 20.0, 24 * 3600.0

Plan = dict[str, tuple[str, ...]]


class Oracle:
    """A scheduler that is given the machines themselves."""

    name = "oracle"

    def __init__(self, machines: Mapping[str, Machine]) -> None:
        self._machines = machines
        self._waiting: dict[str, Job] = {}
        self._where: dict[str, str] = {}
        self._begun: dict[str, Job] = {}
        self._changed = False
        self._sums: dict[tuple[str, tuple[str, ...]], float] = {}

    def arrived(self, job: Job, now: datetime) -> None:  # noqa: ARG002 - the port's
        """Take in a job with its true length."""
        self._waiting[job.key] = job
        self._changed = True

    def told(self, said: Told, now: datetime) -> None:
        """Listen to nobody: it knows."""

    def ended(self, key: str, now: datetime) -> None:  # noqa: ARG002 - the port's
        """Give back its slot."""
        del self._where[key]
        del self._begun[key]
        self._changed = True

    def left(self, key: str, now: datetime) -> None:
        """Never asked for: nothing that runs is moved."""

    def decide(self, now: datetime) -> Decision:  # noqa: ARG002 - it looks at the machines' own time
        """Start what the best plan starts now."""
        starts: dict[str, str] = {}
        while self._changed and self._waiting and self._any_slot():
            found = self._round()
            self._changed = bool(found)
            starts |= found
        return Decision(starts)

    def _round(self) -> dict[str, str]:
        self._sums.clear()
        ahead = self._ahead()
        plan = self._planned(ahead)
        starts: dict[str, str] = {}
        for job in ahead:
            name = next(one for one, keys in plan.items() if job.key in keys)
            before = plan[name][: plan[name].index(job.key)]
            if self._has_place(job, name) and all(key in starts for key in before):
                starts[job.key] = self._where[job.key] = name
                self._begun[job.key] = self._waiting.pop(job.key)
        return starts

    def _ahead(self) -> list[Job]:
        """Return the jobs to plan, the shortest first."""
        urgent = sorted(
            self._waiting.values(),
            key=lambda job: (not self._could_begin(job), job.work, job.key),
        )
        return sorted(urgent[:MOST_AHEAD], key=lambda job: (job.work, job.key))

    def _could_begin(self, job: Job) -> bool:
        return any(
            fits(machine.make, job.group.needs) and self._has_place(job, name)
            for name, machine in self._machines.items()
        )

    def _any_slot(self) -> bool:
        taken = list(self._where.values())
        return any(taken.count(name) < SLOTS for name in self._machines)

    def _has_place(self, job: Job, name: str) -> bool:
        here = [self._begun[key] for key, where in self._where.items() if where == name]
        used = sum(one.group.needs.memory_bytes for one in here)
        free = Machine(self._machines[name].make).memory_free - used
        return len(here) < SLOTS and free >= job.group.needs.with_margin

    def _planned(self, ahead: list[Job]) -> Plan:
        width = max(1, TRIES // (len(ahead) * len(self._machines)))
        jobs = {job.key: job for job in ahead}
        beam: list[tuple[float, Plan]] = [(0.0, dict.fromkeys(self._machines, ()))]
        for job in ahead:
            tried = [
                self._with(job, name, total, plan, jobs)
                for total, plan in beam
                for name, machine in self._machines.items()
                if fits(machine.make, job.group.needs)
            ]
            tried.sort(key=lambda one: one[0])
            beam = tried[:width]
        return beam[0][1]

    def _with(
        self, job: Job, name: str, total: float, plan: Plan, jobs: Mapping[str, Job]
    ) -> tuple[float, Plan]:
        longer = (*plan[name], job.key)
        more = self._sum(name, longer, jobs) - self._sum(name, plan[name], jobs)
        return total + more, {**plan, name: longer}

    def _sum(self, name: str, keys: tuple[str, ...], jobs: Mapping[str, Job]) -> float:
        """Return the sum of the ends of what runs on a machine and of these, one after the other."""
        if (name, keys) not in self._sums:
            begun = [job for key, job in self._begun.items() if self._where[key] == name]
            ends = played(self._machines[name], begun, [jobs[key] for key in keys])
            self._sums[name, keys] = sum(ends)
        return self._sums[name, keys]


def played(machine: Machine, begun: Iterable[Job], waiting: Iterable[Job]) -> list[float]:
    """Return when each job ends if a machine takes these, in this order, as slots and memory allow."""
    ghost, ends = machine.copy(), []
    coming = [(machine.at_s + START_S, job) for job in begun if job.key not in ghost.tasks]
    line, end_s = list(waiting), machine.at_s + _LONGEST_S
    step_s = (
        _LONGEST_S
        if physics.never_slows(machine.make.kind.body, machine.make.ambient_c)
        else _STEP_S
    )
    while (line or coming or ghost.tasks) and ghost.at_s < end_s:
        while line and _room(ghost, [job for _, job in coming], line[0]):
            coming.append((ghost.at_s + START_S, line.pop(0)))
        until_s = min((at_s for at_s, _ in coming), default=end_s)
        ends += [at_s for _, at_s in ghost.step(until_s, step_s)]
        for at_s, job in [one for one in coming if one[0] <= ghost.at_s]:
            coming.remove((at_s, job))
            ghost.tasks[job.key] = _task(ghost, job)
    return ends


def _room(ghost: Machine, coming: list[Job], job: Job) -> bool:
    used = sum(one.group.needs.memory_bytes for one in coming)
    free = ghost.memory_free - used
    return len(ghost.tasks) + len(coming) < SLOTS and free >= job.group.needs.with_margin


def _task(ghost: Machine, job: Job) -> Task:
    needs = job.group.needs
    pace = ghost.make.pace(needs.accelerator)
    return Task(job.key, job.work, pace, job.group.intensity, needs.memory_bytes)
