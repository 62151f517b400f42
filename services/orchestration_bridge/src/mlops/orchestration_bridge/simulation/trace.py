# SPDX-License-Identifier: Apache-2.0
"""What is asked of the machines: projects with needs and weights, and jobs that come in bursts, of heavy-tailed lengths."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mlops.orchestration_bridge.model.placement import GIB, Needs
from mlops.orchestration_bridge.simulation.fleets import Make

ARRIVALS_S = 5400.0
MOST_JOBS = 400
_BURST = 3
_SLACK = (3.0, 8.0)
_LEAST_SLACK_S = 300.0


@dataclass(frozen=True)
class Group:
    """A project: what each of its jobs needs, its right to a share, which part of all work is its own.

    `intensity` is the part of a machine that one of its jobs keeps busy when it is alone.
    """

    project: str
    needs: Needs
    weight: float
    part: float
    intensity: float


@dataclass(frozen=True)
class Job:
    """One piece of work: seconds at pace 1, when it comes and when it should be done."""

    key: str
    group: Group
    at_s: float
    work: float
    due_s: float


@dataclass(frozen=True)
class Lengths:
    """A bounded Pareto distribution of lengths, in seconds at pace 1."""

    least: float
    most: float
    alpha: float

    def drawn(self, dice: random.Random) -> float:
        """Return a length: the inverse of its distribution at a uniform number."""
        ratio = (self.least / self.most) ** self.alpha
        return float(self.least / (1 - dice.random() * (1 - ratio)) ** (1 / self.alpha))

    @property
    def mean(self) -> float:
        """Return the mean length."""
        low, high, a = self.least, self.most, self.alpha
        scale = low**a / (1 - (low / high) ** a) * a / (a - 1)
        return float(scale * (low ** (1 - a) - high ** (1 - a)))


def _group(
    name: str, accelerator: str, gib: int, weight: float, part: float, intensity: float
) -> Group:
    return Group(name, Needs(2.0, gib * GIB, accelerator), weight, part, intensity)


JOBS: Mapping[str, Lengths] = {
    "heavy-tailed": Lengths(60.0, 3600.0, 1.1),
    "short": Lengths(5.0, 25.0, 1.1),
}
MIX: Sequence[Group] = (
    _group("notes", "mlx", 3, 1.0, 0.20, 1.0),
    _group("vision", "mlx", 5, 2.0, 0.20, 0.9),
    _group("speech", "mps", 6, 1.0, 0.10, 0.8),
    _group("reports", "any", 2, 1.0, 0.15, 0.7),
    _group("search", "any", 8, 3.0, 0.10, 1.0),
    _group("large", "mlx", 24, 1.0, 0.05, 1.0),
    _group("fraud", "none", 4, 2.0, 0.10, 0.6),
    _group("render", "cuda", 12, 1.0, 0.10, 1.0),
)


def mix(machines: Sequence[Make]) -> tuple[Group, ...]:
    """Return the projects that can run somewhere in a fleet."""
    return tuple(group for group in MIX if any(fits(make, group.needs) for make in machines))


def fits(make: Make, needs: Needs) -> bool:
    """Return whether an empty machine takes such work."""
    return make.pace(needs.accelerator) > 0 and make.memory_bytes >= needs.with_margin


def jobs(machines: Sequence[Make], load: float, lengths: Lengths, seed: int) -> tuple[Job, ...]:
    """Return what comes within an hour and a half, at most so many.

    *load* is the work that comes in a second as a part of what all machines do in a second unslowed. They come in
    bursts: a Poisson process of bursts, one to five jobs each.
    """
    dice = random.Random(f"jobs {load} {lengths} {seed}")  # noqa: S311 - a trace, not a secret
    groups = mix(machines)
    pace = sum(make.kind.fast for make in machines)
    apart_s = lengths.mean * _BURST / (load * pace)
    found: list[Job] = []
    for at_s in _bursts(apart_s, dice):
        group = dice.choices(groups, weights=[one.part for one in groups])[0]
        if len(found) >= MOST_JOBS:
            break
        for _ in range(dice.randint(1, 2 * _BURST - 1)):
            work = lengths.drawn(dice)
            due_s = at_s + max(_LEAST_SLACK_S, work * dice.uniform(*_SLACK))
            found.append(Job(f"j{len(found):04}", group, at_s, work, due_s))
    return tuple(found)


def _bursts(apart_s: float, dice: random.Random) -> Iterator[float]:
    at_s = dice.expovariate(1 / apart_s)
    while at_s < ARRIVALS_S:
        yield at_s
        at_s += dice.expovariate(1 / apart_s)
