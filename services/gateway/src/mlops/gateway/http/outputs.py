# SPDX-License-Identifier: Apache-2.0
"""Outputs: the tensors in an answer of inference, be they JSON or binary, so that two answers can be compared."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import orjson

from mlops.gateway.model.comparison import Tensor
from mlops.gateway.model.datatypes import BFLOAT, CODES

# Names of what differs between versions that answer the same.
_ABOUT = frozenset({"model_name", "model_version", "id", "parameters", "metadata"})


def outputs_of(body: bytes, header_length: str | None) -> dict[str, Tensor] | None:
    """Return the tensors of an answer by name, or None for one that cannot be read."""
    try:
        if header_length is None:
            return _outputs(orjson.loads(body), memoryview(b""))
        at = int(header_length)
        return _outputs(orjson.loads(body[:at]), memoryview(body)[at:])
    except (ValueError, TypeError, KeyError, AttributeError, struct.error):
        return None


def _outputs(said: object, binary: memoryview) -> dict[str, Tensor]:
    outputs = said.get("outputs") if isinstance(said, dict) else None
    if not isinstance(outputs, list):
        leaves = tuple(_leaves(said))
        return {"": Tensor((len(leaves),), leaves)}
    found = {}
    for one in outputs:
        size = (one.get("parameters") or {}).get("binary_data_size")
        if size is None:
            values: Sequence[object] = tuple(_leaves(one["data"]))
        else:
            values, binary = _unpacked(one["datatype"], binary[:size]), binary[size:]
        found[str(one["name"])] = Tensor(tuple(one["shape"]), values)
    return found


def _leaves(said: object) -> Iterator[object]:
    """Yield what is in lists and objects of any depth, in order."""
    waiting = [said]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting.extend(reversed(one))
        elif isinstance(one, dict):
            waiting.extend(one[name] for name in sorted(one, reverse=True) if name not in _ABOUT)
        else:
            yield one


def _unpacked(datatype: str, raw: memoryview) -> Sequence[object]:
    if datatype == BFLOAT:
        halves = struct.unpack(f"<{len(raw) // 2}H", raw)
        return struct.unpack(f"<{len(halves)}f", struct.pack(f"<{len(halves)}I", *(one << 16 for one in halves)))  # fmt: skip
    code = CODES.get(datatype)
    if code is None:  # strings: each with its length before it
        return (bytes(raw),)
    return struct.unpack(f"<{len(raw) // struct.calcsize(code)}{code}", raw)
