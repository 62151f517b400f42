# SPDX-License-Identifier: Apache-2.0
"""What is kept of a model: its windows of consecutive predictions of one version, its promises and alarms.

A window belongs to one version: at a deployment the open windows of the other versions end unjudged.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from itertools import islice
from typing import TypeVar

from mlops.monitoring.model.alarm import Alarm
from mlops.monitoring.model.bins import Value
from mlops.monitoring.model.candidates import Candidate
from mlops.monitoring.model.measured import Measured
from mlops.monitoring.model.performance import SHOWING_WINDOWS
from mlops.monitoring.model.vectors import Answer, Numbers, as_columns

LABELLED_ENOUGH = 0.8
LABELLED_LEAST = 50
AGED_LEAST = 200  # fewer rows cannot be judged, however old they are
VERSIONS_KEPT = 20
_LATER_WINDOWS = 2
_REFERENCE_WINDOWS = 2
_REFERENCE_ROWS = 1000
MOST_REFERENCE_ROWS = 20_000
ROWS_AT_ONCE = 10_000
SPREAD, _MASK = 40_503, 0xFFFF
_ROWS_BETWEEN = 1000
_ON_REFERENCE = "reference_"

T = TypeVar("T")


@dataclass(frozen=True)
class ModelKey:
    """Names a model of a project."""

    project: str
    model: str


@dataclass(frozen=True)
class Row:
    """One prediction, with its truth once that is known; `vectors`, `answer` and `truth` are what is several numbers of it."""

    request_id: str
    at: datetime
    features: Mapping[str, Value]
    prediction: Value
    label: Value = None
    labelled: bool = False
    vectors: Mapping[str, Numbers] = field(default_factory=dict)
    answer: Answer | None = None
    truth: Numbers | None = None


@dataclass(frozen=True)
class Truth:
    """What turned out to be true for one prediction, and when that was known; *numbers* where it is several."""

    request_id: str
    label: Value
    at: datetime
    numbers: Numbers | None = None


class Phase(StrEnum):
    """Where a window is: filling, waiting for labels, done, or given up."""

    OPEN = "open"
    FULL = "full"
    MEASURED = "measured"
    EXPIRED = "expired"


@dataclass(frozen=True)
class Summary:
    """What was found about the inputs of a window; `unjudged` holds the reason when they were not judged.

    `allowed` says what was not told because hours may explain it that the reference has not seen, `unexpected` names
    the first columns that it does not have.
    """

    unjudged: str | None = None
    share: float = 0.0
    columns: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    allowed: str | None = None
    unexpected: tuple[str, ...] = ()


@dataclass(frozen=True)
class Window:
    """Consecutive predictions of one version; `index` is given when it is full, `stored` ends with its rows.

    `missed`: its value is worse than promised; `degraded`: and that was not only bad luck. `open_at_s`, `full_at_s`: how
    long its model had been listened to when its first row came, and when it was full.
    """

    number: int
    version: int
    size: int
    rows: int = 0
    labelled: int = 0
    first_at: datetime | None = None
    last_at: datetime | None = None
    phase: Phase = Phase.OPEN
    index: int | None = None
    value: float | None = None
    missed: bool = False
    degraded: bool = False
    inputs: Summary | None = None
    stored: bool = True
    full_at_s: float | None = None
    open_at_s: float | None = None

    @property
    def room(self) -> int:
        """Return how many rows still fit."""
        return max(0, self.size - self.rows)

    def grown(self, rows: Sequence[Row], labelled: int) -> Window:
        """Return the window with *rows* added, *labelled* of which have their truth already."""
        times = [row.at for row in rows]
        return replace(
            self,
            rows=self.rows + len(rows),
            labelled=self.labelled + labelled,
            first_at=min([*times, *([self.first_at] if self.first_at else [])]),
            last_at=max([*times, *([self.last_at] if self.last_at else [])]),
        )

    def counts_ahead(self, newest: int) -> bool:
        """Return whether a part of it is to be counted with its *newest* rows: with each thousandth of a large window.

        Not with every message: a new reference finds many parts to count, and others wait for each.
        """
        return self.rows >= ROWS_AT_ONCE and self.rows % _ROWS_BETWEEN < newest

    def aged(self, listened_s: float, max_age_s: float | None) -> bool:
        """Return whether it has been open for too long and has enough rows to be judged as it is."""
        if self.phase is not Phase.OPEN or max_age_s is None or self.open_at_s is None:
            return False
        enough = self.rows >= min(self.size, AGED_LEAST)
        return enough and listened_s - self.open_at_s >= max_age_s

    def filled(self, index: int, full_at_s: float | None) -> Window:
        """Return the window as full, with the rows it has."""
        return replace(
            self, phase=Phase.FULL, index=index, full_at_s=full_at_s, size=min(self.size, self.rows)
        )

    def due(
        self, windows_full: int, listened_s: float = 0.0, horizon_s: float | None = None
    ) -> bool:
        """Return whether it is time to measure: all labels are there, or no more are to be expected.

        That is when the horizon is over, or without one when enough are there and some windows more are full.
        *windows_full* is how many windows of the model have been filled so far, *listened_s* for how long.
        """
        if self.phase is not Phase.FULL or self.index is None:
            return False
        if self.labelled >= self.rows:
            return True
        if horizon_s is not None and self.full_at_s is not None:
            return listened_s - self.full_at_s >= horizon_s
        later = windows_full - 1 - self.index
        return self.labelled >= LABELLED_ENOUGH * self.rows and later >= _LATER_WINDOWS

    def labels_needed(self, *, by_horizon: bool) -> int:
        """Return how many labels measure it: 80 % of its rows, and where a horizon ends the wait at least 50."""
        if by_horizon:
            return min(LABELLED_LEAST, self.rows)
        return math.ceil(LABELLED_ENOUGH * self.rows)


@dataclass(frozen=True)
class Shown:
    """How well a version did in its first measured windows, by this metric."""

    metric: str
    windows: tuple[Measured, ...] = ()

    def grown(self, metric: str, found: Measured) -> Shown:
        """Return it with one window more, while it is one of the first; another metric starts anew."""
        before = self.windows if metric == self.metric else ()
        return Shown(metric, (*before, found)[:SHOWING_WINDOWS])


@dataclass(frozen=True)
class Watched:
    """Everything remembered of a model but its rows.

    `version` is what is deployed (None until that is told); `expected` is what each version promised and `shown`
    how it did at first, both of the newest `VERSIONS_KEPT`; `reference_from` is the first window index of the
    reference that is being collected; `candidate` is the version that is being rolled out beside it;
    `gone` says that the version was taken away and nothing answers; `listened_s` is for how long it has been listened to, give or take a minute.
    """

    key: ModelKey
    version: int | None = None
    deployed_at: datetime | None = None
    expected: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    shown: Mapping[int, Shown] = field(default_factory=dict)
    windows_made: int = 0
    windows_full: int = 0
    measured_up_to: int = -1
    degraded: bool = False
    alarms: Mapping[str, Alarm] = field(default_factory=dict)
    reference_from: int = 0
    candidate: Candidate | None = None
    listened_s: float = 0.0
    gone: bool = False

    def judges(self, version: int) -> bool:
        """Return whether windows of *version* speak for the model: it is deployed, or nothing is known."""
        return not self.gone and (self.version is None or self.version == version)

    def answered(self, version: int, at: datetime) -> bool:
        """Return whether *version* is what answered until *at*, as far as is known."""
        return self.version == version and (self.deployed_at is None or at >= self.deployed_at)

    def has_shown(self, version: int, metric: str) -> tuple[Measured, ...]:
        """Return how the version did in its first measured windows, by this metric."""
        known = self.shown.get(version)
        return known.windows if known is not None and known.metric == metric else ()

    def showing(self, version: int, metric: str, found: Measured) -> Watched:
        """Return the model with another window measured."""
        known = self.shown.get(version, Shown(metric)).grown(metric, found)
        return replace(self, shown=_newest(self.shown, version, known))

    def referring(self, version: int, metric: str, shown: Measured | None) -> Watched:
        """Return the model with how *version* did on the reference that was chosen, None when that is not known."""
        known = _without_reference(self.expected.get(version, {}))
        if shown is not None:
            known[on_reference(metric)] = shown.value
        if known == self.expected.get(version, {}):
            return self
        return replace(self, expected={**self.expected, version: known})

    def deployed(self, version: int, at: datetime, metrics: Mapping[str, float]) -> Watched:
        """Return the model with *version* answering since *at*; news older than what is known change nothing."""
        if self.deployed_at is not None and at < self.deployed_at:
            return self
        return replace(
            self,
            version=version,
            deployed_at=at,
            gone=False,
            expected=_newest(self.expected, version, {**self._on_reference(version), **metrics}),
            alarms=self.alarms if version == self.version else {},
        )

    def rolling_out(self, candidate: Candidate) -> Watched:
        """Return the model with a *candidate* beside what answers; news older than what is known change nothing."""
        known = self.candidate
        is_old = self.deployed_at is not None and candidate.since < self.deployed_at
        if is_old or (known is not None and candidate.since <= known.since):
            return self
        return replace(self, candidate=candidate)

    def rolled_out(self, version: int, at: datetime) -> Watched:
        """Return the model after the rollout of *version* ended, however it did."""
        known = self.candidate
        if known is None or known.version != version or at < known.since:
            return self
        return replace(self, candidate=None)

    def _on_reference(self, version: int) -> dict[str, float]:
        known = self.expected.get(version, {})
        return {name: value for name, value in known.items() if name.startswith(_ON_REFERENCE)}


def on_reference(metric: str) -> str:
    """Return the name under which it is kept how a version did on its reference."""
    return f"{_ON_REFERENCE}{metric}"


def reference_windows(window_rows: int) -> int:
    """Return how many full windows make a reference: two, or as many as hold 1000 rows."""
    return max(_REFERENCE_WINDOWS, math.ceil(_REFERENCE_ROWS / window_rows))


def longest_reference(window_rows: int) -> int:
    """Return how many windows are waited for at most, while a reference is to span the cycle that was told."""
    return max(reference_windows(window_rows), math.ceil(MOST_REFERENCE_ROWS / window_rows))


def columns_of(rows: Sequence[Row], wanted: Collection[str] = ()) -> dict[str, list[Value]]:
    """Return the features of *rows* by column, of their vectors as `as_columns` says; a row without one has None there."""
    names = dict.fromkeys(name for row in rows for name in row.features)
    found: dict[str, list[Value]] = {
        name: [row.features.get(name) for row in rows] for name in names
    }
    if any(row.vectors for row in rows):
        found |= as_columns([row.vectors for row in rows], wanted)
    return found


def in_parts(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Yield lists of rows, few enough to be held in memory however large the window is."""
    left = iter(rows)
    while part := list(islice(left, ROWS_AT_ONCE)):
        yield part


