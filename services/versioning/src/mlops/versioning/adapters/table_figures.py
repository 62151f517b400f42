# SPDX-License-Identifier: Apache-2.0
"""Figures: what a table's columns hold, and a fingerprint of each row, from one pass over its batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from mlops.versioning.adapters.table_batches import Opened

Fingerprints = npt.NDArray[np.uint64]

MOST_DISTINCT = 100_000
# Of all columns of a table together, eight bytes each.
MOST_DISTINCT_IN_ALL = 4_000_000
MOST_ROWS = 20_000_000
_LONGEST_TEXT = 80
_MISSING = np.uint64(0x6D697373696E6721)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)
_NOTHING = np.empty(0, np.uint64)


@dataclass(frozen=True)
class Figures:
    """A table read to its end; `rows_seen` and `keys_seen` are None when there were too many rows to keep them."""

    schema: pa.Schema
    rows: int
    columns: Mapping[str, dict[str, Any]]
    rows_seen: Fingerprints | None
    keys_seen: Fingerprints | None


class _Column:
    """The running figures of one column."""

    def __init__(self, most_distinct: int) -> None:
        self.most_distinct = most_distinct
        self.count = 0
        self.missing = 0
        self.least: Any = None
        self.most: Any = None
        self.has_ends = True
        self.total: float | None = None
        self.seen: Fingerprints | None = _NOTHING

    def add(self, array: pa.Array, prints: Fingerprints) -> None:
        present = array.drop_null()
        if pa.types.is_floating(array.type):
            present = present.filter(pc.invert(pc.is_nan(present)))
        self.count += len(present)
        self.missing += len(array) - len(present)
        if self.seen is not None:
            self.seen = np.union1d(self.seen, prints[prints != _MISSING])
            if len(self.seen) > self.most_distinct:
                self.seen = None
        if len(present):
            self._measure(present)

    def _measure(self, present: pa.Array) -> None:
        if _has_order(present.type) and self.has_ends:
            try:
                self._stretch(pc.min_max(present).as_py())
            except (ValueError, OverflowError, pa.ArrowNotImplementedError):
                # Times that Python's calendar does not have, such as after the year 9999; durations.
                self.has_ends, self.least, self.most = False, None, None
        if _is_number(present.type):
            self.total = (self.total or 0.0) + float(
                pc.sum(present.cast(pa.float64(), safe=False)).as_py()
            )

    def _stretch(self, ends: Mapping[str, Any]) -> None:
        self.least = ends["min"] if self.least is None else min(self.least, ends["min"])
        self.most = ends["max"] if self.most is None else max(self.most, ends["max"])

    def told(self) -> dict[str, Any]:
        mean = None if self.total is None else _plain(self.total / self.count)
        return {
            "count": self.count,
            "missing": self.missing,
            "min": _plain(self.least),
            "max": _plain(self.most),
            "mean": mean,
            "distinct": None if self.seen is None else len(self.seen),
        }


def figures(table: Opened, alike: Mapping[str, str], key: str) -> Figures:
    """Read *table* to its end.

    *alike* names the columns that make a row's fingerprint, and as what their values are compared (`kind_of`).
    """
    each = min(MOST_DISTINCT, MOST_DISTINCT_IN_ALL // max(1, len(table.schema.names)))
    columns = {name: _Column(each) for name in table.schema.names}
    rows = 0
    seen: list[Fingerprints] = []
    keys: list[Fingerprints] = []
    for batch in table.batches:
        rows += batch.num_rows
        whole = np.zeros(batch.num_rows, np.uint64)
        for name in sorted(columns):
            array = batch.column(name)
            prints = fingerprints(array, alike.get(name, kind_of(array.type, array.type)))
            columns[name].add(array, prints)
            if name in alike:
                whole = _mixed(whole, prints)
            if name == key:
                keys.append(prints)
        if rows <= MOST_ROWS:
            seen.append(whole)
    kept = rows <= MOST_ROWS
    return Figures(
        table.schema,
        rows,
        {name: column.told() for name, column in columns.items()},
        _joined(seen) if kept else None,
        _joined(keys) if kept and key else None,
    )


def kind_of(one: pa.DataType, other: pa.DataType) -> str:
    """Return as what values of the two types are compared: whole, number or text."""
    if _is_whole(one) and _is_whole(other):
        return "whole"
    return "number" if _is_number(one) and _is_number(other) else "text"


def fingerprints(array: pa.Array, kind: str) -> Fingerprints:
    """Return 64 bits for each value; equal values of a kind have equal ones, whatever their type."""
    missing = pc.is_null(array, nan_is_null=True).to_numpy(zero_copy_only=False)
    if kind == "text":
        prints = _of_text(_text(array))
    else:
        type_ = pa.int64() if kind == "whole" else pa.float64()
        values = array.cast(type_, safe=False).fill_null(0).to_numpy(zero_copy_only=False)
        # Adding nothing makes one zero of the two that floats have.
        prints = _hashed(values + 0)
    return np.asarray(np.where(missing, _MISSING, prints), np.uint64)


def _of_text(array: pa.Array) -> Fingerprints:
    coded = array.dictionary_encode()
    words = np.asarray(coded.dictionary.to_pylist(), dtype=object)
    if not len(words):
        return np.full(len(array), _MISSING)
    codes = coded.indices.fill_null(0).to_numpy(zero_copy_only=False)
    return np.asarray(_hashed(words)[codes], np.uint64)


def _text(array: pa.Array) -> pa.Array:
    try:
        return array.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        # Lists, structs, bytes that are no text.
        return pa.array(
            [None if one is None else repr(one) for one in array.to_pylist()], pa.string()
        )


def _hashed(values: npt.NDArray[Any]) -> Fingerprints:
    return np.asarray(pd.util.hash_array(values, categorize=False), np.uint64)


def _mixed(rows: Fingerprints, prints: Fingerprints) -> Fingerprints:
    mixed = (rows ^ prints) * _SPREAD
    return mixed ^ (mixed >> _HALF)


def _joined(parts: list[Fingerprints]) -> Fingerprints:
    return np.concatenate(parts) if parts else _NOTHING


def _is_whole(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_)) and type_ != pa.uint64()


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))


def _has_order(type_: pa.DataType) -> bool:
    tests = (
        pa.types.is_temporal,
        pa.types.is_boolean,
        pa.types.is_decimal,
        pa.types.is_string,
        pa.types.is_large_string,
    )
    return _is_number(type_) or any(test(type_) for test in tests)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if np.isfinite(value) else str(value)
    text = str(value)
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
