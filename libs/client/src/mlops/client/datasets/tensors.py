# SPDX-License-Identifier: Apache-2.0
"""Arrays and tensors from mapped files: `.npy` and safetensors for NumPy, and what MLX loads itself."""

from __future__ import annotations

import json
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from mlops.client.datasets.mapped import gone
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
        found: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError as error:
        raise gone(path) from error
    except ValueError as error:
        raise _unreadable(name, f"is no .npy file of numbers: {error}") from error
    return found


def arrays(held: memoryview, name: str) -> dict[str, np.ndarray]:
    """Return the tensors of a safetensors file: its header says where in the bytes each one is."""
    header, start = _header(held, name)
    try:
        return {
            tensor: _tensor(held[start:], told, name)
            for tensor, told in header.items()
            if tensor != "__metadata__"
        }
    except (KeyError, TypeError, ValueError) as error:
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


def _tensor(body: memoryview, told: dict[str, Any], name: str) -> np.ndarray:
    import numpy as np  # noqa: PLC0415 - opening a dataset needs no NumPy

    kind = _KINDS.get(told["dtype"])
    if kind is None:
        raise _unreadable(name, f"holds {told['dtype']}, which NumPy does not know; use mlx()")
    start, end = told["data_offsets"]
    return np.frombuffer(body[start:end], dtype=kind).reshape(told["shape"])


def _unreadable(name: str, problem: str) -> BadInputError:
    return BadInputError("dataset", "read", f"{name!r} {problem}", "read it with bytes()")
