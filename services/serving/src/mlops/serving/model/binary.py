# SPDX-License-Identifier: Apache-2.0
"""Tensors as raw bytes, as the protocol's binary tensor data extension lays them out: little-endian, row-major.

A string is its length in four bytes and then its UTF-8. BF16 has no type in numpy: its values are computed as float32
and travel as the upper half of their bits.
"""

from __future__ import annotations

import math
import struct

import numpy as np

from mlops.serving.model.tensors import DTYPES, Array, MalformedError, is_bf16

_LENGTH = struct.Struct("<I")
_ROUND_TO_EVEN = 0x7FFF


def decode(name: str, datatype: str, shape: tuple[int, ...], raw: memoryview) -> Array:
    """Return the tensor that *raw* holds, without a copy where its bytes can be used in place."""
    count = math.prod(shape)
    if datatype == "BYTES":
        return _strings(name, count, raw).reshape(shape)
    size = item_size(datatype)
    if len(raw) != count * size:
        raise MalformedError(
            f"input {name!r}: {datatype} of shape {list(shape)} takes {count * size} bytes, "
            f"the binary part gives it {len(raw)}; send `binary_data_size` and bytes that fit"
        )
    if datatype == "BF16":
        return from_bf16(np.frombuffer(raw, "<u2")).reshape(shape)
    values = np.frombuffer(raw, np.dtype(DTYPES[datatype]).newbyteorder("<")).reshape(shape)
    if datatype == "BOOL" and values.size and values.view(np.uint8).max() > 1:
        raise MalformedError(f"input {name!r}: a BOOL is one byte, 0 or 1")
    return values if values.flags.aligned else values.copy()


def encode(values: Array, datatype: str) -> bytes:
    """Return the bytes of *values*, which `datatype_of` or the model's signature calls *datatype*."""
    if datatype == "BYTES":
        return b"".join(_LENGTH.pack(len(one)) + one for one in map(_utf8, values.ravel().tolist()))
    if datatype == "BF16":
        return to_bf16(values).astype("<u2", copy=False).tobytes()
    return values.astype(np.dtype(DTYPES[datatype]).newbyteorder("<"), copy=False).tobytes()


def item_size(datatype: str) -> int:
    """Return the bytes that one value of a datatype takes; BYTES has no fixed size."""
    return 2 if datatype == "BF16" else np.dtype(DTYPES[datatype]).itemsize


def from_bf16(bits: Array) -> Array:
    """Return the float32 values of BF16 bits."""
    found: Array = (bits.astype(np.uint32) << 16).view(np.float32)
    return found


def to_bf16(values: Array) -> Array:
    """Return the BF16 bits of float values, rounded to the nearest, ties to even; NaN stays NaN."""
    if is_bf16(values):
        own: Array = values.view(np.uint16)
        return own
    single = np.ascontiguousarray(values, np.float32)
    bits = single.view(np.uint32)
    rounded = (bits + _ROUND_TO_EVEN + ((bits >> 16) & 1)) >> 16
    quiet = (bits >> 16) | 0x40
    found: Array = np.where(np.isnan(single), quiet, rounded).astype(np.uint16)
    return found


def _strings(name: str, count: int, raw: memoryview) -> Array:
    if count * _LENGTH.size > len(raw):  # before room for *count* is made
        raise MalformedError(_no_fit(name, count, len(raw)))
    found, at = np.empty(count, dtype=object), 0
    for place in range(count):
        start = at + _LENGTH.size
        if start > len(raw):
            raise MalformedError(_no_fit(name, count, len(raw)))
        at = start + _LENGTH.unpack_from(raw, at)[0]
        if at > len(raw):
            raise MalformedError(_no_fit(name, count, len(raw)))
        found[place] = _text(name, raw[start:at])
    if at != len(raw):
        raise MalformedError(_no_fit(name, count, len(raw)))
    return found


def _text(name: str, raw: memoryview) -> str:
    try:
        return str(raw, "utf-8")
    except UnicodeDecodeError as error:
        raise MalformedError(
            f"input {name!r}: a string is not UTF-8 ({error.reason}); send bytes as base64 text"
        ) from error


def _no_fit(name: str, count: int, size: int) -> str:
    return (
        f"input {name!r}: {size} bytes do not hold {count} strings of BYTES; "
        "each is its length as four little-endian bytes, then its UTF-8"
    )


def _utf8(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    return b"" if value is None else str(value).encode("utf-8", "surrogatepass")
