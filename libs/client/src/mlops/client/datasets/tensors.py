# SPDX-License-Identifier: Apache-2.0
"""Arrays and tensors from mapped files: `.npy` and safetensors for NumPy, and what MLX loads itself."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from mlops.client.datasets.mapped import unreadable
from mlops.client.errors import BadInputError

if TYPE_CHECKING:
    import numpy as np

    from mlops.client.adapters.mlx_arrays import Loaded

_LENGTH = 8
_KINDS = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "|i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}
_OF_MLX = ("npy", "npz", "safetensors", "gguf")


def array(path: Path, name: str) -> np.ndarray:
    """Return the array of a `.npy` file, mapped."""
    import numpy as np  # noqa: PLC0415 - opening a dataset needs no NumPy

    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise unreadable(path, error) from error
    except (EOFError, ValueError) as error:
        raise _unreadable(name, f"is no .npy file of numbers: {error}") from error
    if isinstance(found, np.ndarray):
        return found
    found.close()
    raise _unreadable(name, "is an archive of several arrays, which cannot be mapped", "use mlx()")


def arrays(held: memoryview, name: str, only: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Return the tensors of a safetensors file: its header says where in the bytes each one is."""
    header, start = _header(held, name)
    there = {tensor: told for tensor, told in header.items() if tensor != "__metadata__"}
    if missing := [tensor for tensor in only if tensor not in there]:
        raise _unreadable(name, f"has no tensor {missing[0]!r}", f"it has: {', '.join(there)}")
    wanted = {tensor: there[tensor] for tensor in only or there}
    try:
        _check_kinds(wanted, name)
        return {tensor: _tensor(held[start:], told) for tensor, told in wanted.items()}
    except BadInputError:  # which is a ValueError, too
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise _unreadable(name, f"has a header that does not fit its bytes: {error!r}") from error


def of_mlx(path: Path, name: str) -> Loaded:
    """Return what MLX loads: without a copy of ours in between."""
    kind = PurePath(name).suffix.lower().lstrip(".")
    if kind not in _OF_MLX:
        raise _unreadable(name, f"is none of {', '.join(_OF_MLX)}")
    try:
        from mlops.client.adapters import mlx_arrays  # noqa: PLC0415 - only who asks for it has it
    except ImportError as error:
        raise BadInputError("dataset", "read", "MLX is not installed", "pip install mlx") from error
    try:
        return mlx_arrays.load(path, kind)
    except ValueError as error:
        raise _unreadable(name, str(error)) from error


def _header(held: memoryview, name: str) -> tuple[dict[str, Any], int]:
    size = int.from_bytes(held[:_LENGTH], "little")
    start = _LENGTH + size
    if start > len(held):
        raise _unreadable(name, "is no safetensors file")
    try:
        header = json.loads(bytes(held[_LENGTH:start]))
    except ValueError as error:
        raise _unreadable(name, "is no safetensors file") from error
    if not isinstance(header, dict):
        raise _unreadable(name, "is no safetensors file")
    return header, start


def _check_kinds(wanted: dict[str, Any], name: str) -> None:
    foreign = {
        tensor: told["dtype"] for tensor, told in wanted.items() if told["dtype"] not in _KINDS
    }
    if foreign:
        tensor, kind = next(iter(foreign.items()))
        told = f"holds {kind} ({tensor!r} and {len(foreign) - 1} more), which NumPy does not know"
        raise _unreadable(name, told, "use mlx(), or name the other tensors with only=[…]")


def _tensor(body: memoryview, told: dict[str, Any]) -> np.ndarray:
    import numpy as np  # noqa: PLC0415 - opening a dataset needs no NumPy

    start, end = told["data_offsets"]
    if not 0 <= start <= end <= len(body):
        raise ValueError(f"bytes {start} to {end} of {len(body)}")
    return np.frombuffer(body[start:end], dtype=_KINDS[told["dtype"]]).reshape(told["shape"])


def _unreadable(name: str, problem: str, hint: str = "read it with bytes()") -> BadInputError:
    return BadInputError("dataset", "read", f"{name!r} {problem}", hint)
