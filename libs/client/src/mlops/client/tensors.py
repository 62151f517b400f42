# SPDX-License-Identifier: Apache-2.0
"""Rows and columns as tensors of the Open Inference Protocol (V2), and answers back as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlops.client.errors import RefusedError

Value = float | int | bool | str | None
Rows = Sequence[Mapping[str, Value]]
Columns = Mapping[str, Sequence[Value]]

_OPERATION = "predict"


def request_of(data: Rows | Columns) -> dict[str, Any]:
    """Return a V2 request: one named tensor per column, one value per row; a missing value is null."""
    columns = data if isinstance(data, Mapping) else _columns(data)
    lengths = {name: len(values) for name, values in columns.items()}
    if not lengths or 0 in lengths.values():
        raise RefusedError(
            "client", _OPERATION, "there is nothing to predict", "give a row at least"
        )
    if len(set(lengths.values())) > 1:
        raise RefusedError(
            "client", _OPERATION, f"columns differ in length: {lengths}", "give one value per row"
        )
    return {"inputs": [_tensor(name, list(values)) for name, values in columns.items()]}


def values_of(answer: Mapping[str, Any]) -> list[Any]:
    """Return one value per row; with several outputs, one dict per row."""
    outputs = answer.get("outputs") or []
    if not outputs:
        raise RefusedError(
            "replica", _OPERATION, "the answer has no outputs", "see `mlops logs serving`"
        )
    if len(outputs) == 1:
        return _rows(outputs[0])
    named = {str(output["name"]): _rows(output) for output in outputs}
    count = min(len(values) for values in named.values())
    return [{name: values[index] for name, values in named.items()} for index in range(count)]


def _columns(rows: Rows) -> dict[str, list[Value]]:
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: [row.get(name) for row in rows] for name in names}


def _tensor(name: str, values: list[Value]) -> dict[str, Any]:
    plain = [_plain(value) for value in values]
    return {"name": name, "shape": [len(plain)], "datatype": _datatype(plain), "data": plain}


def _plain(value: Any) -> Value:
    # Values of NumPy and pandas know how to become Python's own.
    item = getattr(value, "item", None)
    found: Value = item() if callable(item) else value
    return None if isinstance(found, float) and found != found else found  # noqa: PLR0124 - NaN has no JSON


def _datatype(values: Sequence[Value]) -> str:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int} and None not in values:
        return "INT64"
    return "BYTES" if str in kinds else "FP64"


def _rows(output: Mapping[str, Any]) -> list[Any]:
    data, shape = list(output["data"]), list(output.get("shape") or [])
    if len(shape) < 2 or not data or isinstance(data[0], list):  # noqa: PLR2004 - a matrix has two sides
        return data
    width = max(1, len(data) // max(1, int(shape[0])))
    rows = [data[index : index + width] for index in range(0, len(data), width)]
    return [row[0] for row in rows] if width == 1 else rows
