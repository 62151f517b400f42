# SPDX-License-Identifier: Apache-2.0
"""What MLflow's scoring protocol carries: a frame by its columns or its records, or a tensor; read for a model's fields.

As MLflow does it, columns that the model does not know are left aside, and a whole number may be written as 2.0.
Unlike MLflow, a number that would become another (2.5 for an integer) is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlops.serving.model.rows import Rows, ids_among, may_be_ids, tensor_rows
from mlops.serving.model.tensors import (
    DTYPES,
    Array,
    Field,
    MalformedError,
    cast,
    check_shape,
)

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")

Columns = dict[str, list[Any]]


def read_frame(
    request: Mapping[str, Any], fields: Sequence[Field], optional: frozenset[str] = frozenset()
) -> Rows:
    """Return the rows of a request in one of MLflow's four formats; columns that are *optional* may be missing."""
    given = [name for name in FORMATS if name in request]
    if len(given) != 1:
        found = ", ".join(sorted(map(str, request))) or "none"
        raise MalformedError(
            f"send a JSON object with exactly one of {', '.join(FORMATS)}; found: {found}"
        )
    said = request[given[0]]
    if given[0] == "dataframe_split":
        columns = _split(said)
    elif given[0] == "dataframe_records":
        columns = _records(said, given[0])
    else:
        columns = _tensor_or_columns(said, given[0])
    return rows_of(columns, fields, optional)


def rows_of(
    given: Columns | Array, fields: Sequence[Field], optional: frozenset[str] = frozenset()
) -> Rows:
    """Return columns or one tensor as what the model takes."""
    if isinstance(given, dict):
        _check_lengths(given)
        given = _one_tensor(given, fields)
    if isinstance(given, dict):
        return _typed_columns(given, fields, optional)
    return _typed_tensor(given, fields)


def _split(said: object) -> Columns | Array:
    if not isinstance(said, Mapping) or "data" not in said:
        raise MalformedError("`dataframe_split` must be an object with `data` and `columns`")
    odd = set(said) - {"columns", "index", "data"}
    if odd:
        raise MalformedError(f"`dataframe_split` has columns, index and data, not {sorted(odd)}")
    rows, names = said["data"], said.get("columns")
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise MalformedError("`dataframe_split.data` must be a list of rows, each a list")
    if names is None:
        return _array("dataframe_split", rows)
    if not isinstance(names, list) or any(len(row) != len(names) for row in rows):
        raise MalformedError("each row of `dataframe_split.data` needs one value for each column")
    return {str(name): [row[place] for row in rows] for place, name in enumerate(names)}


def _records(said: object, called: str) -> Columns:
    if not isinstance(said, list) or not all(isinstance(row, Mapping) for row in said):
        raise MalformedError(f"`{called}` must be a list of records, each an object")
    names = dict.fromkeys(str(name) for row in said for name in row)
    return {name: [row.get(name) for row in said] for name in names}


def _tensor_or_columns(said: object, called: str) -> Columns | Array:
    if isinstance(said, Mapping):
        lists = {str(name): one if isinstance(one, list) else [one] for name, one in said.items()}
        if not lists:
            raise MalformedError(f"`{called}` is empty")
        return lists
    if not isinstance(said, list):
        said = [said]
    if said and isinstance(said[0], Mapping):
        return _records(said, called)
    return _array(called, said)


def _array(called: str, values: list[Any]) -> Array:
    try:
        found = np.asarray(values)
    except (ValueError, TypeError, OverflowError) as error:
        raise MalformedError(f"`{called}` is no tensor: {error}") from error
    if found.size == 0:
        raise MalformedError(f"`{called}` has no rows")
    return found


def _check_lengths(given: Columns) -> None:
    lengths = {len(values) for values in given.values()}
    if len(lengths) != 1 or 0 in lengths:
        found = ", ".join(f"{name} {len(values)}" for name, values in given.items()) or "none"
        raise MalformedError(f"all columns need the same number of rows; they have: {found}")


