# SPDX-License-Identifier: Apache-2.0
"""Rows: what a model is asked, checked against its fields.

Several inputs are columns by name, one two-dimensional input holds the columns in the fields' order. Whatever does
not fit is a MalformedError that says what, which and the fix.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mlops.serving.model.tensors import (
    DTYPES,
    NAMES,
    Array,
    Field,
    MalformedError,
    Scalar,
    cast,
    check_shape,
    scalars,
)
from mlops.serving.model.vectors import NARROW, Shortened, is_vectors, shortened

_MOST_NAMED = 4096  # columns; more do not fit into a message
_IDS = re.compile(r"ids$|(?:^|_)id$|token", re.IGNORECASE)


@dataclass(frozen=True)
class Rows:
    """What a model is asked: columns by name, or one matrix whose columns are *names*, or one tensor.

    *vector* is the name of a matrix whose columns have only numbers; *ids* are tensors that may be a text.
    """

    columns: dict[str, Array] | None
    matrix: Array | None
    names: tuple[str, ...]
    count: int
    vector: str = ""
    ids: frozenset[str] = frozenset()

    @property
    def values(self) -> dict[str, Array] | Array:
        """Return what goes into the model."""
        if self.columns is not None:
            return self.columns
        if self.matrix is None:
            raise MalformedError("no input")
        return self.matrix

    def features(self) -> list[dict[str, Scalar]]:
        """Return each row as features by name, as far as it has scalars; narrow vectors are numbered ones."""
        lists: dict[str, list[Scalar]] = {}
        for name, one in (self.columns or {}).items():
            if one.ndim == 1:
                lists[name] = scalars(one)
            elif 0 < _width(one) <= NARROW and name not in self.ids:
                lists |= {f"{name}{i}": scalars(part) for i, part in enumerate(one.T)}
        if self.matrix is not None and self.names:
            lists = dict(zip(self.names, map(scalars, self.matrix.T), strict=True))
        return [{name: values[row] for name, values in lists.items()} for row in range(self.count)]

    def vectors(self) -> list[dict[str, Shortened]]:
        """Return the vectors of each row by name, as they are logged; none where no row has any."""
        found = {
            name: shortened(one)
            for name, one in (self.columns or self._matrix_vectors()).items()
            if name not in self.ids and _is_wide(one)
        }
        if not found:
            return []
        return [{name: values[row] for name, values in found.items()} for row in range(self.count)]

    def _matrix_vectors(self) -> dict[str, Array]:
        return {} if self.matrix is None or not self.vector else {self.vector: self.matrix}


def read_rows(tensors: Mapping[str, Array], fields: Sequence[Field]) -> Rows:
    """Return the rows that *tensors* are, checked against the model's fields."""
    if not fields:
        return _unsigned(tensors)
    only = next(iter(tensors.values()))
    if all(field.shape == (-1,) for field in fields):
        if len(tensors) == 1 and only.ndim == 2:  # noqa: PLR2004 - rows and columns
            return _matrix(only, fields)
        return _columns(tensors, fields)
    return _tensors(tensors, fields)


def tensor_rows(only: Array, name: str, called: str, count: int, *, is_ids: bool) -> Rows:
    """Return the rows of one tensor; the columns of a narrow one have numbered names that begin with *called*.

    Of a vector, of ids and of more columns than a message holds none are named: they would only cost time.
    """
    is_named = 0 < _width(only) <= _MOST_NAMED and not is_ids and not _is_wide(only)
    names = tuple(f"{called}{place}" for place in range(only.shape[1])) if is_named else ()
    return Rows(None, only, names, count, "" if is_ids else name)


def ids_among(tensors: Mapping[str, Array], fields: Sequence[Field]) -> frozenset[str]:
    """Return the names of *tensors* that may be the ids of tokens, which are the text: such never leave."""
    shapes = {one.name: one.shape for one in fields}
    return frozenset(
        name for name, one in tensors.items() if may_be_ids(name, one, shapes.get(name, ()))
    )


def may_be_ids(name: str, values: Array, shape: tuple[int, ...] = ()) -> bool:
    """Return whether whole numbers may be the ids of tokens: by name, by rows of any length, or because they are many.

    *shape* is what the signature says; without one whole numbers may just be measured ones that were written so.
    Single bytes are pixels rather.
    """
    if values.ndim != 2 or values.dtype.kind not in "iu":  # noqa: PLR2004 - rows and columns
        return False
    if _IDS.search(name) or -1 in shape[1:]:
        return True
    return bool(shape) and values.shape[1] > NARROW and values.dtype.itemsize > 1


