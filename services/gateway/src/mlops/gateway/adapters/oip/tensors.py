# SPDX-License-Identifier: Apache-2.0
"""Elements of a tensor in three forms: the typed fields of gRPC, plain bytes, and JSON. Without numpy, which costs 20 MB."""

from __future__ import annotations

import math
import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

from mlops.gateway.adapters.oip.open_inference_grpc_pb2 import InferTensorContents
from mlops.gateway.model.datatypes import CODES, HALVES, TEXT

_FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    TEXT: "bytes_contents",
}
DATATYPES = (*_FIELDS, *HALVES)
_LENGTH = struct.Struct("<I")


class TensorError(ValueError):
    """A tensor that is not what it says it is."""


def is_typed(datatype: str) -> bool:
    """Return whether the typed fields can hold the elements; halves travel as bytes only."""
    return datatype in _FIELDS


def elements(contents: InferTensorContents, datatype: str) -> Sequence[object]:
    """Return the typed elements; TensorError for elements in a field of another datatype."""
    if datatype not in _FIELDS:
        raise TensorError(f"{_known(datatype)} is sent as `raw_input_contents`")
    wrong = [one.name for one, _ in contents.ListFields() if one.name != _FIELDS[datatype]]
    if wrong:
        raise TensorError(f"{datatype} is sent in `{_FIELDS[datatype]}`, not in `{wrong[0]}`")
    found: Sequence[object] = getattr(contents, _FIELDS[datatype])
    return found


def packed_size(values: Sequence[object], datatype: str) -> int:
    """Return how many bytes the elements take, before any is made."""
    if datatype == TEXT:
        return sum(_LENGTH.size + len(one) for one in values if isinstance(one, bytes))
    return len(values) * (1 if datatype == "BOOL" else array(CODES[datatype]).itemsize)


def packed(values: Iterable[Any], datatype: str) -> bytes:
    """Return elements as bytes; TensorError where one does not fit its datatype."""
    try:
        if datatype == TEXT:
            return b"".join(_with_length(one) for one in values)
        if datatype == "BOOL":
            return bytes(_bit(one) for one in values)
        return _little(array(CODES[datatype], values)).tobytes()
    except (TypeError, ValueError, OverflowError, struct.error) as error:
        raise TensorError(f"an element is no {datatype}: {error}") from error


def fill(contents: InferTensorContents, raw: bytes, datatype: str) -> None:
    """Put bytes into the typed field; TensorError where they are no whole elements."""
    field = getattr(contents, _FIELDS[datatype])
    if datatype == TEXT:
        field.extend(_texts(raw))
    elif datatype == "BOOL":
        field.extend(one != 0 for one in raw)
    else:
        numbers = array(CODES[datatype])
        if len(raw) % numbers.itemsize:
            raise TensorError(f"{len(raw)} bytes are no whole {datatype}s")
        numbers.frombytes(raw)
        field.extend(_little(numbers))


def from_json(values: object, datatype: str) -> bytes:
    """Return the `data` of a JSON tensor as bytes; null is a number that is missing. Not for halves."""
    if not is_typed(datatype):
        raise TensorError(f"{_known(datatype)} does not travel as JSON")
    if datatype in ("FP32", "FP64"):
        return packed((math.nan if one is None else one for one in _flat(values)), datatype)
    return packed(_flat(values), datatype)


def check_count(values: Sequence[object], shape: Sequence[int]) -> None:
    """Raise TensorError unless there are as many elements as the shape holds."""
    if any(size < 0 for size in shape):
        raise TensorError(f"shape {list(shape)} has a size below zero")
    wanted = math.prod(shape)
    if len(values) != wanted:
        raise TensorError(f"shape {list(shape)} wants {wanted} elements, {len(values)} came")


def _known(datatype: str) -> str:
    if datatype not in DATATYPES:
        raise TensorError(f"datatype {datatype[:20]!r} is not one of {', '.join(DATATYPES)}")
    return datatype


Number = TypeVar("Number", int, float)


def _little(numbers: array[Number]) -> array[Number]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _with_length(value: object) -> bytes:
    found = value.encode() if isinstance(value, str) else value
    if not isinstance(found, bytes):
        raise TypeError(f"{type(value).__name__} is neither text nor bytes")
    return _LENGTH.pack(len(found)) + found


def _bit(value: object) -> int:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return int(value)


def _texts(raw: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(raw):
        end = at + _LENGTH.size
        size = _LENGTH.unpack(raw[at:end])[0] if end <= len(raw) else 0
        if end + size > len(raw):
            raise TensorError(f"an element ends behind the {len(raw)} bytes of its tensor")
        yield raw[end : end + size]
        at = end + size


def _flat(values: object) -> Iterator[object]:
    if not isinstance(values, list):
        yield values
        return
    for one in values:
        yield from _flat(one)
