# SPDX-License-Identifier: Apache-2.0
"""The `inputs` of an inference request: tensors by name, from JSON or from the bytes that follow it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlops.serving.model import binary
from mlops.serving.model.tensors import Array, Field, MalformedError, read_head, read_values

SIZE = "binary_data_size"


def read_inputs(inputs: object, raw: memoryview | None = None) -> dict[str, Array]:
    """Return the tensors of `inputs`; *raw* is what follows the JSON, None where nothing may."""
    if not isinstance(inputs, list) or not inputs:
        raise MalformedError("`inputs` must be a list of at least one tensor")
    tensors: dict[str, Array] = {}
    at = 0
    for one in inputs:
        name, datatype, shape, said = read_head(one)
        if name in tensors:
            raise MalformedError(f"`inputs` holds two tensors of the same name, {name!r}")
        size = _size_of(name, said)
        if size is None:
            tensors[name] = read_values(name, datatype, shape, said)
            continue
        tensors[name] = binary.decode(name, datatype, shape, _part(name, raw, at, size))
        at += size
    if raw is not None and at != len(raw):
        raise MalformedError(
            f"{len(raw)} bytes follow the JSON, the inputs say {at}; "
            f"each binary input needs its number in `parameters.{SIZE}`"
        )
    return tensors


def read_raw(raw: memoryview, fields: Sequence[Field]) -> dict[str, Array]:
    """Return the one tensor of a request that is nothing but its bytes."""
    if len(fields) != 1 or not _is_plain(fields[0]):
        raise MalformedError(
            "a body without JSON (Inference-Header-Content-Length: 0) is for models with one input "
            "of which at most one dimension is open; send a JSON header with `inputs`"
        )
    field = fields[0]
    if field.datatype == "BYTES":
        whole = memoryview(len(raw).to_bytes(4, "little") + bytes(raw))
        return {field.name: binary.decode(field.name, "BYTES", (1,) * len(field.shape), whole)}
    fixed = binary.item_size(field.datatype)
    for size in field.shape:
        fixed *= size if size >= 0 else 1
    if not raw or len(raw) % fixed:
        raise MalformedError(f"input {field.name!r}: {len(raw)} bytes are no whole {field.shape}")
    shape = tuple(size if size >= 0 else len(raw) // fixed for size in field.shape)
    return {field.name: binary.decode(field.name, field.datatype, shape, raw)}


def _is_plain(field: Field) -> bool:
    return sum(size < 0 for size in field.shape) <= 1 and 0 not in field.shape


def _size_of(name: str, said: Mapping[str, Any]) -> int | None:
    parameters = said.get("parameters", {})
    if not isinstance(parameters, Mapping):
        raise MalformedError(f"input {name!r}: `parameters` must be an object")
    size = parameters.get(SIZE)
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise MalformedError(f"input {name!r}: `{SIZE}` must be a number of bytes, not {size!r}")
    if "data" in said:
        raise MalformedError(f"input {name!r} has `data` and `{SIZE}`; send one of them")
    return size


def _part(name: str, raw: memoryview | None, at: int, size: int) -> memoryview:
    if raw is None:
        raise MalformedError(
            f"input {name!r} says `{SIZE}`, but the request has no header "
            "Inference-Header-Content-Length with the length of its JSON"
        )
    if at + size > len(raw):
        raise MalformedError(
            f"input {name!r} says {size} bytes, only {max(0, len(raw) - at)} follow; "
            "the binary part is cut short"
        )
    return raw[at : at + size]
