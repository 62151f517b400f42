# SPDX-License-Identifier: Apache-2.0
"""What is compared of times, texts and vectors? Plain columns that are read off them, cheap and the same for ever.

The values themselves never repeat. Of a time the hour, the weekday and the age are compared; of a text its length,
its letters, its digits and the words that the reference does not know; of a vector (columns `x0`, `x1`, …) its
length, how far it is from the middle of the reference, and where it lies along the axes that the reference spread on.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from mlops.monitoring.model.bins import Floats, Value, Values, as_numbers, is_missing

_MOST_WORDS = 20_000
_WORDS_OF_A_TEXT = 3
_DISTINCT_OF_A_TEXT = 0.5
_LOOKED_AT = 200
_TIMES_AMONG = 0.95
# Fewer numbered columns are columns of a table, each of which somebody wants to see by its name.
_WIDTH_OF_A_VECTOR = 128
_AXES = 8
_ROWS_FOR_AXES = 512
_AS_WIDE = 0.9
_DAY_S = 86_400.0
_NUMBERED = re.compile(r"^(.*?)(\d+)$")

Columns = dict[str, Values]


@dataclass(frozen=True)
class Moments:
    """A column of times as ISO 8601 text; its age needs the times of the rows."""

    name: str

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the columns that it is read from."""
        return (self.name,)

    def read(
        self, features: Mapping[str, Values], times: Sequence[datetime], *, own: bool
    ) -> Columns:
        """Return hour, weekday and, where rows have times, age in days; what is no time is missing."""
        del own  # a time tells the same of the reference and of a window
        moments = [_moment(value) for value in _listed(features[self.name])]
        found: Columns = {
            f"{self.name} (hour)": [None if m is None else m.hour + m.minute / 60 for m in moments],
            f"{self.name} (weekday)": [None if m is None else str(m.weekday()) for m in moments],
        }
        if len(times) == len(moments):
            found[f"{self.name} (age)"] = [
                None if m is None else (at - m).total_seconds() / _DAY_S
                for m, at in zip(moments, times, strict=True)
            ]
        return found


@dataclass(frozen=True)
class Texts:
    """A column of sentences; `words` are those of the even and of the odd rows of the reference."""

    name: str
    words: tuple[frozenset[str], frozenset[str]]

    @property
    def sources(self) -> tuple[str, ...]:
        """Return the columns that it is read from."""
        return (self.name,)

    def read(
        self, features: Mapping[str, Values], times: Sequence[datetime], *, own: bool
    ) -> Columns:
        """Return length, shares of letters and digits, and of unknown words.

        The rows of the reference do not know their *own* words: else they would know more than any window can.
        """
        del times
        texts = [
            value if isinstance(value, str) else None for value in _listed(features[self.name])
        ]
        known = [self.words[1 - row % 2] if own else self.words[0] for row in range(len(texts))]
        return {
            f"{self.name} (length)": [None if t is None else len(t) for t in texts],
            f"{self.name} (letters)": [_share(t, str.isalpha) for t in texts],
            f"{self.name} (digits)": [_share(t, str.isdigit) for t in texts],
            f"{self.name} (unknown words)": [
                None if t is None else _unknown(t, words)
                for t, words in zip(texts, known, strict=True)
            ],
        }


@dataclass(frozen=True)
class Vectors:
    """Numbered columns that are one vector, in units of the reference: *centre*, *scale*, and its main *axes*."""

    name: str
    sources: tuple[str, ...]
    centre: Floats
    scale: Floats
    axes: Floats

    def read(
        self, features: Mapping[str, Values], times: Sequence[datetime], *, own: bool
    ) -> Columns:
        """Return length, distance from the centre and the places along the axes; NaN where a part is missing."""
        del times, own
        rows = np.stack([as_numbers(features[name])[0] for name in self.sources], axis=1)
        about = (rows - self.centre) / self.scale
        found: Columns = {
            f"{self.name} (length)": np.sqrt((rows * rows).sum(1)),
            f"{self.name} (distance)": np.sqrt((about * about).sum(1)),
        }
        along = about @ self.axes.T
        return found | {f"{self.name} (axis {i + 1})": line for i, line in enumerate(along.T)}


Reading = Moments | Texts | Vectors