def evenly(items: Iterable[T], most: int) -> list[T]:
    """Return evenly spaced items: all of them below twice *most*, else at least *most*."""
    kept: list[T] = []
    step = 1
    for place, item in enumerate(items):
        if place % step == 0:
            kept.append(item)
            if len(kept) == 2 * most:
                kept, step = kept[::2], 2 * step
    return kept


def every(items: int, most: int) -> int:
    """Return which of so many items are evenly spaced: each first, each second, each fourth …, as `evenly` takes them."""
    step = 1
    while -(-items // step) >= 2 * most:
        step *= 2
    return step


def is_spread(place: int, step: int) -> bool:
    """Return whether the item at a *place* is one of each *step* in the long run, as no rhythm of the items can tell.

    Multiples of an odd number near the golden section of 2^16 (Knuth, The Art of Computer Programming, vol. 3, 6.4).
    """
    return (place * SPREAD & _MASK) * step <= _MASK


def _without_reference(known: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in known.items() if not name.startswith(_ON_REFERENCE)}


def _newest(known: Mapping[int, T], version: int, told: T) -> dict[int, T]:
    """Return what is known with *version* last; who was not heard of for longest is forgotten."""
    others = [(number, it) for number, it in known.items() if number != version]
    return dict([*others[1 - VERSIONS_KEPT :], (version, told)])
