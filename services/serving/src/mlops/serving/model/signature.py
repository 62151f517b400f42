# SPDX-License-Identifier: Apache-2.0
"""What an MLflow model takes and gives: read from its MLmodel file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mlops.serving.model.tensors import DTYPES, Field

_COLUMN_TYPES = {
    "boolean": "BOOL",
    "integer": "INT32",
    "long": "INT64",
    "float": "FP32",
    "double": "FP64",
    "string": "BYTES",
    "datetime": "BYTES",
}
_TENSOR_TYPES = {
    "bool": "BOOL",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "str": "BYTES",
    "object": "BYTES",
    **{name.lower(): name for name in DTYPES if "INT" in name},
}


class UnservableError(ValueError):
    """The model's own description says that it cannot be served here."""


def fields(described: str | None, default: str) -> tuple[Field, ...]:
    """Return the fields of one side of a signature, as MLflow writes it; nothing when it has none."""
    if not described:
        return ()
    return tuple(
        _field(one, f"{default}{place}" if place else default)
        for place, one in enumerate(json.loads(described))
    )


def optional(described: str | None) -> frozenset[str]:
    """Return the names of the columns that may be missing or null."""
    listed = json.loads(described) if described else []
    return frozenset(
        str(one["name"]) for one in listed if not one.get("required", True) and "name" in one
    )


def example_rows(described: Mapping[str, Any] | None) -> dict[str, list[Any]] | list[Any] | None:
    """Return the model's input example as columns or as a tensor; None when it has none we can use."""
    if not described:
        return None
    split = described.get("dataframe_split")
    if split and split.get("columns"):
        rows: Sequence[Sequence[Any]] = split["data"]
        return {str(name): [row[i] for row in rows] for i, name in enumerate(split["columns"])}
    tensor = described.get("inputs", described.get("instances"))
    return tensor if isinstance(tensor, list | dict) else None


def _field(one: Mapping[str, Any], unnamed: str) -> Field:
    name = str(one.get("name", unnamed))
    kind = one.get("type")
    if kind == "tensor":
        spec = one["tensor-spec"]
        datatype = _TENSOR_TYPES.get(spec["dtype"])
        shape = tuple(int(size) for size in spec["shape"])
    else:
        datatype, shape = _COLUMN_TYPES.get(str(kind)), (-1,)
    if datatype is None:
        found = one.get("tensor-spec", {}).get("dtype", kind)
        raise UnservableError(
            f"{name!r} of the model's signature has type {found!r}, which the Open Inference "
            "Protocol cannot carry; log the model with plain columns or tensors"
        )
    return Field(name, datatype, shape)
