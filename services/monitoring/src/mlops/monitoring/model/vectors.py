# SPDX-License-Identifier: Apache-2.0
"""Vectors as columns: what a model was asked and what it answered, where that is several numbers.

Inputs become numbered columns (`x0`, `x1`, …; of a sketch of 768 numbers `x~768:0`, …). Of an answer the first parts are
judged each, like answers of one number.

Sketches of vectors that are not of one length cannot be compared: their lengths are, as one column.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from mlops.monitoring.model.bins import Value

Numbers = tuple[float | None, ...]

_MOST_PARTS = 16
_NEAR_ONE = 1e-3
_SKETCH = re.compile(r"(.*)~([0-9]{1,9}):", re.DOTALL)
_MOSTLY = 0.95
_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Answer:
    """An answer of several numbers, or a sketch of *length* of them; then *largest* is the place of the largest."""

    values: Numbers
    length: int | None = None
    largest: int | None = None

    @property
    def is_probabilities(self) -> bool:
        """Return whether it holds the probability of every class."""
        known = [value for value in self.values if value is not None]
        whole = self.length is None and len(known) == len(self.values) > 1
        return whole and min(known) >= 0 and abs(sum(known) - 1) <= _NEAR_ONE

    @property
    def said(self) -> int | None:
        """Return the place of the largest number, None where that is not known."""
        if self.length is not None:
            return self.largest
        known = [(value, -place) for place, value in enumerate(self.values) if value is not None]
        return -max(known)[1] if known else None


def column_name(vector: str, length: int | None) -> str:
    """Return what stands before the numbers of the columns of a vector, or of its sketch."""
    return vector if length is None else f"{vector}~{length}:"


def as_columns(
    rows: Sequence[Mapping[str, Numbers]], wanted: Collection[str] = _NONE
) -> dict[str, list[Value]]:
    """Return the vectors of *rows* by column; a row without one has None there.

    Of a vector of several lengths only the commonest has columns, if nearly all rows have that one; else the length is a column.
    Those of the columns *wanted* that the rows have are always there.
    """
    counts = Counter(name for row in rows for name in row)
    lengths: defaultdict[str, dict[str, int | None]] = defaultdict(dict)
    for name in counts:
        vector, length = _parted(name)
        lengths[vector][name] = length
    found: dict[str, list[Value]] = {}
    for vector, names in lengths.items():
        common = max(names, key=lambda name: counts[name])
        is_common = counts[common] >= _MOSTLY * sum(counts[name] for name in names)
        for name in names:
            if (is_common and name == common) or f"{name}0" in wanted:
                found |= _numbered(name, rows)
        if not is_common or _length_column(vector) in wanted:
            found[_length_column(vector)] = _lengths(names, rows)
    return found


def answer_columns(answers: Sequence[Answer | None]) -> dict[str, list[Value]]:
    """Return the first parts of answers by column; nothing where no answer is several numbers."""
    cut = [() if answer is None else answer.values[:_MOST_PARTS] for answer in answers]
    return {f"answer {place}": list(part) for place, part in enumerate(zip_longest(*cut))}


def _numbered(name: str, rows: Sequence[Mapping[str, Numbers]]) -> dict[str, list[Value]]:
    parts = zip_longest(*(row.get(name, ()) for row in rows))
    return {f"{name}{place}": list(part) for place, part in enumerate(parts)}


def _lengths(names: Mapping[str, int | None], rows: Sequence[Mapping[str, Numbers]]) -> list[Value]:
    found: list[Value] = [None] * len(rows)
    for place, row in enumerate(rows):
        for name in row.keys() & names.keys():
            found[place] = names[name] or len(row[name])
    return found


def _length_column(vector: str) -> str:
    return f"{vector} (numbers)"


def _parted(name: str) -> tuple[str, int | None]:
    """Return the vector and the length of which `column_name` is *name*."""
    found = _SKETCH.fullmatch(name)
    return (name, None) if found is None else (found[1], int(found[2]))