def _width(one: Array) -> int:
    """Return how many columns there are, 0 where there are not just rows and columns."""
    return one.shape[1] if one.ndim == 2 else 0  # noqa: PLR2004 - rows and columns


def _is_wide(one: Array) -> bool:
    return _width(one) > NARROW and is_vectors(one, len(one))


def _unsigned(tensors: Mapping[str, Array]) -> Rows:
    # Without a signature the model takes what it gets: one tensor as it is, several as columns.
    if len(tensors) == 1:
        name, only = next(iter(tensors.items()))
        return tensor_rows(only, "x", "x", only.shape[0], is_ids=may_be_ids(name, only))
    columns = {name: _flat(name, one) for name, one in tensors.items()}
    return Rows(columns, None, tuple(columns), _same_length(columns))


def _matrix(only: Array, fields: Sequence[Field]) -> Rows:
    if only.shape[1] != len(fields):
        wanted = ", ".join(field.name for field in fields)
        raise MalformedError(
            f"one two-dimensional input must have {len(fields)} columns ({wanted}), "
            f"not {only.shape[1]}"
        )
    names = tuple(field.name for field in fields)
    if len({field.datatype for field in fields}) == 1:
        return Rows(None, _typed(fields[0], only), names, only.shape[0])
    columns = {field.name: _typed(field, only[:, place]) for place, field in enumerate(fields)}
    return Rows(columns, None, names, only.shape[0])


def _columns(tensors: Mapping[str, Array], fields: Sequence[Field]) -> Rows:
    _check_names(tensors, fields)
    columns = {field.name: _flat(field.name, tensors[field.name]) for field in fields}
    typed = {field.name: _typed(field, columns[field.name]) for field in fields}
    return Rows(typed, None, tuple(typed), _same_length(typed))


def _tensors(tensors: Mapping[str, Array], fields: Sequence[Field]) -> Rows:
    if len(fields) == 1 and len(tensors) == 1:
        only = _typed(fields[0], next(iter(tensors.values())))
        check_shape(fields[0], only)
        name = fields[0].name
        is_ids = may_be_ids(name, only, fields[0].shape)
        return tensor_rows(only, name, name, only.shape[0], is_ids=is_ids)
    _check_names(tensors, fields)
    typed = {field.name: _typed(field, tensors[field.name]) for field in fields}
    for field in fields:
        check_shape(field, typed[field.name])
    return Rows(typed, None, tuple(typed), _same_length(typed), ids=ids_among(typed, fields))


def _check_names(tensors: Mapping[str, Array], fields: Sequence[Field]) -> None:
    wanted = [field.name for field in fields]
    missing = [name for name in wanted if name not in tensors]
    unknown = [name for name in tensors if name not in wanted]
    if missing or unknown:
        parts = [f"missing: {', '.join(missing)}"] * bool(missing)
        parts += [f"unknown: {', '.join(unknown)}"] * bool(unknown)
        raise MalformedError(f"the model takes the inputs {', '.join(wanted)}; {'; '.join(parts)}")


def _typed(field: Field, values: Array) -> Array:
    _check_castable(field, values)
    return cast(field.name, values, field.datatype)


def _check_castable(field: Field, values: Array) -> None:
    wanted = np.dtype(DTYPES[field.datatype])
    both_text = wanted.kind == values.dtype.kind == "O"
    one_text = "O" in (wanted.kind, values.dtype.kind)
    if not both_text and (one_text or not np.can_cast(values.dtype, wanted, "same_kind")):
        given = NAMES.get(values.dtype.str[1:], "BYTES")
        raise MalformedError(f"input {field.name!r} takes {field.datatype}, not {given}")


def _flat(name: str, values: Array) -> Array:
    if values.size != values.shape[0]:
        raise MalformedError(
            f"input {name!r} is a column: its shape must be [rows] or [rows, 1], "
            f"not {list(values.shape)}"
        )
    return values.reshape(-1)


def _same_length(columns: Mapping[str, Array]) -> int:
    lengths = {len(one) for one in columns.values()}
    if len(lengths) != 1:
        found = ", ".join(f"{name} {len(one)}" for name, one in columns.items())
        raise MalformedError(f"all inputs must have the same number of rows; they have: {found}")
    return lengths.pop()
