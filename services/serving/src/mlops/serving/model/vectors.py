# SPDX-License-Identifier: Apache-2.0
"""Vectors for the log of predictions: rounded, and where they are long, a sketch of 128 signed sums.

A sketch costs one pass over the numbers and keeps lengths and distances about as they are: signs that have nothing to
do with the numbers make what falls into one sum cancel out. The contract's `Vector` says how it is made.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from mlops.serving.model.tensors import Array

# Narrower ones are logged as numbered features: somebody wants to see each by its name.
NARROW = 16
MOST = 128
_DIGITS, _DIGITS_OF_A_SKETCH = 7, 5
_NEAR_ONE = 1e-3
_MOST_PLACES = 22  # the largest power of ten that is exact


Values = tuple[float | None, ...]


@dataclass(frozen=True)
class Shortened:
    """A vector as it is logged: its numbers, or the sums of a sketch of *length* of them.

    *largest* is the place of the largest one where the numbers of a sketch are probabilities.
    """

    values: Values
    length: int | None = None
    largest: int | None = None


def is_vectors(values: Array, count: int) -> bool:
    """Return whether *values* are *count* rows of several numbers."""
    several = values.ndim == 2 and values.shape[1] > 1  # noqa: PLR2004 - rows and columns
    return several and len(values) == count and values.dtype.kind in "iuf"


def shortened(rows: Array) -> list[Shortened]:
    """Return each row of a matrix as it is logged."""
    with np.errstate(over="ignore", invalid="ignore"):  # infinities and what is missing become None
        numbers = rows.astype(np.float64)
        if numbers.shape[1] <= MOST:
            return [Shortened(values) for values in _written(numbers, _DIGITS)]
        sums = _written(_sketched(numbers), _DIGITS_OF_A_SKETCH, of_largest=True)
        said, width = _classes_said(numbers), numbers.shape[1]
        return [Shortened(one, width, place) for one, place in zip(sums, said, strict=True)]


def vector_of(value: object) -> Shortened | None:
    """Return a list of numbers as it is logged; None for anything else."""
    if not isinstance(value, list | tuple) or len(value) <= 1:
        return None
    if not all(isinstance(one, int | float) and not isinstance(one, bool) for one in value):
        return None
    try:
        return shortened(np.array([value], dtype=np.float64))[0]
    except OverflowError:  # a whole number that no float can hold
        return None


def _classes_said(numbers: Array) -> list[int | None]:
    """Return the place of the largest number of rows that are probabilities, None of others."""
    are = (numbers >= 0).all(1) & (np.abs(numbers.sum(1) - 1) <= _NEAR_ONE)
    places = numbers.argmax(1).tolist()
    return [place if is_one else None for place, is_one in zip(places, are.tolist(), strict=True)]


def _sketched(numbers: Array) -> Array:
    signs = _signs(numbers.shape[1])
    filled = np.zeros((len(numbers), signs.size))
    filled[:, : numbers.shape[1]] = numbers
    sums: Array = (filled.reshape(len(numbers), -1, MOST) * signs).sum(1)
    return sums


@lru_cache(maxsize=64)
def _signs(width: int) -> Array:
    whole = -(-width // MOST) * MOST
    odd = np.array([zlib.crc32(b"%d" % place) & 1 for place in range(whole)])
    return (1.0 - 2.0 * odd).reshape(-1, MOST)


def _written(numbers: Array, digits: int, *, of_largest: bool = False) -> list[Values]:
    """Return rows with so many *digits* of each number, or of the largest one in its row: their text stays short."""
    finite = np.isfinite(numbers)
    size = np.where(finite, np.abs(numbers), 0.0)
    size = size.max(1, keepdims=True) if of_largest else size
    places = digits - np.ceil(np.log10(np.where(size > 0, size, 1.0)))
    scale = 10.0 ** np.clip(places, 0, _MOST_PLACES)
    found = (np.rint(numbers * scale) / scale).tolist()
    if finite.all():
        return [tuple(row) for row in found]
    return [
        tuple(one if is_known else None for one, is_known in zip(row, known, strict=True))
        for row, known in zip(found, finite.tolist(), strict=True)
    ]
