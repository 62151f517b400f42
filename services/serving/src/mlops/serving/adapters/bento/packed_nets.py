# SPDX-License-Identifier: Apache-2.0
"""Nets: the layers of a model, computed by one of four libraries that agree with each other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .packed_layers import Layer

Net = Callable[[Any], Any]
_GELU = (0.7978845608028654, 0.044715)


@dataclass(frozen=True)
class _Maths:
    """What the libraries call differently; all else is the same in the three."""

    tensor: Callable[[Any], Any]
    where: Callable[[Any, Any, Any], Any]
    tanh: Callable[[Any], Any]
    softmax: Callable[[Any], Any]


def numpy_net(layers: list[Layer]) -> Net:
    """Return the model in NumPy."""
    return _composed(layers, _Maths(np.asarray, np.where, np.tanh, _softmax))


def mlx_net(layers: list[Layer]) -> Net:
    """Return the model in MLX, on whatever device is its default."""
    import mlx.core as mx  # noqa: PLC0415 - only this backend has it

    maths = _Maths(mx.array, mx.where, mx.tanh, lambda x: mx.softmax(x, axis=-1))
    compiled = mx.compile(_composed(layers, maths))
    return lambda rows: np.array(compiled(mx.array(rows)))


def torch_net(layers: list[Layer], device: str) -> Net:
    """Return the model in PyTorch on a device (`mps`, `cuda`, `cpu`)."""
    import torch  # noqa: PLC0415 - only this backend has it

    def tensor(values: Any) -> Any:
        return torch.as_tensor(np.ascontiguousarray(values)).to(device)

    maths = _Maths(tensor, torch.where, torch.tanh, lambda x: torch.softmax(x, dim=-1))
    net = _composed(layers, maths)

    def run(rows: Any) -> Any:
        with torch.inference_mode():
            return net(tensor(rows)).cpu().numpy()

    return run


def onnx_model(layers: list[Layer]) -> bytes:
    """Return the model as an ONNX graph, input `rows`, output `answers`."""
    from onnx import TensorProto, helper  # noqa: PLC0415 - only this backend has it

    graph = _Graph()
    last = "rows"
    for layer in layers:
        last = graph.add(layer, last)
    graph.node("Identity", [last], "answers")
    side = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("rows", "answers")
    ]
    made = helper.make_graph(graph.nodes, "layers", side[:1], side[1:], graph.tensors)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    serialised: bytes = model.SerializeToString()
    return serialised


def _softmax(values: Any) -> Any:
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def _composed(layers: list[Layer], maths: _Maths) -> Net:
    steps = [_step(layer, maths) for layer in layers if layer.kind != "dropout"]

    def run(values: Any) -> Any:
        for step in steps:
            values = step(values)
        return values

    return run


def _step(layer: Layer, maths: _Maths) -> Net:
    if layer.kind == "linear":
        return _linear(layer, maths)
    if layer.kind == "layer_norm":
        return _layer_norm(layer, maths)
    plain: dict[str, Net] = {
        "relu": lambda x: maths.where(x > 0, x, x * 0),
        "leaky_relu": lambda x: maths.where(x > 0, x, x * layer.number),
        "tanh": maths.tanh,
        # By tanh, which overflows nowhere.
        "sigmoid": lambda x: (maths.tanh(x * 0.5) + 1) * 0.5,
        "silu": lambda x: x * (maths.tanh(x * 0.5) + 1) * 0.5,
        "gelu_tanh": lambda x: x * 0.5 * (maths.tanh((x + x * x * x * _GELU[1]) * _GELU[0]) + 1),
        "softmax": maths.softmax,
        "flatten": lambda x: x.reshape(x.shape[0], -1),
    }
    return plain[layer.kind]


def _linear(layer: Layer, maths: _Maths) -> Net:
    weight = maths.tensor(layer.tensors["weight"].T.copy())
    if "bias" not in layer.tensors:
        return lambda x: x @ weight
    bias = maths.tensor(layer.tensors["bias"])
    return lambda x: x @ weight + bias


def _layer_norm(layer: Layer, maths: _Maths) -> Net:
    weight = maths.tensor(layer.tensors["weight"])
    bias = maths.tensor(layer.tensors.get("bias", np.zeros_like(layer.tensors["weight"])))

    def run(x: Any) -> Any:
        apart = x - x.mean(axis=-1, keepdims=True)
        spread = (apart * apart).mean(axis=-1, keepdims=True)
        return apart * (spread + layer.number) ** -0.5 * weight + bias

    return run


_OPERATORS = {"relu": "Relu", "tanh": "Tanh", "sigmoid": "Sigmoid", "dropout": "Identity"}


class _Graph:
    """An ONNX graph in the making."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.tensors: list[Any] = []

    def add(self, layer: Layer, last: str) -> str:
        """Add a layer behind what is called *last*; return the name of its answer."""
        if layer.kind == "linear":
            return self._linear(layer, last)
        if layer.kind == "layer_norm":
            tensors = [self._tensor(one) for one in layer.tensors.values()]
            return self.node("LayerNormalization", [last, *tensors], epsilon=layer.number)
        if layer.kind in ("silu", "gelu_tanh"):
            return self._gated(layer.kind, last)
        if layer.kind == "leaky_relu":
            return self.node("LeakyRelu", [last], alpha=layer.number)
        if layer.kind in ("softmax", "flatten"):
            axis = -1 if layer.kind == "softmax" else 1
            return self.node(layer.kind.capitalize(), [last], axis=axis)
        return self.node(_OPERATORS[layer.kind], [last])

    def node(self, operator: str, inputs: list[str], name: str = "", **attributes: Any) -> str:
        """Add a node; return the name of its answer."""
        from onnx import helper  # noqa: PLC0415 - as above

        name = name or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [name], **attributes))
        return name

    def _linear(self, layer: Layer, last: str) -> str:
        found = self.node("MatMul", [last, self._tensor(layer.tensors["weight"].T.copy())])
        if "bias" not in layer.tensors:
            return found
        return self.node("Add", [found, self._tensor(layer.tensors["bias"])])

    def _gated(self, kind: str, last: str) -> str:
        if kind == "silu":
            return self.node("Mul", [last, self.node("Sigmoid", [last])])
        scale, cubic, half, one = (
            self._tensor(np.asarray(number, np.float32)) for number in (*_GELU, 0.5, 1.0)
        )
        cube = self.node("Mul", [last, self.node("Mul", [last, last])])
        inner = self.node("Add", [last, self.node("Mul", [cube, cubic])])
        gate = self.node("Add", [self.node("Tanh", [self.node("Mul", [inner, scale])]), one])
        return self.node("Mul", [self.node("Mul", [last, half]), gate])

    def _tensor(self, values: Any) -> str:
        from onnx import numpy_helper  # noqa: PLC0415 - as above

        name = f"w{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(values, name))
        return name
