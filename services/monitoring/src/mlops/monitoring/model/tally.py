# SPDX-License-Identifier: Apache-2.0
"""A window as counts against a frozen reference: the counts of its parts add up to those of the whole.

So batches can be counted as they come, by several monitors, and no row has to be kept for the decision.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from mlops.monitoring.model.bins import CategoryBins, Codes, Floats, Values
from mlops.monitoring.model.phases import seconds
from mlops.monitoring.model.readings import plain
from mlops.monitoring.model.reference import Column, Reference
from mlops.monitoring.model.unseen import CLOCK, clock_of


@dataclass(frozen=True)
class Tally:
    """What is known of the rows of a window.

    `rows` came; `phases` counts those among them that can be compared, by phase. `counts` is of every column of the
    reference by phase and bin, the answers last. `sums` and `products` are of the location scores of the features.
    `strangers` counts values of a wrong type, `absent` names columns that did not come, `strange` those that are new.
    `clock` sums up when the rows were, for a reference that has not seen all hours.
    """

    rows: int
    phases: Floats
    counts: tuple[Floats, ...]
    sums: Floats
    products: Floats
    strangers: tuple[int, ...]
    absent: frozenset[str]
    strange: frozenset[str]
    clock: Floats

    def plus(self, other: Tally) -> Tally:
        """Return the tally of the rows of both."""
        return Tally(
            rows=self.rows + other.rows,
            phases=self.phases + other.phases,
            counts=tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)),
            sums=self.sums + other.sums,
            products=self.products + other.products,
            strangers=tuple(a + b for a, b in zip(self.strangers, other.strangers, strict=True)),
            absent=_absent_in_both(self, other),
            strange=self.strange | other.strange,
            clock=self.clock + other.clock,
        )


@dataclass(frozen=True)
class Counted:
    """How far a window is counted: its rows up to the one whose request id is *last*, and the parts of their answers.

    `mark` tells the reference that it was counted against; `answers` is None where this has none for them.
    """

    rows: Tally
    answers: Tally | None = None
    last: str = ""
    mark: str = ""

    def plus(self, rows: Tally, answers: Tally | None, last: str) -> Counted:
        """Return it with the part after it added."""
        both = None
        if self.answers is not None and answers is not None:
            both = self.answers.plus(answers)
        return Counted(self.rows.plus(rows), both, last, self.mark)


def mark_of(reference: Reference) -> str:
    """Return what differs between references that count the same rows differently."""
    found = hashlib.blake2b(digest_size=16)
    for column in reference.columns:
        bins = column.bins
        known = bins.places if isinstance(bins, CategoryBins) else bins.edges.tolist()
        found.update(repr((column.name, known)).encode())
        found.update(column.locations.tobytes())
    phases = reference.phases
    if phases is not None:
        found.update(repr((phases.period_s, phases.kinds, phases.known.tolist())).encode())
    found.update(repr(reference.unseen is None).encode())
    return found.hexdigest()


def count(
    reference: Reference,
    features: Mapping[str, Values],
    predictions: Values,
    times: Sequence[datetime] = (),
) -> Tally:
    """Return the tally of rows; a column that did not come counts as missing.

    A reference with phases needs the *times* of the rows: without them no row can be compared.
    """
    rows = len(predictions)
    taken = _taken(reference, times, rows)
    compared = plain(features, reference.readings, times)
    values = [compared.get(column.name) for column in reference.features]
    read = [
        _read(column, given, rows)
        for column, given in zip(reference.columns, [*values, predictions], strict=False)
    ]
    codes = [codes if taken.rows is None else codes[taken.rows] for codes, _ in read]
    located = _located(reference.features, codes, taken)
    return Tally(
        rows=rows,
        phases=taken.by_phase,
        counts=tuple(
            _counted(c, one, taken) for c, one in zip(reference.columns, codes, strict=True)
        ),
        sums=located.sum(1),
        products=located @ located.T,
        strangers=tuple(strangers for _, strangers in read),
        absent=frozenset(column.name for column in reference.features) - compared.keys(),
        strange=frozenset(features.keys() - reference.names),
        clock=_clock(reference, times, taken),
    )


@dataclass(frozen=True)
class _Taken:
    """Which rows can be compared (None: all of them), their phases (None: there is one), and how many per phase."""

    rows: Codes | None
    parts: Codes | None
    by_phase: Floats


def _taken(reference: Reference, times: Sequence[datetime], rows: int) -> _Taken:
    phases = reference.phases
    if phases is None:
        return _Taken(None, None, np.array([float(rows)]))
    known = phases.known
    parts = phases.of(seconds(times)) if len(times) == rows else np.zeros(0, dtype=np.int64)
    taken = np.flatnonzero(known[parts])
    by_phase = np.bincount(parts[taken], minlength=len(known)).astype(np.float64)
    return _Taken(taken, parts[taken], by_phase)


def _clock(reference: Reference, times: Sequence[datetime], taken: _Taken) -> Floats:
    if reference.unseen is None or not len(times):
        return np.zeros(CLOCK)
    found = clock_of(seconds(times))
    return np.asarray(found.sum(1) if taken.rows is None else found[:, taken.rows].sum(1))


def _read(column: Column, given: Values | None, rows: int) -> tuple[Codes, int]:
    if given is None:
        return np.full(rows, column.bins.size, dtype=np.int64), 0
    return column.bins.read(given)


def _counted(column: Column, codes: Codes, taken: _Taken) -> Floats:
    phases, width = column.counts.shape
    at = codes if taken.parts is None else taken.parts * width + codes
    return np.bincount(at, minlength=phases * width).reshape(phases, width).astype(np.float64)


def _located(columns: Sequence[Column], codes: Sequence[Codes], taken: _Taken) -> Floats:
    found = np.zeros((len(columns), int(taken.by_phase.sum())))
    for line, column, own in zip(found, columns, codes, strict=False):
        line[:] = column.locations[0 if taken.parts is None else taken.parts, own]
    return found


def _absent_in_both(one: Tally, other: Tally) -> frozenset[str]:
    if not one.rows or not other.rows:
        return one.absent if one.rows else other.absent
    return one.absent & other.absent
