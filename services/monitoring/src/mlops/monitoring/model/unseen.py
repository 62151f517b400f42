# SPDX-License-Identifier: Apache-2.0
"""What may the clock explain that the reference has not seen? A swing of the day, or a weekend, up to a stated size.

A reference of a few hours knows nothing of the rest of the day. Held against it, a window of other hours differs
without any drift; nobody can tell that apart from a shift of the same size. So a swing of the day of up to one
standard deviation either way is allowed for, by as much as the hours differ: nothing for the same hours, nothing for
windows that follow within minutes, the most for the other end of the day. What no such swing explains still counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from mlops.monitoring.model.bins import Floats
from mlops.monitoring.model.phases import DAY_S, MIN_CYCLES, Phases, is_weekend

_WEEK_S = 7 * DAY_S
_HOUR_S = 3600.0
CLOCK = 5
_HOURS_OF_A_DAY = 18  # seen so many, what is in between is no surprise
_ONE_KIND = 0.02  # share of the rarer kind of days
_SWING = 1.0  # in standard deviations, either way
_WEEKEND = 2.5  # between a working day and a weekend
# A column that is constant, or in another unit, differs by more than any clock explains.
MOST_VARIATION = 0.8
_WORTH_SAYING = 0.05


@dataclass(frozen=True)
class Allowance:
    """What the clock may explain of a window: of a total `variation`, a `shift` in sd, a change of `correlation`."""

    variation: float = 0.0
    shift: float = 0.0
    correlation: float = 0.0
    told: str | None = None


@dataclass(frozen=True)
class Unseen:
    """What a reference has not seen: all hours of a `day`, both kinds of days of a `week`.

    `hourly`: it is compared by hours, so only the days matter.
    `clock` is the mean over its rows of `clock_of`.
    """

    day: bool
    week: bool
    hourly: bool
    clock: Floats

    def allowance(self, clock: Floats) -> Allowance:
        """Return what may be the clock in a window whose rows have this mean *clock*."""
        apart, weekend = self._apart(clock - self.clock), 0.0
        if self.week:
            weekend = abs(float(clock[-1] - self.clock[-1]))
        shift = _SWING * apart + _WEEKEND * weekend
        variation = _overlap(_SWING * apart) + weekend * _overlap(_WEEKEND)
        told = self._told(shift, days=weekend > apart) if variation >= _WORTH_SAYING else None
        # Columns that swing together go together while the swing lasts.
        swung = max(1.0 - math.hypot(*_face(c)) ** 2 for c in (clock, self.clock)) * self.day
        swung = _SWING**2 * swung + _WEEKEND**2 * weekend * (1.25 - weekend)
        return Allowance(min(variation, MOST_VARIATION), shift, swung / (1.0 + swung), told)

    def _apart(self, change: Floats) -> float:
        if (
            self.week and not self.hourly
        ):  # of working days and of weekends, each may swing as it likes
            return math.hypot(*change[:2]) + math.hypot(*change[2:4])
        return math.hypot(*_face(change)) if self.day else 0.0

    def _told(self, shift: float, *, days: bool) -> str:
        return (
            f"The reference has not seen these {'days' if days else 'hours'}, so a shift of up to {shift:.2g} "
            'standard deviations may be the clock and is not told. [monitor.drift] cycle = "24h" (or "7d") takes a '
            'longer reference, "none" allows for nothing.'
        )


def clock_of(times: Floats) -> Floats:
    """Return where each time (seconds since 1970) is on the face of a clock of 24 hours.

    Two places for working days, two for weekends (0 on the other days), and whether it is a weekend.
    """
    angle = 2 * np.pi * np.mod(times, DAY_S) / DAY_S
    weekend = is_weekend(times).astype(np.float64)
    face = np.stack([np.cos(angle), np.sin(angle)])
    return np.concatenate([face * (1.0 - weekend), face * weekend, weekend[None, :]])


def unseen_of(times: Floats, cycle: str, phases: Phases | None, *, wavers: bool) -> Unseen | None:
    """Return what the rows of a reference leave open; None when nothing, or when a person said what the rhythm is.

    Rows that show no rhythm over two days, and do not waver otherwise, have no weekends either.
    """
    if cycle != "auto" or not len(times):
        return None
    span = float(np.ptp(times))
    if phases is None and not wavers and span >= MIN_CYCLES * DAY_S:
        return None
    clock: Floats = clock_of(times).mean(1)
    hours = len(np.unique(np.floor(np.mod(times, DAY_S) / _HOUR_S)))
    day = phases is None and hours < _HOURS_OF_A_DAY
    weekly = phases is not None and phases.weekly
    kinds = min(clock[-1], 1.0 - clock[-1])
    whole = kinds * span >= DAY_S and not wavers
    known = whole or (kinds >= _ONE_KIND and span >= _WEEK_S)
    week = not weekly and not known
    return Unseen(day, bool(week), phases is not None, clock) if day or week else None


def _face(clock: Floats) -> Floats:
    both: Floats = clock[:2] + clock[2:4]
    return both


def _overlap(shift: float) -> float:
    # The total variation between two normal variables that are so many standard deviations apart; whatever grows
    # with a normal variable has the same.
    return math.erf(shift / (2.0 * math.sqrt(2.0)))
