# SPDX-License-Identifier: Apache-2.0
"""Tensors of the Open Inference Protocol, and the rows that a model gets of them.

A request is checked against the model's fields: several inputs are columns by name, one two-dimensional input holds
the columns in the fields' order. Whatever does not fit is a MalformedError that says what, which and the fix.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Scalar = float | int | bool | str | None

DTYPES = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "u2",
    "UINT32": "u4",
    "UINT64": "u8",
    "INT8": "i1",
    "INT16": "i2",
    "INT32": "i4",
    "INT64": "i8",
    "FP16": "f2",
    "FP32": "f4",
    "FP64": "f8",
    "BYTES": "O",
}
_NAMES = {np.dtype(dtype).str[1:]: name for name, dtype in DTYPES.items() if name != "BYTES"}
_MOST_VALUES = 4_000_000


class MalformedError(ValueError):
    """The request does not say what this model can answer."""


@dataclass(frozen=True)
class Field:
    """One input of a model: a column when its shape is `(-1,)`, else a tensor."""

    name: str
    datatype: str
    shape: tuple[int, ...] = (-1,)


@dataclass(frozen=True)
class Rows:
    """What a model is asked: columns by name, or one matrix whose columns are *names*, or one tensor."""

    columns: dict[str, Array] | None
    matrix: Array | None
    names: tuple[str, ...]
    count: int

    @property
    def values(self) -> dict[str, Array] | Array:
        """Return what goes into the model."""
        if self.columns is not None:
            return self.columns
        if self.matrix is None:
            raise MalformedError("no input")
        return self.matrix

    def features(self) -> list[dict[str, Scalar]]:
        """Return each row as features by name, as far as it has scalars."""
        if self.columns is not None:
            lists = {name: scalars(one) for name, one in self.columns.items() if one.ndim == 1}
        elif self.matrix is not None and self.matrix.ndim == 2:  # noqa: PLR2004 - rows and columns
            lists = dict(zip(self.names, map(scalars, self.matrix.T), strict=True))
        else:
            lists = {}
        return [{name: values[row] for name, values in lists.items()} for row in range(self.count)]


def read_rows(inputs: object, fields: Sequence[Field]) -> Rows:
    """Return the rows of a request's `inputs`, checked against the model's fields."""
    if not isinstance(inputs, list) or not inputs:
        raise MalformedError("`inputs` must be a list of at least one tensor")
    tensors = dict(_read_tensor(one) for one in inputs)
    if len(tensors) != len(inputs):
        raise MalformedError("`inputs` holds two tensors of the same name")
    if not fields:
        return _unsigned(tensors)
    only = next(iter(tensors.values()))
    if all(field.shape == (-1,) for field in fields):
        if len(tensors) == 1 and only.ndim == 2:  # noqa: PLR2004 - rows and columns
            return _matrix(only, fields)
        return _columns(tensors, fields)
    return _tensors(tensors, fields)


def write_tensor(name: str, values: Array) -> dict[str, Any]:
    """Return an output tensor as JSON values."""
    if values.dtype.kind in "OUS":
        datatype, data = "BYTES", [str(one) for one in values.ravel().tolist()]
    else:
        datatype, data = _NAMES.get(values.dtype.str[1:], "FP64"), values.ravel().tolist()
    return {"name": name, "datatype": datatype, "shape": list(values.shape), "data": data}


def scalars(values: Array) -> list[Scalar]:
    """Return a column as plain values; what is no finite number is None."""
    return [_finite(one) for one in values.tolist()]


def _finite(value: object) -> Scalar:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, float | int | bool | str) else None


def _read_tensor(one: object) -> tuple[str, Array]:
    if not isinstance(one, Mapping) or not isinstance(one.get("name"), str):
        raise MalformedError("each input needs a `name`, a `datatype`, a `shape` and `data`")
    name, datatype = one["name"], one.get("datatype")
    if datatype not in DTYPES:
        raise MalformedError(
            f"input {name!r}: datatype {datatype!r} is not one of {', '.join(DTYPES)}"
        )
    if "data" not in one:
        raise MalformedError(
            f"input {name!r} has no `data`; tensors travel as JSON here, not as binary"
        )
    shape = _read_shape(name, one.get("shape"))
    return name, _read_data(name, datatype, shape, one["data"])


def _read_shape(name: str, shape: object) -> tuple[int, ...]:
    sizes = shape if isinstance(shape, list) else []
    found = tuple(one for one in sizes if type(one) is int and one >= 0)
    if not sizes or len(found) != len(sizes):
        raise MalformedError(
            f"input {name!r}: `shape` must be a list of whole numbers, not {shape!r}"
        )
    if math.prod(found) > _MOST_VALUES:
        raise MalformedError(
            f"input {name!r}: shape {shape} holds more than {_MOST_VALUES} values; send less at once"
        )
    if found[0] == 0:
        raise MalformedError(f"input {name!r} has no rows")
    return found


def _read_data(name: str, datatype: str, shape: tuple[int, ...], data: object) -> Array:
    if not isinstance(data, list):
        raise MalformedError(f"input {name!r}: `data` must be a list")
    try:
        values = _cast(datatype, data)
    except (ValueError, TypeError, OverflowError) as error:
        raise MalformedError(f"input {name!r}: `data` is not {datatype}: {error}") from error
    if values.size != math.prod(shape):
        raise MalformedError(
            f"input {name!r}: shape {list(shape)} wants {math.prod(shape)} values, "
            f"`data` holds {values.size}"
        )
    return values.reshape(shape)


def _cast(datatype: str, data: list[Any]) -> Array:
    if datatype == "BYTES":
        found = np.asarray(data, dtype=object)
        if not all(isinstance(one, str) for one in found.ravel()):
            raise TypeError("every value must be a string")
        return found
    if datatype.startswith("FP"):
        plain = np.asarray(data)
        if plain.dtype.kind == "O":  # null is a missing number
            plain = np.asarray(data, dtype=float)
        return _fitting(plain, "biuf", datatype)
    return _fitting(np.asarray(data), "b" if datatype == "BOOL" else "iu", datatype)


def _fitting(plain: Array, kinds: str, datatype: str) -> Array:
    if plain.dtype.kind not in kinds:
        raise TypeError(f"it holds values of another kind ({plain.dtype})")
    wanted = np.dtype(DTYPES[datatype])
    if wanted.kind in "iu" and plain.size:
        limits = np.iinfo(wanted)
        if plain.min() < limits.min or plain.max() > limits.max:
            raise OverflowError(f"a value is outside {limits.min} … {limits.max}")
    return plain.astype(wanted, copy=False)


def _unsigned(tensors: Mapping[str, Array]) -> Rows:
    # Without a signature the model takes what it gets: one tensor as it is, several as columns.
    if len(tensors) == 1:
        only = next(iter(tensors.values()))
        width = only.shape[1] if only.ndim == 2 else 0  # noqa: PLR2004 - rows and columns
        names = tuple(f"x{place}" for place in range(width))
        return Rows(None, only, names, only.shape[0])
    columns = {name: _flat(name, one) for name, one in tensors.items()}
    return Rows(columns, None, tuple(columns), _same_length(columns))


def _matrix(only: Array, fields: Sequence[Field]) -> Rows:
    if only.shape[1] != len(fields):
        names = ", ".join(field.name for field in fields)
        raise MalformedError(
            f"one two-dimensional input must have {len(fields)} columns ({names}), "
            f"not {only.shape[1]}"
        )
    for field in fields:
        _check_castable(field, only)
    return Rows(None, only, tuple(field.name for field in fields), only.shape[0])


def _columns(tensors: Mapping[str, Array], fields: Sequence[Field]) -> Rows:
    _check_names(tensors, fields)
    columns = {field.name: _flat(field.name, tensors[field.name]) for field in fields}
    typed = {field.name: _typed(field, columns[field.name]) for field in fields}
    return Rows(typed, None, tuple(typed), _same_length(typed))


def _tensors(tensors: Mapping[str, Array], fields: Sequence[Field]) -> Rows:
    if len(fields) == 1 and len(tensors) == 1:
        only = _typed(fields[0], next(iter(tensors.values())))
        _check_shape(fields[0], only)
        width = only.shape[1] if only.ndim == 2 else 0  # noqa: PLR2004 - rows and columns
        names = tuple(f"{fields[0].name}{place}" for place in range(width))
        return Rows(None, only, names, only.shape[0])
    _check_names(tensors, fields)
    typed = {field.name: _typed(field, tensors[field.name]) for field in fields}
    for field in fields:
        _check_shape(field, typed[field.name])
    return Rows(typed, None, tuple(typed), _same_length(typed))


def _check_names(tensors: Mapping[str, Array], fields: Sequence[Field]) -> None:
    wanted = [field.name for field in fields]
    missing = [name for name in wanted if name not in tensors]
    unknown = [name for name in tensors if name not in wanted]
    if missing or unknown:
        parts = [f"missing: {', '.join(missing)}"] * bool(missing)
        parts += [f"unknown: {', '.join(unknown)}"] * bool(unknown)
        raise MalformedError(f"the model takes the inputs {', '.join(wanted)}; {'; '.join(parts)}")


def _check_shape(field: Field, values: Array) -> None:
    fits = values.ndim == len(field.shape) and all(
        want in (-1, have) for want, have in zip(field.shape, values.shape, strict=True)
    )
    if not fits:
        raise MalformedError(
            f"input {field.name!r} has shape {list(values.shape)}, the model takes {list(field.shape)}"
        )


def _typed(field: Field, values: Array) -> Array:
    _check_castable(field, values)
    return values.astype(DTYPES[field.datatype], copy=False)


def _check_castable(field: Field, values: Array) -> None:
    wanted = np.dtype(DTYPES[field.datatype])
    both_text = wanted.kind == values.dtype.kind == "O"
    one_text = "O" in (wanted.kind, values.dtype.kind)
    if not both_text and (one_text or not np.can_cast(values.dtype, wanted, "same_kind")):
        given = _NAMES.get(values.dtype.str[1:], "BYTES")
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
