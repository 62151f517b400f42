# SPDX-License-Identifier: Apache-2.0
"""ONNX models, in memory or as a file; the signature is what the graph says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow.onnx
import numpy as np
import onnx
from mlflow.models import ModelSignature
from mlflow.types.schema import Schema, TensorSpec

from mlops.client.adapters.mlflow_folder import own, shared
from mlops.client.adapters.order import Facts, Order, refusal

_OWN = ("onnx_execution_providers", "onnx_session_options")
_CPU = ["CPUExecutionProvider"]
# A message of protobuf has 2 GiB at most; the weights of a larger model stand beside it.
_ONE_MESSAGE = 2**31


def facts(model: Any) -> Facts:
    """Return size and types of the weights."""
    loaded = _loaded(model, weights=False)
    size = Path(model).stat().st_size if isinstance(model, str | Path) else loaded.ByteSize()
    kinds = {_dtype(tensor.data_type).name for tensor in loaded.graph.initializer}
    return Facts(size, frozenset(kinds))


def write(model: Any, order: Order) -> None:
    """Write the checked graph; one provider that is everywhere unless the user names others."""
    loaded = _loaded(model)
    large = loaded.ByteSize() >= _ONE_MESSAGE
    if not large:
        try:
            onnx.checker.check_model(loaded)
        except onnx.checker.ValidationError as error:
            raise refusal(f"the ONNX graph is wrong: {error}", "export it again") from error
    words = shared(order, "onnx", "onnxruntime", "numpy")
    words["signature"] = order.signature if order.signature is not None else _signature(loaded)
    words |= {"onnx_execution_providers": _CPU} | own(order, _OWN)
    mlflow.onnx.save_model(loaded, **words, save_as_external_data=large)


def _loaded(model: Any, *, weights: bool = True) -> Any:
    if not isinstance(model, str | Path):
        return model
    return onnx.load(str(model), load_external_data=weights)


def _signature(model: Any) -> ModelSignature | None:
    held = {tensor.name for tensor in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in held]
    tensors = [*inputs, *model.graph.output]
    # A classifier made of scikit-learn may give back a list of dicts; MLflow has no words for it.
    if not all(one.type.HasField("tensor_type") for one in tensors):
        return None
    return ModelSignature(
        Schema([_tensor(one) for one in inputs]),
        Schema([_tensor(one) for one in model.graph.output]),
    )


def _tensor(one: Any) -> TensorSpec:
    kind = one.type.tensor_type
    shape = tuple(side.dim_value or -1 for side in kind.shape.dim)
    return TensorSpec(_dtype(kind.elem_type), shape, one.name)


def _dtype(number: int) -> np.dtype[Any]:
    found: np.dtype[Any] = onnx.helper.tensor_dtype_to_np_dtype(number)
    return np.dtype(str) if found == np.dtype(object) else found