def readings_of(features: Mapping[str, Values]) -> tuple[Reading, ...]:
    """Return how the columns of a reference are read that cannot be compared as they are."""
    vectors = _vectors_in(features)
    parts = {name for one in vectors for name in one.sources}
    found: list[Reading] = [*vectors]
    for name in sorted(features.keys() - parts):
        values = features[name]
        if isinstance(values, np.ndarray) or not all(isinstance(v, str | None) for v in values):
            continue
        texts = [value for value in values if isinstance(value, str)]
        if _are_times(texts):
            found.append(Moments(name))
        elif _are_texts(texts):
            found.append(Texts(name, (_words(values[::2]), _words(values[1::2]))))
    return tuple(found)


def plain(
    features: Mapping[str, Values],
    readings: Sequence[Reading],
    times: Sequence[datetime] = (),
    *,
    own: bool = False,
) -> Columns:
    """Return the columns to compare: those that are plain, and what is read off the others.

    *own* says that these are the rows that the readings were made of. A reading of which a column did not come has no
    columns either.
    """
    read = {name for one in readings for name in one.sources}
    found: Columns = {name: values for name, values in features.items() if name not in read}
    for one in readings:
        if all(name in features for name in one.sources):
            found |= one.read(features, times, own=own)
    return found


def _listed(values: Values) -> Sequence[Value]:
    return values.tolist() if isinstance(values, np.ndarray) else values


def _moment(value: Value) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _are_times(texts: Sequence[str]) -> bool:
    if not texts or not all(
        text[:1].isdigit() and len(text) >= len("2026-01-05") for text in texts[:10]
    ):
        return False
    looked_at = texts[:: max(1, len(texts) // _LOOKED_AT)]
    return sum(_moment(text) is not None for text in looked_at) >= _TIMES_AMONG * len(looked_at)


def _are_texts(texts: Sequence[str]) -> bool:
    if not texts or len(set(texts)) < _DISTINCT_OF_A_TEXT * len(texts):
        return False
    looked_at = texts[:: max(1, len(texts) // _LOOKED_AT)]
    return sum(len(text.split()) for text in looked_at) >= _WORDS_OF_A_TEXT * len(looked_at)


def _words(values: Values) -> frozenset[str]:
    found = Counter(word for value in values for word in str(value or "").lower().split())
    return frozenset(word for word, _ in found.most_common(_MOST_WORDS))


def _share(text: str | None, kind: Callable[[str], bool]) -> float | None:
    if text is None:
        return None
    return sum(map(kind, text)) / max(1, len(text))


def _unknown(text: str, words: frozenset[str]) -> float:
    own = text.lower().split()
    return sum(word not in words for word in own) / max(1, len(own))


def _vectors_in(features: Mapping[str, Values]) -> list[Vectors]:
    numbered: dict[str, dict[int, str]] = {}
    for name in features:
        if match := _NUMBERED.match(name):
            numbered.setdefault(match[1], {})[int(match[2])] = name
    wide = {stem: parts for stem, parts in numbered.items() if len(parts) >= _WIDTH_OF_A_VECTOR}
    found = [
        _vector(stem, [parts[place] for place in sorted(parts)], features)
        for stem, parts in sorted(wide.items())
    ]
    return [one for one in found if one is not None]


def _vector(stem: str, names: Sequence[str], features: Mapping[str, Values]) -> Vectors | None:
    if not all(_are_numbers(features[name]) for name in names):
        return None
    rows = np.stack([as_numbers(features[name])[0] for name in names], axis=1)
    rows = rows[~np.isnan(rows).any(1)]
    if len(rows) < _WIDTH_OF_A_VECTOR:
        return None
    centre, deviation = rows.mean(0), rows.std(0)
    scale = np.where(deviation > 0, deviation, 1.0) * math.sqrt(len(names))
    axes = _axes((rows - centre) / scale)
    return Vectors(stem.rstrip("_.- ") or "vector", tuple(names), centre, scale, axes)


def _axes(about: Floats) -> Floats:
    # An axis that the other rows do not spread on as well was found in noise; windows would seem narrower on it.
    fitted, others = about[::2], about[1::2]
    few = fitted[:: max(1, len(fitted) // _ROWS_FOR_AXES)][:_ROWS_FOR_AXES]
    axes = np.linalg.svd(few, full_matrices=False)[2][:_AXES]
    real = (others @ axes.T).std(0) >= _AS_WIDE * (few @ axes.T).std(0)
    found: Floats = axes[real]
    return found


def _are_numbers(values: Values) -> bool:
    if isinstance(values, np.ndarray):
        return True
    return all(
        is_missing(v) or (isinstance(v, int | float) and not isinstance(v, bool)) for v in values
    )
