# SPDX-License-Identifier: Apache-2.0
"""The frozen reference: bin shares, scores and design effect of every column, cut once per model version.

The rows must be in time order. From contiguous blocks of them comes the design effect d: by how much the mean of a
window varies more than that of independent rows. Without it, every test alarms on seasonal or autocorrelated data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mlops.monitoring.model.bins import Bins, CategoryBins, Codes, Floats, Value, counts, cut
from mlops.monitoring.model.chances import chi2_quantile

MIN_ROWS = 500
_SCORES = 4
_DEPENDENT_SHARE = 0.3
_MOST_ROWS_FOR_PAIRS = 5000
_FLAT = 1e-9


@dataclass(frozen=True)
class Column:
    """One column of the reference; `scores` has a row per degree (location, spread, two of shape)."""

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
    def present(self) -> Floats:
        """Return the counts without the bin of missing values."""
        return self.counts[:-1]


@dataclass(frozen=True)
class Reference:
    """What windows are compared with.

    `prediction` is the column of the model's own answers, `skipped` names columns with nothing to compare.
    `scale` and `degrees` calibrate the sum of all location and spread scores; `pairs` are the correlations of the
    location scores of the features.
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


def freeze(
    features: Mapping[str, Sequence[Value]], predictions: Sequence[Value], window_rows: int
) -> Reference:
    """Return the reference of columns whose rows are in time order; windows will have *window_rows*."""
    rows = len(predictions)
    bins = {name: cut(values, window_rows) for name, values in sorted(features.items())}
    coded = [
        _Coded.of(name, found, features[name]) for name, found in bins.items() if found is not None
    ]
    answered = cut(predictions, window_rows)
    last = [] if answered is None else [_Coded.of("prediction", answered, predictions)]
    columns = _with_design_effects([*coded, *last], rows, window_rows)
    kept, own = columns[: len(coded)], columns[len(coded) :]
    dependent = _is_dependent(kept)
    terms, scale, degrees = _joint(coded, rows, window_rows, blocks=dependent)
    return Reference(
        rows=rows,
        features=tuple(kept),
        prediction=own[0] if own else None,
        skipped=tuple(name for name, found in bins.items() if found is None),
        terms=terms,
        scale=scale,
        degrees=degrees,
        dependent=dependent,
        pairs=correlations([one.series[0][:_MOST_ROWS_FOR_PAIRS] for one in coded]),
    )


def correlations(series: Sequence[Floats]) -> Floats:
    """Return the correlation of every pair of series; 0 where one of them is constant."""
    if not series:
        return np.zeros((0, 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.atleast_2d(np.corrcoef(np.stack(series)))
    return np.nan_to_num(found)


def location_scores(column: Column, codes: Codes) -> Floats:
    """Return the location score of every row; 0 for a missing value."""
    return np.append(column.scores[0], 0.0)[codes]


@dataclass(frozen=True)
class _Coded:
    column: Column
    series: Floats  # degree x rows, in time order

    @classmethod
    def of(cls, name: str, bins: Bins, values: Sequence[Value]) -> _Coded:
        codes = bins.codes(values)
        found = counts(codes, bins)
        scores = _scores(found[:-1], categorical=isinstance(bins, CategoryBins))
        padded = np.concatenate([scores, np.zeros((_SCORES, 1))], axis=1)
        return cls(Column(name, bins, found, scores), padded[:, codes])


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
    last_seen = int(np.flatnonzero(present)[-1])
    scores[:, last_seen + 1 :] = scores[:, [last_seen]]
    if categorical:
        scores[2:] = 0.0
    return scores


def _block_rows(rows: int, window_rows: int) -> int:
    return max(10, min(window_rows, rows // 10))


def _with_design_effects(coded: Sequence[_Coded], rows: int, window_rows: int) -> list[Column]:
    found = [_design_effect(one, rows, window_rows) for one in coded]
    above = [column.design_effect for column in found if column.design_effect > 1]
    if not found or len(above) / len(found) <= _DEPENDENT_SHARE:
        return found
    least = float(np.median(above))
    return [replace(c, design_effect=max(c.design_effect, least)) for c in found]


def _design_effect(coded: _Coded, rows: int, window_rows: int) -> Column:
    each = [_of_series(series, rows, window_rows) for series in coded.series]
    lag1 = float(np.clip(each[0][1], 0.0, 0.98))
    return replace(coded.column, design_effect=max(effect for effect, _ in each), lag1=lag1)


def _of_series(series: Floats, rows: int, window_rows: int) -> tuple[float, float]:
    variance = float(series.var())
    length = _block_rows(rows, window_rows)
    blocks = rows // length
    if variance < _FLAT or blocks == 1:
        return 1.0, 0.0
    means = series[: blocks * length].reshape(blocks, length).mean(1)
    by_blocks = float(means.var(ddof=1)) * length / variance
    effect = 1.0
    if by_blocks > chi2_quantile(0.999, blocks - 1) / (blocks - 1):
        effect = by_blocks * (blocks - 1) / chi2_quantile(0.1, blocks - 1)
    centred = series - series.mean()
    lag1 = float((centred[1:] * centred[:-1]).mean()) / variance
    if lag1 > 4 / np.sqrt(rows):
        effect = max(effect, (1 + lag1) / max(1 - lag1, 0.02))
    return max(effect, 1.0), lag1


def _is_dependent(columns: Sequence[Column]) -> bool:
    above = sum(column.design_effect > 1 for column in columns)
    return bool(columns) and above / len(columns) > _DEPENDENT_SHARE


def _joint(
    coded: Sequence[_Coded], rows: int, window_rows: int, *, blocks: bool
) -> tuple[int, float, float]:
    # Scale and degrees of freedom of the sum of correlated squared scores (Satterthwaite).
    series = [line for one in coded for line in one.series[:2] if line.var() > _FLAT]
    if not series:
        return 0, 1.0, 1.0
    if blocks:
        length = _block_rows(rows, window_rows)
        whole = rows // length
        series = [s[: whole * length].reshape(whole, length).mean(1) for s in series]
    found = correlations(series)
    terms, samples = len(series), len(series[0])
    trace = max(float(terms), float((found**2).sum()) - terms * (terms - 1) / samples)
    return terms, trace / terms, terms * terms / trace
