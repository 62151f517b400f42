# SPDX-License-Identifier: Apache-2.0
"""The pydantic types of `predict`, made from the model's signature: what its OpenAPI shows, and what is checked."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model

_MOST_ROWS = 100_000
_FREE = {"BOOL": bool, "BYTES": str}
_ANSWERS = {"BOOL": "boolean", "BYTES": "string"}


def rows_type(spec: dict[str, Any]) -> type[BaseModel]:
    """Return the type of a request: `rows`, each an object of the features by name, or a tensor."""
    rows = Field(
        description="One entry for each prediction wanted.", min_length=1, max_length=_MOST_ROWS
    )
    row: Any = _row(spec["inputs"])
    fields: dict[str, Any] = {"rows": (list[row], rows)}
    return create_model("Rows", **fields)


def answers_type(spec: dict[str, Any]) -> Any:
    """Return the type of an answer: a list with one entry for each row; shown, not checked."""
    outputs = spec["outputs"]
    shown: dict[str, Any] = _answer(outputs[0]) if outputs else {}
    if len(outputs) > 1:
        by_name = {one["name"]: _answer(one) for one in outputs}
        shown = {"type": "object", "properties": by_name, "required": list(by_name)}
    entry: Any = Annotated[Any, WithJsonSchema(shown)]
    return list[entry]


def _row(inputs: list[dict[str, Any]]) -> Any:
    if not inputs:
        return dict[str, Any] | list[Any]
    if len(inputs) == 1 and len(inputs[0]["shape"]) > 1:
        return _tensor(inputs[0], _number(inputs[0]))
    # Columns may have names that no attribute can have: they are the aliases.
    fields: dict[str, Any] = {f"input_{place}": _field(one) for place, one in enumerate(inputs)}
    return create_model("Row", __config__=ConfigDict(extra="forbid"), **fields)


def _field(one: dict[str, Any]) -> tuple[Any, Any]:
    kind = _tensor(one, _number(one))
    if one.get("nullable"):
        return kind | None, Field(default=None, alias=one["name"])
    return kind, Field(alias=one["name"])


def _tensor(one: dict[str, Any], kind: Any) -> Any:
    """Return the type of one row of a field: nested lists, as long as the signature says, but for the first side."""
    sides = one["shape"][1:]
    for size in reversed(sides):
        bounds = {} if size < 0 else {"min_length": size, "max_length": size}
        kind = Annotated[list[kind], Field(**bounds)]
    if not sides:
        return kind
    told = f"{one['datatype']} of shape {sides}" + (" (-1: any length)" if -1 in sides else "")
    return Annotated[kind, Field(description=f"One row of {one['name']}: {told}.")]


def _number(one: dict[str, Any]) -> Any:
    datatype = one["datatype"]
    if datatype in _FREE:
        return Annotated[_FREE[datatype], Field(strict=True)]
    if "INT" not in datatype:
        return Annotated[float, Field(strict=True, allow_inf_nan=False)]
    bits = int(datatype.partition("INT")[2])
    lowest, highest = (
        (0, 2**bits - 1) if datatype[0] == "U" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    )
    return Annotated[int, Field(strict=True, ge=lowest, le=highest)]


def _answer(one: dict[str, Any]) -> dict[str, Any]:
    """Return the JSON schema of one row of an output."""
    datatype = one["datatype"]
    shown: dict[str, Any] = {"type": _ANSWERS.get(datatype, "integer")}
    if "FP" in datatype or datatype == "BF16":
        shown = {"type": "number", "nullable": True}  # what is no number (NaN) is null in JSON
    for size in reversed(one["shape"][1:]):
        bounds = {} if size < 0 else {"minItems": size, "maxItems": size}
        shown = {"type": "array", "items": shown, **bounds}
    return shown
