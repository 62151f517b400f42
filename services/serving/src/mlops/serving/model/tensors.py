# SPDX-License-Identifier: Apache-2.0
"""Tensors of the Open Inference Protocol: read strictly, written plainly.

In JSON, `null` in a tensor of floats is a missing number (NaN), and NaN or an infinity is written as `null`: JSON has
no word for them. As binary data they travel as they are.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
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
    "BF16": "f4",  # computed as float32
    "BYTES": "O",
}
NAMES = {
    np.dtype(dtype).str[1:]: name for name, dtype in DTYPES.items() if name not in ("BYTES", "BF16")
}
_BF16_MOST = float(np.float32(3.3895314e38))
_MOST_VALUES = 4_000_000
_MOST_DIMENSIONS = 32


FLOATS = ("FP16", "FP32", "FP64", "BF16")


class MalformedError(ValueError):
    """The request does not say what this model can answer."""


@dataclass(frozen=True)
class Field:
    """One input of a model: a column when its shape is `(-1,)`, else a tensor."""

    name: str
    datatype: str
    shape: tuple[int, ...] = (-1,)


def datatype_of(values: Array) -> str | None:
    """Return the datatype of an output; None where the protocol has no word for it."""
    if values.dtype.kind in "OUSM":
        return "BYTES"
    if is_bf16(values):
        return "BF16"
    known = NAMES.get(values.dtype.newbyteorder("=").str[1:])
    return "FP64" if known is None and values.dtype.kind == "f" else known


def is_bf16(values: Array) -> bool:
    """Return whether the values have the BF16 type that some libraries add to numpy."""
    return values.dtype.kind == "V" and values.dtype.name == "bfloat16"


def texts(values: Array) -> list[str | None]:
    """Return the values of a BYTES output as strings, None where there is none."""
    return [_text(one) for one in values.ravel().tolist()]


def scalars(values: Array) -> list[Scalar]:
    """Return a column as plain values; what is no finite number is None."""
    return [_finite(one) for one in values.tolist()]


def cast(name: str, values: Array, datatype: str) -> Array:
    """Return *values* as *datatype*; MalformedError where a number would become another."""
    try:
        return _within(values, datatype)
    except OverflowError as error:
        raise MalformedError(f"input {name!r}: {error}") from error


def check_shape(field: Field, values: Array) -> None:
    """Raise MalformedError unless an input has the shape that the model takes; -1 is any size."""
    fits = values.ndim == len(field.shape) and all(
        want in (-1, have) for want, have in zip(field.shape, values.shape, strict=True)
    )
    if not fits:
        raise MalformedError(
            f"input {field.name!r} has shape {list(values.shape)}, the model takes {list(field.shape)}"
        )


def _text(value: object) -> str | None:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return None if value is None else str(value)


def _finite(value: object) -> Scalar:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, float | int | bool | str) else None


def read_head(one: object) -> tuple[str, str, tuple[int, ...], Mapping[str, Any]]:
    """Return name, datatype and shape of an input, and the input itself."""
    if not isinstance(one, Mapping) or not isinstance(one.get("name"), str):
        raise MalformedError("each input needs a `name`, a `datatype`, a `shape` and `data`")
    name, datatype = one["name"], one.get("datatype")
    if not isinstance(datatype, str) or datatype not in DTYPES:
        raise MalformedError(
            f"input {name!r}: datatype {datatype!r} is not one of {', '.join(DTYPES)}"
        )
    return name, datatype, _read_shape(name, one.get("shape")), one


def read_values(name: str, datatype: str, shape: tuple[int, ...], one: Mapping[str, Any]) -> Array:
    """Return the values of an input whose `data` is JSON."""
    if "data" not in one:
        raise MalformedError(
            f"input {name!r} has no `data`; send values in `data`, or bytes after the JSON and "
            "their number in `parameters.binary_data_size`"
        )
    if math.prod(shape) > _MOST_VALUES:
        raise MalformedError(
            f"input {name!r}: shape {list(shape)} holds more than {_MOST_VALUES} values; "
            "send less at once, or as binary tensor data"
        )
    return _read_data(name, datatype, shape, one["data"])


def _read_shape(name: str, shape: object) -> tuple[int, ...]:
    sizes = shape if isinstance(shape, list) else []
    found = tuple(one for one in sizes if type(one) is int and one >= 0)
    if not sizes or len(found) != len(sizes):
        raise MalformedError(
            f"input {name!r}: `shape` must be a list of whole numbers, not {shape!r}"
        )
    if len(found) > _MOST_DIMENSIONS:
        raise MalformedError(
            f"input {name!r} has {len(found)} dimensions; {_MOST_DIMENSIONS} are allowed"
        )
    if 0 in found:
        raise MalformedError(f"input {name!r} has no rows: its shape is {shape}")
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
    if datatype in FLOATS:
        plain = np.asarray(data)
        if plain.dtype.kind == "O":  # null is a missing number
            plain = np.asarray(data, dtype=float)
        return _fitting(plain, "biuf", datatype)
    return _fitting(np.asarray(data), "b" if datatype == "BOOL" else "iu", datatype)


def _fitting(plain: Array, kinds: str, datatype: str) -> Array:
    if plain.dtype.kind not in kinds:
        raise TypeError(f"it holds values of another kind ({plain.dtype})")
    return _within(plain, datatype)


def _within(values: Array, datatype: str) -> Array:
    wanted = np.dtype(DTYPES[datatype])
    if values.dtype == wanted and datatype != "BF16":
        return values
    if wanted.kind in "iu" and values.size:
        limits = np.iinfo(wanted)
        if int(values.min()) < limits.min or int(values.max()) > limits.max:
            allowed = f"{limits.min} … {limits.max}"
            raise OverflowError(f"a value is outside the range of {datatype} ({allowed})")
    with np.errstate(over="ignore"):
        found = values.astype(wanted)
    if datatype == "BF16" and (np.abs(found[np.isfinite(found)]) > _BF16_MOST).any():
        raise OverflowError("a value is outside the range of BF16")
    if wanted.kind == "f" and np.isinf(found).sum() > np.isinf(values).sum():
        raise OverflowError(f"a value is outside the range of {datatype}")
    return found
