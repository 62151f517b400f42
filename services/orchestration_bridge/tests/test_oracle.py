# SPDX-License-Identifier: Apache-2.0
"""The oracle against every plan there is: on tiny cases nobody has a smaller sum of completion times."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import permutations, product

import pytest

from mlops.orchestration_bridge.model.placement import GIB, Needs
from mlops.orchestration_bridge.simulation import trace
from mlops.orchestration_bridge.simulation.baselines import BASELINES
from mlops.orchestration_bridge.simulation.engine import Engine, Log
from mlops.orchestration_bridge.simulation.fleets import KINDS, Make
from mlops.orchestration_bridge.simulation.hearing import VARIANTS
from mlops.orchestration_bridge.simulation.machine import Machine
from mlops.orchestration_bridge.simulation.oracle import Oracle
from mlops.orchestration_bridge.simulation.production import Production
from mlops.orchestration_bridge.simulation.scheduler import SLOTS, Decision, Scheduler, Told
from mlops.orchestration_bridge.simulation.trace import Group, Job

# One job fills half of such a machine's memory and more: one at a time, so that plans can be counted.
GROUP = Group("p", Needs(1.0, 8 * GIB, "any"), 1.0, 1.0, 1.0)
SMALL = {
    "air": replace(KINDS["air"], memory_gib=16),
    "pro": replace(KINDS["pro"], memory_gib=16),
    "studio": replace(KINDS["studio"], memory_gib=16),
}
# The oracle plans in steps of 20 s and learns of an end at the next beat: that is what it may be off by.
TOLERANCE = 1.01


def makes(*kinds: str) -> tuple[Make, ...]:
    return tuple(Make(f"{kind}-{n}", SMALL[kind], 28.0, True) for n, kind in enumerate(kinds))


def jobs(*works: float) -> tuple[Job, ...]:
    return tuple(Job(f"j{n}", GROUP, 0.0, work, 1e9) for n, work in enumerate(works))


@dataclass
class Planned:
    """Plays one plan: each machine takes its own row of jobs in order, one at a time."""

    rows: dict[str, list[str]]
    name: str = "planned"
    where: dict[str, str] = field(default_factory=dict)

    def arrived(self, job: Job, now: datetime) -> None: ...

    def told(self, said: Told, now: datetime) -> None: ...

    def left(self, key: str, now: datetime) -> None: ...

    def ended(self, key: str, now: datetime) -> None:  # noqa: ARG002 - the port's
        del self.where[key]

    def decide(self, now: datetime) -> Decision:  # noqa: ARG002 - the port's
        free = [name for name, row in self.rows.items() if row and name not in self.where.values()]
        starts = {self.rows[name].pop(0): name for name in free}
        self.where |= starts
        return Decision(starts)


def run(machines: Sequence[Make], work: Sequence[Job], scheduler: str | Planned) -> Log:
    engine = Engine([Machine(one) for one in machines], work, 1)
    return engine.run(_scheduler(scheduler, machines, engine))


def _scheduler(wanted: str | Planned, machines: Sequence[Make], engine: Engine) -> Scheduler:
    if isinstance(wanted, Planned):
        return wanted
    if wanted == "oracle":
        return Oracle(engine.machines)
    if wanted in VARIANTS:
        return Production(machines, [GROUP], VARIANTS[wanted](), wanted)
    return BASELINES[wanted](machines, 1)


def goal(log: Log) -> float:
    return sum(log.done_s.values())


def plans(machines: Sequence[Make], work: Sequence[Job]) -> Iterator[Planned]:
    """Yield every order of the jobs with every choice of machines."""
    for order in permutations(work):
        for names in product([one.name for one in machines], repeat=len(work)):
            rows: dict[str, list[str]] = {one.name: [] for one in machines}
            for job, name in zip(order, names, strict=True):
                rows[name].append(job.key)
            yield Planned(rows)


CASES = [
    (("air", "studio"), (300.0, 200.0, 100.0)),
    (("air", "air"), (400.0, 90.0, 60.0)),
    (("air", "pro"), (150.0, 150.0, 30.0)),
    (("air", "pro", "studio"), (500.0, 450.0)),
    (("studio", "air"), (900.0, 20.0, 15.0)),
    (("air",), (120.0, 60.0, 240.0)),
]


@pytest.mark.parametrize(("kinds", "works"), CASES)
def test_no_plan_is_better_than_the_oracles(
    kinds: tuple[str, ...], works: tuple[float, ...]
) -> None:
    machines, work = makes(*kinds), jobs(*works)

    best = min(goal(run(machines, work, plan)) for plan in plans(machines, work))

    assert goal(run(machines, work, "oracle")) <= best * TOLERANCE


@pytest.mark.parametrize("other", [*VARIANTS, *BASELINES])
@pytest.mark.parametrize(("kinds", "works"), CASES)
def test_nobody_else_is_better_in_its_own_goal(
    kinds: tuple[str, ...], works: tuple[float, ...], other: str
) -> None:
    machines, work = makes(*kinds), jobs(*works)

    found = goal(run(machines, work, "oracle"))

    assert found <= goal(run(machines, work, other)) * TOLERANCE


def test_it_lets_a_job_wait_for_a_much_faster_machine() -> None:
    machines, work = makes("air", "studio"), jobs(600.0, 5.0)

    log = run(machines, work, "oracle")

    assert {stay.key: stay.machine for stay in log.stays}["j0"] == "studio-1"


def test_it_never_overfills_a_machine() -> None:
    machines = makes("air", "studio")
    work = trace.jobs(machines, 1.0, trace.Lengths(60.0, 600.0, 1.1), 2)[:30]
    work = tuple(replace(job, group=GROUP) for job in work)

    log = run(machines, work, "oracle")

    for stay in log.stays:
        beside = [
            one
            for one in log.stays
            if one.machine == stay.machine and one.since_s <= stay.since_s < one.until_s
        ]
        assert len(beside) == 1 <= SLOTS
