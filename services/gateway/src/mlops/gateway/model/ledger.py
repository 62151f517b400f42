# SPDX-License-Identifier: Apache-2.0
"""Ledger: joules by project and day, by workflow, run and served version, each counted once however often it is told.

A workflow counts with its own figure, and until that is told (or where there is none) with those of its runs; a run
within a workflow therefore counts only there. Joules of a span over midnight are parted by its length on each day (UTC).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

MOST_UNITS = 2000
MOST_DAYS = 5000
_LONGEST_DAYS = 400
_WH = 3600.0
_MOST_J = 1000.0

Day = tuple[str, str]
Version = tuple[str, str, int]
K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True)
class Amount:
    """Joules, and how many of them counters of a machine have counted."""

    joules: float = 0.0
    measured_j: float = 0.0

    def plus(self, other: Amount, times: float = 1.0) -> Amount:
        """Return this and *times* the other; never less than nothing."""
        joules = self.joules + other.joules * times
        measured_j = self.measured_j + other.measured_j * times
        return Amount(max(0.0, joules), max(0.0, measured_j))


@dataclass(frozen=True)
class Unit:
    """A run or a workflow. `told` is its own figure, `inner` are those of the runs in a workflow; `workflow` is a run's."""

    kind: str
    name: str
    project: str
    title: str = ""
    model: str = ""
    state: str = ""
    since: str = ""
    until: str = ""
    told: Amount | None = None
    inner: Mapping[str, Amount] = field(default_factory=dict)
    workflow: str = ""
    how: str = ""

    @property
    def counts(self) -> Amount | None:
        """Return what it has taken, None where nobody knows."""
        if self.told is not None:
            return self.told
        return _sum(self.inner.values()) if self.inner else None


@dataclass(frozen=True)
class Served:
    """What a version of a model has answered and taken; `metered_j` is of the windows with predictions and energy.

    `amount` is None where nobody has told any.
    """

    amount: Amount | None = None
    predictions: int = 0
    metered_predictions: int = 0
    metered_j: float = 0.0
    until: str = ""


@dataclass(frozen=True)
class Total:
    """What a project took on one day; `serving_j` is the part of models that answer.

    `told` and `served` are how many figures it is the sum of: with none nobody knows, which is not nothing.
    """

    amount: Amount = Amount()
    serving_j: float = 0.0
    predictions: int = 0
    told: int = 0
    served: int = 0


@dataclass
class Ledger:
    """What the facts of the bus come to; each collection keeps its newest entries."""

    units: OrderedDict[tuple[str, str], Unit] = field(default_factory=OrderedDict)
    served: OrderedDict[Version, Served] = field(default_factory=OrderedDict)
    days: OrderedDict[Day, Total] = field(default_factory=OrderedDict)

    def put(self, unit: Unit) -> None:
        """Enter a run or a workflow; what was entered under its name before is replaced, not added to."""
        before = self.units.get((unit.kind, unit.name))
        self._count(before, -1)
        _keep(self.units, (unit.kind, unit.name), unit, MOST_UNITS)
        self._count(unit, 1)
        if unit.workflow and unit.told is not None:
            self._within(unit)

    def serve(self, version: Version, one: Served, since: str) -> None:
        """Add what a version answered and took in a window."""
        known = self.served.get(version, Served())
        later = Served(
            _both(known.amount, one.amount),
            known.predictions + one.predictions,
            known.metered_predictions + one.metered_predictions,
            known.metered_j + one.metered_j,
            max(known.until, one.until),
        )
        _keep(self.served, version, later, MOST_UNITS)
        last = _day(one.until)
        for day, part in spread(since, one.until):
            count = one.predictions if day == last else 0
            if one.amount is None:
                self._add((version[0], day), Total(predictions=count))
                continue
            amount = Amount().plus(one.amount, part)
            self._add((version[0], day), Total(amount, amount.joules, count, 1, 1))

    def _within(self, run: Unit) -> None:
        empty = Unit("workflow", run.workflow, run.project, since=run.since, until=run.until)
        known = self.units.get(("workflow", run.workflow), empty)
        inner = {**known.inner, run.name: run.told or Amount()}
        self.put(replace(known, inner=inner))

    def _count(self, unit: Unit | None, times: int) -> None:
        if unit is None or unit.workflow or unit.counts is None:
            return
        for day, part in spread(unit.since, unit.until):
            self._add((unit.project, day), Total(Amount().plus(unit.counts, part), told=1), times)

    def _add(self, day: Day, more: Total, times: int = 1) -> None:
        known = self.days.get(day, Total())
        self.days[day] = Total(
            known.amount.plus(more.amount, times),
            known.serving_j + more.serving_j * times,
            known.predictions + more.predictions,
            known.told + more.told * times,
            known.served + more.served * times,
        )
        while len(self.days) > MOST_DAYS:
            del self.days[min(self.days, key=lambda key: key[1])]


def in_words(joules: float) -> str:
    """Return an energy as people read it."""
    return f"{joules / _WH:.3g} Wh" if joules >= _MOST_J else f"{joules:.3g} J"


def spread(since: str, until: str) -> Iterator[tuple[str, float]]:
    """Yield the days of a span and the part of it on each; a span without length lies on its last day."""
    end = _moment(until) or _moment(since)
    if end is None:
        return
    begin = max(_moment(since) or end, end - timedelta(days=_LONGEST_DAYS))
    whole_s = (end - begin).total_seconds()
    if whole_s <= 0:
        yield end.date().isoformat(), 1.0
        return
    at = begin
    while at < end:
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        later = min(midnight, end)
        yield at.date().isoformat(), (later - at).total_seconds() / whole_s
        at = later


def _day(text: str) -> str:
    at = _moment(text)
    return at.date().isoformat() if at else ""


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo else None
    except (ValueError, OverflowError):
        return None


def _both(one: Amount | None, other: Amount | None) -> Amount | None:
    if one is None or other is None:
        return one or other
    return one.plus(other)


def _sum(amounts: Iterable[Amount]) -> Amount:
    found = Amount()
    for one in amounts:
        found = found.plus(one)
    return found


def _keep(into: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    into[key] = value
    into.move_to_end(key)
    while len(into) > most:
        into.popitem(last=False)