def _one_tensor(given: Columns, fields: Sequence[Field]) -> Columns | Array:
    # A frame for a model of one unnamed tensor is that tensor, column by column.
    is_tensor = len(fields) == 1 and fields[0].shape != (-1,)
    if not is_tensor or fields[0].name in given:
        return given
    return _array("the frame", [list(row) for row in zip(*given.values(), strict=True)])


def _typed_columns(given: Columns, fields: Sequence[Field], optional: frozenset[str]) -> Rows:
    count = len(next(iter(given.values())))
    if not fields:
        columns = {name: _array(name, values) for name, values in given.items()}
        return Rows(columns, None, tuple(columns), count, ids=ids_among(columns, ()))
    missing = [one.name for one in fields if one.name not in given and one.name not in optional]
    if missing:
        raise MalformedError(
            f"the model takes {', '.join(one.name for one in fields)}; missing: {', '.join(missing)}"
        )
    columns = {
        one.name: _column(one, given.get(one.name, [None] * count), one.name in optional)
        for one in fields
    }
    return Rows(columns, None, tuple(columns), count, ids=ids_among(columns, fields))


def _column(field: Field, values: list[Any], may_miss: bool) -> Array:  # noqa: FBT001 - what is asked
    kind = np.dtype(DTYPES[field.datatype]).kind
    if may_miss and kind in "iub" and None in values:
        # Only floats and objects have a value for what is missing.
        if kind == "b":
            return np.asarray(values, dtype=object)
        field = Field(field.name, "FP64", field.shape)
    return _typed(field, _array(field.name, values))


def _typed_tensor(given: Array, fields: Sequence[Field]) -> Rows:
    count = len(given) if given.ndim else 0
    is_table = bool(fields) and all(one.shape == (-1,) for one in fields)
    if is_table:
        table = given.reshape(count, -1)
        if table.shape[1] != len(fields):
            wanted = ", ".join(one.name for one in fields)
            raise MalformedError(
                f"the model takes {len(fields)} columns ({wanted}), not {table.shape[1]}"
            )
        columns = {one.name: _typed(one, table[:, place]) for place, one in enumerate(fields)}
        return Rows(columns, None, tuple(columns), count)
    if len(fields) > 1:
        raise MalformedError(f"name the tensors: {', '.join(one.name for one in fields)}")
    tensor = _typed(fields[0], given) if fields else given
    if not fields:
        return tensor_rows(tensor, "x", "x", count, is_ids=False)
    is_ids = may_be_ids(fields[0].name, tensor, fields[0].shape)
    return tensor_rows(tensor, fields[0].name, "x", count, is_ids=is_ids)


def _typed(field: Field, values: Array) -> Array:
    wanted = np.dtype(DTYPES[field.datatype])
    if wanted.kind == "O":
        fitting = values.astype(object)
        if not all(isinstance(one, str | None) for one in fitting.ravel()):
            raise MalformedError(f"column {field.name!r} takes strings")
    else:
        fitting = cast(field.name, _numbers(field, wanted.kind, values), field.datatype)
    check_shape(field, fitting)
    return fitting


def _numbers(field: Field, kind: str, values: Array) -> Array:
    if values.dtype.kind == "O" and kind in "fiu":  # null is a missing number
        values = _array_of_numbers(field, values)
    if values.dtype.kind not in "biuf" or (kind == "b" != values.dtype.kind):
        raise MalformedError(f"column {field.name!r} takes {field.datatype}, not {values.dtype}")
    return _whole(field, values) if kind in "iu" and values.dtype.kind == "f" else values


def _array_of_numbers(field: Field, values: Array) -> Array:
    try:
        return values.astype(float)
    except (ValueError, TypeError) as error:
        raise MalformedError(f"column {field.name!r} takes {field.datatype}: {error}") from error


def _whole(field: Field, values: Array) -> Array:
    if not np.isfinite(values).all() or (values != np.floor(values)).any():
        raise MalformedError(
            f"column {field.name!r} takes {field.datatype}; missing values and fractions are none"
        )
    with np.errstate(over="ignore"):
        return values.astype(np.float64 if np.abs(values).max() > 2**62 else np.int64)
