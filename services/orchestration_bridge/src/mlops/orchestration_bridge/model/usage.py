# SPDX-License-Identifier: Apache-2.0
"""Usage: what a project has taken of the machines, forgotten by half every day, and its dominant share of them.

Taking a rate r from a to b counts at t as r x the integral over s in [a, b] of 2^-((t - s) / half-life) ds, in closed
form. It is a sum, so the order in which uses are added does not matter, and nothing has to be kept of what is over
but one vector. The share is that of dominant-resource fairness (Ghodsi et al., NSDI 2011): of all resources whose
capacity is known, the one the project takes most of. All times are seconds since any one epoch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

HALF_LIFE_S = 24 * 3600.0
# What taking all of a capacity for ever would come to, in seconds: the integral of 2^-(s / half-life).
FOR_EVER_S = HALF_LIFE_S / math.log(2)


@dataclass(frozen=True)
class Amount:
    """One number per resource: a rate (cores, GiB, GPUs, watts, runs), or a rate over time (all of it x seconds)."""

    runs: float = 0.0
    cpu: float = 0.0
    memory: float = 0.0
    gpu: float = 0.0
    energy: float = 0.0

    def plus(self, other: Amount, times: float = 1.0) -> Amount:
        """Return this and *times* the other."""
        return Amount(
            self.runs + other.runs * times,
            self.cpu + other.cpu * times,
            self.memory + other.memory * times,
            self.gpu + other.gpu * times,
            self.energy + other.energy * times,
        )


NOTHING = Amount()


@dataclass(frozen=True)
class Capacity:
    """What there is in all of each resource; None where nobody knows, and the resource does not count."""

    runs: float | None = None
    cpu: float | None = None
    memory: float | None = None
    gpu: float | None = None
    energy: float | None = None


@dataclass(frozen=True)
class Usage:
    """What was used, as it counts at `at_s`."""

    amount: Amount = NOTHING
    at_s: float = 0.0

    def at(self, at_s: float) -> Usage:
        """Return the same use as it counts at another time."""
        if at_s == self.at_s:
            return self
        return Usage(NOTHING.plus(self.amount, kept(at_s - self.at_s)), at_s)

    def took(self, rate: Amount, from_s: float, until_s: float) -> Usage:
        """Return the use with *rate* taken over a span besides; a span that ends before it begins is none."""
        if until_s <= from_s:
            return self
        at_s = max(self.at_s, until_s)
        return Usage(self.at(at_s).amount.plus(rate, counted_s(from_s, until_s, at_s)), at_s)


def kept(after_s: float) -> float:
    """Return which part of a use still counts after so long: a half after each half-life."""
    return float(2.0 ** (-after_s / HALF_LIFE_S))


def counted_s(from_s: float, until_s: float, at_s: float) -> float:
    """Return for how many seconds a span counts at *at_s*, which is not before its end."""
    length = kept(at_s - until_s) * -math.expm1(-(until_s - from_s) / FOR_EVER_S)
    return FOR_EVER_S * length


def dominant(amount: Amount, capacity: Capacity) -> float:
    """Return the largest part of a capacity that an amount over time is: 1 is all of it since ever."""
    parts = (
        amount.runs / capacity.runs if capacity.runs else 0.0,
        amount.cpu / capacity.cpu if capacity.cpu else 0.0,
        amount.memory / capacity.memory if capacity.memory else 0.0,
        amount.gpu / capacity.gpu if capacity.gpu else 0.0,
        amount.energy / capacity.energy if capacity.energy else 0.0,
    )
    return max(parts) / FOR_EVER_S
