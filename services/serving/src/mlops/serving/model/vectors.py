# SPDX-License-Identifier: Apache-2.0
"""Vectors for the log of predictions: rounded, and where they are long, a sketch of 128 signed sums.

A sketch costs one pass over the numbers and keeps lengths and distances about as they are: signs that have nothing to
do with the numbers make what falls into one sum cancel out. The contract's `Vector` says how it is made.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence
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


def vectors_of(values: Sequence[object]) -> list[Shortened | None]:
    """Return each list of numbers as it is logged; None for anything else.

    Lists of one length are worked out at once. Where all of them have whole numbers only they are None as well: they
    may be the ids of tokens, which are the text.
    """
    alike: dict[int, dict[int, Array]] = defaultdict(dict)
    for place, value in enumerate(values):
        row = _numbers_of(value)
        if row is not None:
            alike[len(row)][place] = row
    found: dict[int, Shortened] = {}
    for rows in alike.values():
        if any(row.dtype.kind == "f" for row in rows.values()):
            found |= zip(rows, shortened(np.stack([*rows.values()])), strict=True)
    return [found.get(place) for place in range(len(values))]


def _numbers_of(value: object) -> Array | None:
    if not isinstance(value, list | tuple) or len(value) <= 1:
        return None
    kinds = set(map(type, value))  # far cheaper than to look at each number
    if bool in kinds or not all(issubclass(kind, int | float) for kind in kinds):
        return None
    try:
        return np.array(value, np.int64 if kinds == {int} else np.float64)
    except OverflowError:  # a whole number that no float can hold
        return None


def _classes_said(numbers: Array) -> list[int | None]:
    """Return the place of the largest number of rows that are probabilities, None of others."""
    are = (numbers >= 0).all(1) & (np.abs(numbers.sum(1) - 1) <= _NEAR_ONE)
    places = numbers.argmax(1).tolist()
    return [place if is_one else None for place, is_one in zip(places, are.tolist(), strict=True)]


def _sketched(numbers: Array) -> Array:
    count, width = numbers.shape
    parts = -(-width // MOST)
    filled = np.zeros((count, parts * MOST))
    np.multiply(numbers, _signs(1 << (width - 1).bit_length())[:width], out=filled[:, :width])
    sums: Array = filled.reshape(count, parts, MOST).sum(1)
    return sums


@lru_cache(maxsize=4)
def _signs(most: int) -> Array:
    # They do not depend on the width: what is asked with a new one each time takes the beginning of the same signs.
    lengths = range(2, len(str(most - 1)) + 1)
    longer = [_odd(digits, most)[10 ** (digits - 1) :] for digits in lengths]
    return 1.0 - 2.0 * np.concatenate([_odd(1, most), *longer])


def _odd(digits: int, most: int) -> Array:
    """Return of each number below *most* whether its CRC-32 is odd, written with so many *digits*, zeros in front.

    Of texts of one length it is the exclusive or of what each digit changes, so no number is written.
    """
    zeros = b"0" * digits
    found = np.array([zlib.crc32(zeros) & 1], np.uint8)
    for place in range(digits):
        ones = [zeros[:place] + b"%d" % digit + zeros[place + 1 :] for digit in range(10)]
        changed = [(zlib.crc32(one) ^ zlib.crc32(zeros)) & 1 for one in ones]
        found = (found[:, None] ^ np.array(changed, np.uint8)).reshape(-1)
        found = found[: -(-most // 10 ** (digits - 1 - place))]
    return found


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
