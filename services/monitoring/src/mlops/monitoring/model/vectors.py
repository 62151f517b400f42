# SPDX-License-Identifier: Apache-2.0
"""Vectors as columns: what a model was asked and what it answered, where that is several numbers.

Inputs become numbered columns (`x0`, `x1`, …; of a sketch of 768 numbers `x~768:0`, …). Of an answer the first parts are
judged each, like answers of one number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from mlops.monitoring.model.bins import Value

Numbers = tuple[float | None, ...]

_MOST_PARTS = 16
_NEAR_ONE = 1e-3


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


def as_columns(rows: Sequence[Mapping[str, Numbers]]) -> dict[str, list[Value]]:
    """Return the vectors of *rows* by column; a row without one has None there."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {
        f"{name}{place}": list(part)
        for name in names
        for place, part in enumerate(zip_longest(*(row.get(name, ()) for row in rows)))
    }


def answer_columns(answers: Sequence[Answer | None]) -> dict[str, list[Value]]:
    """Return the first parts of answers by column; nothing where no answer is several numbers."""
    cut = [() if answer is None else answer.values[:_MOST_PARTS] for answer in answers]
    return {f"answer {place}": list(part) for place, part in enumerate(zip_longest(*cut))}
