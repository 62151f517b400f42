# SPDX-License-Identifier: Apache-2.0
"""Streams with a known truth: independent, correlated, autocorrelated and cyclic rows of columns as people have them.

Columns come in groups of ten: two normal, two heavy-tailed (t with 3 degrees), two lognormal, one mostly zero, one of
counts, one of five categories, one of thirty (Zipf). Shifts act on the normal variable behind a column.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import signal, special, stats

Floats = NDArray[np.float64]
Kind = Literal["independent", "correlated", "ar1", "daily", "weekly", "label"]

GROUP = 10
MINUTES_A_DAY = 1440
_BEGAN = datetime(2026, 1, 5, tzinfo=UTC)
_GRID = np.linspace(-6, 6, 4001)
_T3 = stats.t.ppf(special.ndtr(_GRID), 3)
_COUNTS = stats.norm.ppf(stats.poisson.cdf(np.arange(14), 4))
_FIVE_SHARES = np.array([0.4, 0.3, 0.15, 0.1, 0.05])
_ZIPF_SHARES = 1 / np.arange(1, 31) ** 1.2 / (1 / np.arange(1, 31) ** 1.2).sum()
_FIVE = stats.norm.ppf(np.cumsum(_FIVE_SHARES)[:-1])
_ZIPF = stats.norm.ppf(np.cumsum(_ZIPF_SHARES)[:-1])
_ZEROS_BELOW = 0.2533  # 60 % of a normal variable
_LABELLED = 0.3
CATEGORICAL = 8  # from this place in the group on


@dataclass(frozen=True)
class Shift:
    """A change of the stream: *kind* by *amount* in one column or in all that it can be in."""

    kind: Literal["mean", "variance", "category", "missing", "flip", "label"]
    amount: float
    everywhere: bool

    @property
    def name(self) -> str:
        """Return it in words."""
        return f"{self.kind} {self.amount:g} {'all' if self.everywhere else 'one'}"

    @property
    def stream(self) -> Kind:
        """Return the stream that the shift makes sense in."""
        return {"flip": "correlated", "label": "label"}.get(self.kind, "independent")  # type: ignore[return-value]  # a literal each

    def columns(self, width: int) -> list[int]:
        """Return which of *width* columns it moves."""
        first = CATEGORICAL if self.kind == "category" else 0
        if not self.everywhere:
            return [first]
        return [c for c in range(width) if self.kind != "category" or c % GROUP >= CATEGORICAL]


@dataclass(frozen=True)
class Rows:
    """Consecutive rows of a stream; categories are floats here, NaN is missing."""

    values: Floats
    times: Sequence[datetime]

    def answers(self, begin: int) -> Floats:
        """Return what the model of the group of columns that begins here would answer."""
        groups = self.values.shape[1] // (GROUP + 1)
        return self.values[:, groups * GROUP + begin // GROUP]

    def columns(self, begin: int, end: int) -> dict[str, Sequence[str | None] | Floats]:
        """Return some columns as the service has them: numbers, and texts for categories."""
        return {
            f"c{c:02d}": texts(self.values[:, c]) if is_category(c) else self.values[:, c]
            for c in range(begin, end)
        }


class Stream:
    """*width* columns and one of answers for every ten of them, which no shift moves.

    Each group has answers of its own: a figure over five groups that share one column counts its luck five times.

    A row every minute (every three of `weekly`), or every *step* minutes, from a random minute of the week on.
    """

    def __init__(self, kind: Kind, width: int, seed: int, step: int | None = None) -> None:
        self._kind = kind
        self._step = step or (3 if kind == "weekly" else 1)
        self._width, self._features = width + width // GROUP, width
        self._rng = np.random.default_rng(seed)
        self._minute = int(self._rng.integers(0, 7 * MINUTES_A_DAY))
        self._state = 0.9 * self._rng.standard_normal((1, self._width))

    def take(self, rows: int, shift: Shift | None = None) -> Rows:
        """Return the next rows, moved by *shift*."""
        latent = self._latent(rows, shift)
        columns = [] if shift is None else shift.columns(self._features)
        if shift is not None:
            latent = _moved(latent, shift, columns)
        values = observe(latent)
        if shift is not None:
            self._broken(values, shift, columns)
        begin = self._minute
        self._minute += rows * self._step
        minutes = range(begin, self._minute, self._step)
        return Rows(values, [_BEGAN + timedelta(minutes=minute) for minute in minutes])

    def _latent(self, rows: int, shift: Shift | None) -> Floats:
        noise = self._rng.standard_normal((rows, self._width))
        if self._kind == "correlated":
            shared = self._rng.standard_normal((rows, 1))
            return np.asarray(np.sqrt(0.8) * shared + np.sqrt(0.2) * noise)
        if self._kind == "ar1":
            found, self._state = signal.lfilter(
                [1.0], [1.0, -0.9], noise * np.sqrt(1 - 0.81), axis=0, zi=self._state
            )
            return np.asarray(found)
        if self._kind in ("daily", "weekly"):
            return self._cyclic(noise)
        if self._kind == "label":
            places = np.arange(self._width)
            moved = (places % GROUP < 3) & (places < self._features)
            share = shift.amount if shift is not None and shift.kind == "label" else _LABELLED
            labels = self._rng.random((rows, 1)) < share
            return np.asarray(noise + labels * moved - _LABELLED * moved)
        return noise

    def _cyclic(self, noise: Floats) -> Floats:
        minutes = self._minute + self._step * np.arange(len(noise))
        wave = np.sin(2 * np.pi * minutes / MINUTES_A_DAY)
        if self._kind == "weekly":  # the weekend has no wave, and another level
            weekend = minutes // MINUTES_A_DAY % 7 >= 5
            wave = np.where(weekend, -1.0, wave)
        return np.asarray(0.7 * wave[:, None] + np.sqrt(1 - 0.7**2 / 2) * noise)

    def _broken(self, values: Floats, shift: Shift, columns: Sequence[int]) -> None:
        for c in columns:
            chances = self._rng.random(len(values))
            if shift.kind == "missing":
                values[chances < shift.amount, c] = np.nan
            if shift.kind == "category":
                first = _FIVE_SHARES[0] if c % GROUP == CATEGORICAL else _ZIPF_SHARES[0]
                values[(values[:, c] == 0) & (chances < shift.amount / first), c] = 2


def is_category(column: int) -> bool:
    """Return whether the column at this place is one of categories."""
    return column % GROUP >= CATEGORICAL


def texts(column: Floats) -> list[str | None]:
    """Return a column of categories as texts."""
    return [None if np.isnan(value) else f"k{int(value)}" for value in column]


def observe(latent: Floats) -> Floats:
    """Return the columns that stand on normal variables."""
    found = np.empty_like(latent)
    for c, column in enumerate(latent.T):
        found[:, c] = _family(c % GROUP, column)
    return found


def _family(place: int, column: Floats) -> Floats:
    families: list[Callable[[Floats], NDArray[Any]]] = [
        lambda x: x,
        lambda x: np.interp(x, _GRID, _T3),
        np.exp,
        lambda x: np.where(x < _ZEROS_BELOW, 0.0, np.exp(x)),
        lambda x: np.searchsorted(_COUNTS, x),
        lambda x: np.searchsorted(_FIVE, x),
        lambda x: np.searchsorted(_ZIPF, x),
    ]
    which = (0, 0, 1, 1, 2, 2, 3, 4, 5, 6)[place]
    return np.asarray(families[which](column), dtype=np.float64)


def _moved(latent: Floats, shift: Shift, columns: Sequence[int]) -> Floats:
    found = latent.copy()
    if shift.kind == "mean":
        found[:, columns] += shift.amount
    elif shift.kind == "variance":
        found[:, columns] *= np.sqrt(shift.amount)
    elif shift.kind == "flip":
        found[:, columns] *= -1
    return found
