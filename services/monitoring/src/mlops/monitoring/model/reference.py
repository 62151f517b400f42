# SPDX-License-Identifier: Apache-2.0
"""The frozen reference: bin shares, scores and design effect of every column, cut once per model version.

The rows must be in time order. From contiguous blocks of them comes the design effect d: by how much the mean of a
window varies more than that of independent rows. Without it, every test alarms on seasonal or autocorrelated data.
With the times of the rows, counts are kept by phase of the rhythm that they show; d is then of what remains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from mlops.monitoring.model.bins import Bins, CategoryBins, Codes, Floats, Values, cut
from mlops.monitoring.model.chances import chi2_quantile
from mlops.monitoring.model.levels import effect_of_days
from mlops.monitoring.model.phases import Phases, phases_of, seconds
from mlops.monitoring.model.readings import Reading, plain, readings_of
from mlops.monitoring.model.unseen import Unseen, unseen_of

MIN_ROWS = 500
PREDICTION = "prediction"
_SCORES = 4
_DEPENDENT_SHARE = 0.3
_MOST_ROWS_FOR_PAIRS = 5000
_FLAT = 1e-9


@dataclass(frozen=True)
class Column:
    """One column of the reference.

    `counts` has a row per phase and a column per bin, the last one of missing values; `scores` has a row per degree
    (location, spread, two of shape), which average 0 with variance 1 over all phases.
    """

    name: str
    bins: Bins
    counts: Floats
    scores: Floats
    design_effect: float = 1.0
    lag1: float = 0.0

    @property
    def categorical(self) -> bool:
        """Return whether the column is compared by categories."""
        return isinstance(self.bins, CategoryBins)

    @property
    def centres(self) -> Floats:
        """Return the mean score of every degree (first axis) in every phase (second axis)."""
        present = self.counts[:, :-1]
        rows = np.maximum(present.sum(1), 1.0)
        found: Floats = self.scores @ (present.T / rows)
        return found

    @property
    def locations(self) -> Floats:
        """Return by phase and bin how far a row is from the mean location of its phase; 0 for a missing value."""
        apart = self.scores[0][None, :] - self.centres[0][:, None]
        return np.concatenate([apart, np.zeros((len(apart), 1))], axis=1)


@dataclass(frozen=True)
class Reference:
    """What windows are compared with.

    `prediction` is the column of the model's own answers, `skipped` names columns with nothing to compare.
    `scale` and `degrees` calibrate the sum of all location and spread scores; `pairs` are the correlations of the
    location scores of the features. Without `phases` there is one phase, always. `names` are the columns that came,
    `readings` how those among them are read that cannot be compared as they are. `unseen` are the hours and days that
    nobody knows anything of.
    """

    rows: int
    features: tuple[Column, ...]
    prediction: Column | None
    skipped: tuple[str, ...]
    terms: int
    scale: float
    degrees: float
    dependent: bool
    pairs: Floats
    phases: Phases | None = None
    names: frozenset[str] = frozenset()
    readings: tuple[Reading, ...] = ()
    unseen: Unseen | None = None

    @property
    def columns(self) -> tuple[Column, ...]:
        """Return all columns, the one of the answers last."""
        return self.features if self.prediction is None else (*self.features, self.prediction)


def freeze(
    features: Mapping[str, Values],
    predictions: Values,
    window_rows: int,
    times: Sequence[datetime] = (),
    cycle: str = "auto",
    *,
    levels: bool = False,
) -> Reference:
    """Return the reference of columns whose rows are in time order; windows will have *window_rows*.

    With the *times* of the rows, windows are compared by the phases of a *cycle*: `auto` takes the one that the rows
    show and allows for hours that they have not seen, `24h` or `7d` tells it, `none` forbids both. With *levels* a day
    may have a level of its own, as far as the days of the reference differ.
    """
    rows, readings = len(predictions), readings_of(features)
    compared = plain(features, readings, times, own=True)
    bins = {name: cut(values, window_rows) for name, values in sorted(compared.items())}
    coded = [
        _Coded.of(name, found, compared[name]) for name, found in bins.items() if found is not None
    ]
    answered = cut(predictions, window_rows)
    last = [] if answered is None else [_Coded.of(PREDICTION, answered, predictions)]
    phases, phased = _in_phases([*coded, *last], seconds(times), cycle)
    blocks = _Blocks(rows, window_rows, 1.0 if phases is None else phases.cycles)
    columns = _with_design_effects(phased, blocks)
    dependent, wavers = _is_dependent(columns[: len(coded)]), _is_dependent(columns)
    if levels:
        columns = _with_levels(columns, phased, seconds(times), window_rows)
    kept, own = columns[: len(coded)], columns[len(coded) :]
    terms, scale, degrees = _joint(phased[: len(coded)], blocks, dependent=dependent)
    return Reference(
        rows=rows,
        features=tuple(kept),
        prediction=own[0] if own else None,
        skipped=tuple(name for name, found in bins.items() if found is None),
        terms=terms,
        scale=scale,
        degrees=degrees,
        dependent=dependent,
        pairs=_correlations([one.series[0][:_MOST_ROWS_FOR_PAIRS] for one in phased[: len(coded)]]),
        phases=phases,
        names=frozenset(features),
        readings=readings,
        unseen=unseen_of(seconds(times), cycle, phases, wavers=wavers),
    )


def _correlations(series: Sequence[Floats]) -> Floats:
    """Return the correlation of every pair of series; 0 where one of them is constant."""
    if not series:
        return np.zeros((0, 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.atleast_2d(np.corrcoef(np.stack(series)))
    return np.nan_to_num(found)


@dataclass(frozen=True)
class _Coded:
    column: Column
    codes: Codes
    series: Floats  # degree x rows, in time order

    @classmethod
    def of(cls, name: str, bins: Bins, values: Values) -> _Coded:
        codes = bins.codes(values)
        found = np.bincount(codes, minlength=bins.size + 1).astype(np.float64)
        scores = _scores(found[:-1], categorical=isinstance(bins, CategoryBins))
        padded = np.concatenate([scores, np.zeros((_SCORES, 1))], axis=1)
        return cls(Column(name, bins, found[None, :], scores), codes, padded[:, codes])

    def by_phase(self, parts: Codes, phases: int) -> _Coded:
        """Return it with counts by phase, its series about the mean of the phase of each row."""
        width = self.column.counts.shape[1]
        found = np.bincount(parts * width + self.codes, minlength=phases * width)
        column = replace(self.column, counts=found.reshape(phases, width).astype(np.float64))
        present = self.codes < width - 1
        return replace(self, column=column, series=self.series - column.centres[:, parts] * present)


@dataclass(frozen=True)
class _Blocks:
    """How the rows of a reference are cut into blocks like windows."""

    rows: int
    window_rows: int
    cycles: float

    @property
    def length(self) -> int:
        return max(10, min(self.window_rows, self.rows // 10))

    @property
    def whole(self) -> int:
        return self.rows // self.length

    @property
    def shrunk(self) -> float:
        """Return the share of the freedom of the blocks that is left: they gave the means of the phases themselves."""
        return 1.0 if self.cycles <= 1.0 else max(0.5, 1.0 - 1.0 / self.cycles)

    def means(self, series: Floats) -> Floats:
        found: Floats = series[: self.whole * self.length].reshape(self.whole, self.length).mean(1)
        return found


def _in_phases(
    coded: Sequence[_Coded], times: Floats, cycle: str
) -> tuple[Phases | None, Sequence[_Coded]]:
    phases = phases_of(times, cycle, [one.series[0] for one in coded])
    if phases is None:
        return None, coded
    parts = phases.of(times)
    return phases, [one.by_phase(parts, len(phases.rows)) for one in coded]


def _scores(present: Floats, *, categorical: bool) -> Floats:
    # Polynomials of the mid-rank of a bin, orthonormal under the reference shares.
    shares = present / present.sum()
    rank = np.cumsum(shares) - shares / 2 - 0.5
    basis, scores = [np.ones(len(shares))], np.zeros((_SCORES, len(shares)))
    for degree in range(1, _SCORES + 1):
        raw = rank**degree
        for known in basis:
            raw = raw - known * (shares * raw * known).sum()
        norm = float(np.sqrt((shares * raw * raw).sum()))
        if norm * norm >= _FLAT:
            scores[degree - 1] = raw / norm
            basis.append(scores[degree - 1])
    seen = np.flatnonzero(present)
    scores[:, seen[-1] + 1 :] = scores[:, [seen[-1]]]
    scores[:, : seen[0]] = scores[:, [seen[0]]]
    if categorical:
        scores[2:] = 0.0
    return scores


def _with_design_effects(coded: Sequence[_Coded], blocks: _Blocks) -> list[Column]:
    found = [_design_effect(one, blocks) for one in coded]
    above = [column.design_effect for column in found if column.design_effect > 1]
    if not found or len(above) / len(found) <= _DEPENDENT_SHARE:
        return found
    least = float(np.median(above))
    return [replace(c, design_effect=max(c.design_effect, least)) for c in found]


def _with_levels(
    columns: Sequence[Column], coded: Sequence[_Coded], times: Floats, window_rows: int
) -> list[Column]:
    found = [effect_of_days(one.series[0], times, window_rows) for one in coded]
    return [
        replace(column, design_effect=max(column.design_effect, effect))
        for column, effect in zip(columns, found, strict=True)
    ]


def _design_effect(coded: _Coded, blocks: _Blocks) -> Column:
    each = [_of_series(series, blocks) for series in coded.series]
    lag1 = float(np.clip(each[0][1], 0.0, 0.98))
    return replace(coded.column, design_effect=max(effect for effect, _ in each), lag1=lag1)


def _of_series(series: Floats, blocks: _Blocks) -> tuple[float, float]:
    variance = float(series.var())
    if variance < _FLAT or blocks.whole == 1:
        return 1.0, 0.0
    free = (blocks.whole - 1) * blocks.shrunk
    by_blocks = float(blocks.means(series).var()) * blocks.whole * blocks.length / variance / free
    effect = 1.0
    if by_blocks > chi2_quantile(0.999, free) / free:
        effect = by_blocks * free / chi2_quantile(0.1, free)
    centred = series - series.mean()
    lag1 = float((centred[1:] * centred[:-1]).mean()) / variance
    if lag1 > 4 / np.sqrt(blocks.rows):
        effect = max(effect, (1 + lag1) / max(1 - lag1, 0.02))
    return max(effect, 1.0), lag1


def _is_dependent(columns: Sequence[Column]) -> bool:
    above = sum(column.design_effect > 1 for column in columns)
    return bool(columns) and above / len(columns) > _DEPENDENT_SHARE


def _joint(
    coded: Sequence[_Coded], blocks: _Blocks, *, dependent: bool
) -> tuple[int, float, float]:
    # Scale and degrees of freedom of the sum of correlated squared scores (Satterthwaite).
    series = [line for one in coded for line in one.series[:2] if line.var() > _FLAT]
    if not series:
        return 0, 1.0, 1.0
    if dependent:
        series = [blocks.means(one) for one in series]
    found = _correlations(series)
    terms, samples = len(series), len(series[0])
    trace = max(float(terms), float((found**2).sum()) - terms * (terms - 1) / samples)
    return terms, trace / terms, terms * terms / trace
