# SPDX-License-Identifier: Apache-2.0
"""Rows and columns as tensors of the Open Inference Protocol (V2), labels as JSON, answers back as plain values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from mlops.client.errors import RefusedError

Value = float | int | bool | str | None
Label = Value | Sequence[float | None]
Rows = Sequence[Mapping[str, Value]]
Columns = Mapping[str, Sequence[Value]]

_OPERATION = "send values"
_INT64 = 2**63


class Frame(Protocol):
    """A data frame of pandas or polars, as far as it matters here."""

    @property
    def columns(self) -> Iterable[Any]:
        """Return the names of the columns."""

    def __getitem__(self, name: Any, /) -> Any:
        """Return one column."""


def request_of(data: Rows | Columns | Frame) -> dict[str, Any]:
    """Return a V2 request: one named tensor per column, one value per row; a missing value is null."""
    columns = _columns(data)
    lengths = {name: len(values) for name, values in columns.items()}
    if not lengths or 0 in lengths.values():
        raise _refusal("there is nothing to predict", "give a row at least")
    if len(set(lengths.values())) > 1:
        raise _refusal(f"columns differ in length: {lengths}", "give one value per row")
    return {"inputs": [_tensor(name, values) for name, values in columns.items()]}


def labels_of(
    labels: Mapping[str, Label] | Sequence[Mapping[str, Any]],
) -> dict[str, Value | list[Value]] | list[dict[str, Any]]:
    """Return labels as the gateway takes them, several numbers as a list; one that is not known yet is refused."""
    if isinstance(labels, Mapping):
        return {name: _label(name, value) for name, value in labels.items()}
    return [_labelled(dict(one)) for one in labels]


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


def _columns(data: Any) -> dict[str, list[Any]]:
    if not isinstance(data, Mapping) and hasattr(data, "columns"):
        return {str(name): list(data[name]) for name in data.columns}
    if isinstance(data, Mapping) and all(_many(values) for values in data.values()):
        return {str(name): list(values) for name, values in data.items()}
    if _many(data) and all(isinstance(row, Mapping) for row in data):
        names = list(dict.fromkeys(name for row in data for name in row))
        return {str(name): [row.get(name) for row in data] for name in names}
    raise _refusal(
        f"{type(data).__name__} is neither rows nor columns",
        "give a list with a dict for each row, a dict with a list for each column, or a data frame",
    )


def _many(values: object) -> bool:
    return hasattr(values, "__len__") and not isinstance(values, (str, bytes, Mapping))


def _tensor(name: str, values: Sequence[Any]) -> dict[str, Any]:
    sent = [_plain(value, f"column {name!r}") for value in values]
    return {"name": name, "shape": [len(sent)], "datatype": _datatype(sent), "data": sent}


def _labelled(one: dict[str, Any]) -> dict[str, Any]:
    if "label" in one:
        one["label"] = _label(str(one.get("request_id")), one["label"])
    if isinstance(one.get("at"), datetime):
        one["at"] = one["at"].isoformat()
    return one


def _label(request_id: str, value: Any) -> Value | list[Value]:
    if _many(value) and hasattr(value, "__getitem__") and getattr(value, "size", 0) != 1:
        return [_plain(one, f"the label of {request_id!r}") for one in value]
    found = _plain(value, f"the label of {request_id!r}")
    if found is None:
        raise _refusal(f"the label of {request_id!r} is missing", "send it once it is known")
    return found


def _plain(value: Any, what: str) -> Value:
    """Return the value as JSON knows it; NaN, and what pandas calls missing, is None."""
    # Values of NumPy and pandas know how to become Python's own; an array of several does not.
    item = getattr(value, "item", None)
    found = item() if callable(item) and getattr(value, "size", 1) == 1 else value
    if found is None or type(found).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(found, bool | str):
        return found
    if isinstance(found, float) and math.isnan(found):
        return None
    if isinstance(found, float) and math.isfinite(found):
        return found
    if isinstance(found, int) and -_INT64 <= found < _INT64:
        return found
    raise _refusal(
        f"{what}: {str(found)[:80]!r} ({type(found).__name__}) cannot be sent",
        "send text, true or false, or a finite number of 64 bits",
    )


def _refusal(problem: str, hint: str) -> RefusedError:
    return RefusedError("client", _OPERATION, problem, hint)


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
