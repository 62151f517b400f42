# SPDX-License-Identifier: Apache-2.0
"""A column as bins: cut once from the reference, then every window is only counts.

The last bin of every column counts missing values. Numeric columns have quantile bins, and one bin at either end for
what the reference never reached. Columns of text, of true and false, or of few distinct numbers have one bin per
frequent value, then `other`, then `never seen`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Value = float | int | bool | str | None
Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Values = Sequence[Value] | Floats

_FEW_DISTINCT = 10
_MOST_CATEGORIES = 20
_ROWS_PER_CATEGORY = 10
_ROWS_FOR_TAILS = 2000
# Above this share of values seen once, unseen ones are normal (Good and Turing's estimate) and prove nothing.
_SINGLETONS = 0.005
_MOST_OTHER = 0.5
# Squares of squares of larger numbers are no floats any more; a number beyond it is taken as this one.
_LARGEST = 1e50
_NUMBERS = frozenset({float, int, bool, type(None)})


@dataclass(frozen=True)
class NumericBins:
    """Quantile bins of a numeric column between *edges*, the range of the reference; *spread* is its deviation."""

    edges: Floats
    spread: float

    @property
    def size(self) -> int:
        """Return the number of bins without the one for missing values."""
        return len(self.edges) + 1

    @property
    def beyond(self) -> tuple[int, ...]:
        """Return the bins that the reference never reached."""
        return (0, self.size - 1)

    def codes(self, values: Values) -> Codes:
        """Return the bin of every value; what is no number counts as missing."""
        return self.read(values)[0]

    def read(self, values: Values) -> tuple[Codes, int]:
        """Return the bin of every value, and how many values are neither missing nor a number."""
        numbers, strangers = as_numbers(values)
        found = np.searchsorted(self.edges, numbers).astype(np.int64)
        found[np.isnan(numbers)] = self.size
        return found, strangers


@dataclass(frozen=True)
class CategoryBins:
    """One bin per frequent value, one for the other known ones, one for those never seen."""

    places: Mapping[str, int]
    frequent: int

    @property
    def size(self) -> int:
        """Return the number of bins without the one for missing values."""
        return self.frequent + 2

    @property
    def beyond(self) -> tuple[int, ...]:
        """Return the bin that the reference never reached."""
        return (self.size - 1,)

    def codes(self, values: Values) -> Codes:
        """Return the bin of every value."""
        listed = values.tolist() if isinstance(values, np.ndarray) else values
        unseen, missing = self.places.get("", self.frequent + 1), self.size
        each = {
            value: missing if is_missing(value) else self.places.get(as_text(value), unseen)
            for value in set(listed)
        }
        return np.fromiter(map(each.__getitem__, listed), dtype=np.int64, count=len(listed))

    def read(self, values: Values) -> tuple[Codes, int]:
        """Return the bin of every value; no value is strange to categories, at most never seen."""
        return self.codes(values), 0


Bins = NumericBins | CategoryBins


def cut(values: Values, window_rows: int) -> Bins | None:
    """Return the bins of a reference column; None when there is nothing to compare.

    That is an empty column, or one whose values hardly ever repeat (an identifier, free text).
    """
    listed: Sequence[Value] = values.tolist() if isinstance(values, np.ndarray) else values
    present = [value for value in listed if not is_missing(value)]
    if not present:
        return None
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in present):
        numbers = as_numbers(present)[0]
        if len(np.unique(numbers)) > _FEW_DISTINCT:
            return _quantile_bins(numbers, window_rows)
    return _category_bins(present, window_rows)


def is_missing(value: Value) -> bool:
    """Return whether there is no value: None or not a number."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def as_numbers(values: Values) -> tuple[Floats, int]:
    """Return the values as numbers between -1e50 and 1e50, NaN where there is none, and how many are no numbers."""
    if isinstance(values, np.ndarray):
        return np.clip(values.astype(np.float64), -_LARGEST, _LARGEST), 0
    strangers = 0
    if not set(map(type, values)) <= _NUMBERS:
        strangers = sum(not isinstance(value, int | float | None) for value in values)
        values = [value if isinstance(value, int | float) else None for value in values]
    try:
        found = np.array(values, dtype=np.float64)
    except OverflowError:  # a whole number that no float can hold
        found = np.array([as_number(value) for value in values], dtype=np.float64)
    return np.clip(found, -_LARGEST, _LARGEST), strangers


def as_number(value: Value) -> float:
    """Return the value as a number between -1e50 and 1e50, NaN when it is none."""
    if is_missing(value) or not isinstance(value, int | float):
        return math.nan
    return float(max(-_LARGEST, min(_LARGEST, value)))


def as_text(value: Value) -> str:
    """Return the value as the name of a category: 1, 1.0 and true are the same one.

    Every digit of a whole number counts, six of a broken one: in single precision .1 is not quite .1.
    """
    if isinstance(value, float) and not value.is_integer():
        return f"{value:g}"
    return str(int(value)) if isinstance(value, int | float) else f"={value}"


def _quantile_bins(numbers: Floats, window_rows: int) -> NumericBins:
    wanted = int(np.clip(min(window_rows, len(numbers)) // 25, 5, 20))
    at = np.arange(1, wanted) / wanted
    if len(numbers) >= _ROWS_FOR_TAILS:  # only then the reference can fill bins for the tails
        at = np.concatenate([[0.005], at, [0.995]])
    low, high = float(numbers.min()), float(numbers.max())
    inner = np.unique(np.quantile(numbers, at))
    inner = inner[inner < high] if inner[0] < high else np.nextafter(inner[:1], -np.inf)
    edges = np.concatenate([[np.nextafter(low, -np.inf)], inner, [high]])
    return NumericBins(np.unique(edges), float(numbers.std()))


def _category_bins(present: Sequence[Value], window_rows: int) -> CategoryBins | None:
    found = Counter(as_text(value) for value in present)
    total = len(present)
    frequent = [
        name
        for name, rows in sorted(found.items(), key=lambda item: (-item[1], item[0]))[
            :_MOST_CATEGORIES
        ]
        if rows >= _ROWS_PER_CATEGORY and rows / total * window_rows >= _ROWS_PER_CATEGORY
    ]
    if 1 - sum(found[name] for name in frequent) / total > _MOST_OTHER:
        return None
    other = len(frequent)
    places = {name: i for i, name in enumerate(frequent)}
    singletons = sum(rows == 1 for rows in found.values()) / total
    if singletons > _SINGLETONS:  # the empty name stands for every value that is not frequent
        return CategoryBins({**places, "": other}, len(frequent))
    return CategoryBins(dict.fromkeys(found, other) | places, len(frequent))
