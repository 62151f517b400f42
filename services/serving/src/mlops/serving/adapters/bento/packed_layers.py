# SPDX-License-Identifier: Apache-2.0
"""Layers: a model as safetensors and a list of layers in JSON, computed by NumPy, MLX, PyTorch or ONNX Runtime.

`architecture.json` is `{"format": 1, "layers": [{"kind": "linear", "weight": "0.weight", "bias": "0.bias"}, …]}`;
a linear layer's weight is [out, in], as PyTorch and MLX keep it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ARCHITECTURE = "architecture.json"
# By kind: the tensors it needs, and those it may have.
KINDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "linear": (("weight",), ("bias",)),
    "layer_norm": (("weight",), ("bias",)),
    **dict.fromkeys(
        (
            "relu",
            "leaky_relu",
            "sigmoid",
            "tanh",
            "silu",
            "gelu_tanh",
            "softmax",
            "flatten",
            "dropout",
        ),
        ((), ()),
    ),
}
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class LayersError(ValueError):
    """The architecture or its weights are not what they must be; says which."""


@dataclass(frozen=True)
class Layer:
    """One layer: its kind, its tensors by role, and its one number (slope or epsilon), if it has one."""

    kind: str
    tensors: dict[str, Any]
    number: float


def read_layers(folder: Path) -> list[Layer]:
    """Return the layers of a folder; LayersError when something is missing or does not fit."""
    try:
        told = json.loads((folder / ARCHITECTURE).read_text())
        listed = told["layers"]
        if told.get("format") != 1 or not isinstance(listed, list) or not listed:
            raise LayersError(f'{ARCHITECTURE} must be {{"format": 1, "layers": […]}}')
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise LayersError(f"{ARCHITECTURE} cannot be read: {error}") from error
    weights = read_weights(folder)
    layers = [_layer(place, one, weights) for place, one in enumerate(listed)]
    sizes(layers)
    return layers


def sizes(layers: list[Layer]) -> tuple[int, int]:
    """Return how many numbers a row has, and its answer; LayersError when two layers do not fit together."""
    linear = [one.tensors["weight"] for one in layers if one.kind == "linear"]
    if not linear:
        raise LayersError("there is no linear layer, so nothing says how long a row is")
    width = linear[0].shape[1]
    for place, layer in enumerate(layers):
        weight = layer.tensors.get("weight")
        if weight is None:
            continue
        if weight.shape[-1] != width:
            raise LayersError(
                f"layer {place} ({layer.kind}) takes {weight.shape[-1]} numbers, not {width}"
            )
        width = weight.shape[0]
    return linear[0].shape[1], width


def read_weights(folder: Path) -> dict[str, Any]:
    """Return the tensors of all safetensors files as float32."""
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise LayersError(f"there is no .safetensors file beside {ARCHITECTURE}")
    found: dict[str, Any] = {}
    for file in files:
        found |= _read_safetensors(file)
    return found


def _read_safetensors(file: Path) -> dict[str, Any]:
    # The format is a length, JSON, and bytes: reading it here spares a library, and gives bfloat16 too.
    kept = file.read_bytes()
    try:
        start = 8 + int.from_bytes(kept[:8], "little")
        header = json.loads(kept[8:start])
        return {
            name: _tensor(one, kept[start:])
            for name, one in header.items()
            if name != "__metadata__"
        }
    except (ValueError, KeyError, TypeError) as error:
        raise LayersError(f"{file.name} cannot be read as safetensors: {error}") from error


def _tensor(one: dict[str, Any], body: bytes) -> Any:
    begin, end = one["data_offsets"]
    found = np.frombuffer(body[begin:end], _DTYPES[one["dtype"]]).reshape(one["shape"])
    if one["dtype"] == "BF16":  # the upper half of a float32
        found = (found.astype(np.uint32) << 16).view(np.float32)
    return found.astype(np.float32)


def _layer(place: int, told: Any, weights: dict[str, Any]) -> Layer:
    kind = told.get("kind") if isinstance(told, dict) else None
    if kind not in KINDS:
        raise LayersError(f"layer {place} has the kind {kind!r}; known are: {', '.join(KINDS)}")
    needed, possible = KINDS[kind]
    tensors = {}
    for role in (*needed, *(one for one in possible if told.get(one))):
        if told.get(role) not in weights:
            raise LayersError(
                f"layer {place} ({kind}) needs the {role} {told.get(role)!r}, which is in no file"
            )
        tensors[role] = weights[told[role]]
    number = told.get("negative_slope", 0.01) if kind == "leaky_relu" else told.get("eps", 1e-5)
    return Layer(kind, tensors, float(number))
