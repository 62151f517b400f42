# SPDX-License-Identifier: Apache-2.0
"""Arrays as MLX loads them from a file: into the memory that CPU and GPU share, when a value is first needed."""

from __future__ import annotations

from pathlib import Path

import mlx.core as mx

Loaded = mx.array | dict[str, mx.array]


def load(path: Path, kind: str) -> Loaded:
    """Return what a file of this *kind* (npy, npz, safetensors, gguf) holds; ValueError when it is none."""
    try:
        found = mx.load(str(path), format=kind)
    except RuntimeError as error:
        raise ValueError(str(error)) from error
    return found[0] if isinstance(found, tuple) else found
