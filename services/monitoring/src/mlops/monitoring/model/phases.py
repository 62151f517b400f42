# SPDX-License-Identifier: Apache-2.0
"""What rhythm do the rows have, and which part of it does a row belong to?

A window that is shorter than the day differs from a whole day without any drift. Compared with the rows of the
reference from the same hours it does not, and a real shift shows again. So the reference is kept by phase: hour of
the day, or of the week.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from mlops.monitoring.model.bins import Codes, Floats

MIN_CYCLES = 2.0
MIN_ROWS_OF_PHASE = 20
_ROWS_OF_PHASE = 60  # on average, else the phases are made longer
DAY_S = 86_400.0
_PER_DAY = (24, 12, 8, 6, 4)
_FOUND_IN = ("24h", "7d")
_UNITS_S = {"h": 3600.0, "d": DAY_S}
# A rhythm explains this share of a column at least; less is not worth the rows that phases cost.
_EXPLAINED = 0.02
_SURE = 3.0
_DAYS_BEFORE_MONDAY = 3  # the first of January 1970 was a Thursday
_WORKING_DAYS = 5
_KNOWN_OF_A_DAY = 0.75  # the rest of it could not be judged


@dataclass(frozen=True)
class Phases:
    """A cycle in equal parts; `rows` says how many rows of the reference are in each, `cycles` how often it ran.

    `kinds`: a day of its own for weekends, whose parts follow those of working days.
    """

    period_s: float
    rows: Floats
    cycles: float
    kinds: bool = False

    @property
    def weekly(self) -> bool:
        """Return whether it tells weekends from working days."""
        return self.kinds or self.period_s > DAY_S

    @property
    def known(self) -> Codes:
        """Return 1 for the parts that the reference has seen often enough, else 0."""
        return (self.rows >= MIN_ROWS_OF_PHASE).astype(np.int64)

    def of(self, times: Floats) -> Codes:
        """Return the part of the cycle that each time belongs to."""
        if not self.kinds:
            return _parts(times, self.period_s, len(self.rows))
        a_day = len(self.rows) // 2
        return _parts(times, self.period_s, a_day) + a_day * is_weekend(times)


def seconds(times: Sequence[datetime]) -> Floats:
    """Return the times as seconds since 1970."""
    return np.array([time.timestamp() for time in times], dtype=np.float64)


def is_weekend(times: Floats) -> Codes:
    """Return 1 for each time (seconds since 1970) that is on a Saturday or a Sunday, else 0."""
    weekday = np.mod(np.floor(times / DAY_S) + _DAYS_BEFORE_MONDAY, 7)
    found: Codes = (weekday >= _WORKING_DAYS).astype(np.int64)
    return found


def period_of(cycle: str) -> float:
    """Return the length in seconds of a cycle as settings name it, 24h or 7d."""
    return float(cycle[:-1]) * _UNITS_S[cycle[-1]]


def is_told(cycle: str) -> bool:
    """Return whether a setting names a cycle, which the reference then has to span."""
    return cycle not in ("auto", "none")


def lacking(first: datetime, last: datetime, cycle: str) -> str | None:
    """Return what rows of this time lack to be the reference of a cycle that was told, None when nothing."""
    if not is_told(cycle):
        return None
    cycles = (last - first).total_seconds() / period_of(cycle)
    return (
        None if cycles >= MIN_CYCLES else f"spans {cycles:.2g} of {MIN_CYCLES:g} cycles of {cycle}"
    )


def phases_of(times: Floats, cycle: str, series: Sequence[Floats]) -> Phases | None:
    """Return the rhythm of the rows of a reference: the one that was told, or one that its *series* show.

    None when there is none, or too few rows to see it.
    """
    if cycle == "none" or not len(times):
        return None
    if is_told(cycle):
        return _cut(times, period_of(cycle))
    found, gained = None, np.zeros(len(series))
    for phases in _cuts(times):
        explained = np.array([_explained(phases, times, one) for one in series])
        if (explained - gained).max(initial=0.0) >= _EXPLAINED:
            found, gained = phases, np.maximum(explained, gained)
    return found


def _cuts(times: Floats) -> Iterator[Phases]:
    # Two weeks tell the days of a week apart; less than that may tell a weekend from working days.
    day, week = (_cut(times, period_of(name)) for name in _FOUND_IN)
    short = week is None or week.cycles < MIN_CYCLES
    for phases in (day, _by_kinds(times) if short else week):
        if phases is not None and phases.cycles >= MIN_CYCLES:
            yield phases


def _by_kinds(times: Floats) -> Phases | None:
    weekend, days = is_weekend(times), np.floor(times / DAY_S)
    seen = min(len(np.unique(days[weekend == kind])) for kind in (0, 1))
    fitting = [count for count in _PER_DAY if len(times) >= 2 * _ROWS_OF_PHASE * count]
    if not fitting:
        return None
    phases = Phases(DAY_S, np.zeros(2 * fitting[0]), float(seen), kinds=True)
    rows = np.bincount(phases.of(times), minlength=2 * fitting[0])
    phases = replace(phases, rows=rows.astype(np.float64))
    known = phases.known.reshape(2, fitting[0]).mean(1)
    return phases if known.min() >= _KNOWN_OF_A_DAY else None


def _cut(times: Floats, period_s: float) -> Phases | None:
    days = max(1, round(period_s / DAY_S))
    parts = [days * per_day for per_day in _PER_DAY] + ([days] if days > 1 else [])
    fitting = [count for count in parts if len(times) >= _ROWS_OF_PHASE * count]
    if not fitting:
        return None
    rows = np.bincount(_parts(times, period_s, fitting[0]), minlength=fitting[0])
    return Phases(period_s, rows.astype(np.float64), float(np.ptp(times)) / period_s)


def _parts(times: Floats, period_s: float, count: int) -> Codes:
    return np.floor(np.mod(times, period_s) / period_s * count).astype(np.int64) % count


def _explained(phases: Phases, times: Floats, series: Floats) -> float:
    # Means of the phases in every other cycle against those in the cycles between: chance does not repeat itself.
    count = len(phases.rows)
    halves = np.floor((times - times.min()) / phases.period_s).astype(np.int64) % 2
    at = phases.of(times) + count * halves
    rows = np.bincount(at, minlength=2 * count).reshape(2, count)
    sums = np.bincount(at, weights=series, minlength=2 * count).reshape(2, count)
    both = (rows > 0).all(0)
    variance = float(series.var())
    if both.sum() < _PER_DAY[-1] or variance <= 0.0:
        return 0.0
    even, odd = sums[:, both] / rows[:, both] - series.mean()
    products = even * odd / variance
    error = float(products.std()) / np.sqrt(len(products))
    mean = float(products.mean())
    return mean if mean >= _SURE * error else 0.0
