# SPDX-License-Identifier: Apache-2.0
"""load(): a packed model in memory, by the backend that the Bento was packed for.

Each model has `answer(values)`: columns by name or one tensor in; an array, a dict, a frame or a list out.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .packed_layers import read_layers
from .packed_nets import mlx_net, numpy_net, onnx_model, torch_net
from .packed_rows import frame_of, is_numeric, matrix_of
from .packed_text import Texts
from .packed_thread import OneThread

PROVIDERS = ("CUDAExecutionProvider", "CoreMLExecutionProvider", "CPUExecutionProvider")
_PORTABLE = "mlops_portable_model"


def load(folder: Path, spec: dict[str, Any]) -> Any:
    """Return the model of a folder."""
    code = folder / "code"
    if code.is_dir():  # what the project's own classes need
        sys.path.insert(0, str(code))
    backend = spec["backend"]
    if backend in ("mlx", "mlx-lm", "coreml"):
        # MLX's streams belong to the thread that made them, and none of the three stands two calls at once.
        return OneThread(lambda: _LOADERS[backend](folder, spec))
    return _LOADERS[backend](folder, spec)


class SklearnModel:
    """Calls the estimator with a plain array where it can, with a data frame where it must."""

    def __init__(self, folder: Path, spec: dict[str, Any]) -> None:
        # The rows come in the order of the signature; scikit-learn only sees that they carry no names.
        warnings.filterwarnings("ignore", message="X does not have valid feature names")
        model = _estimator(folder / spec["file"], spec)
        self._call = getattr(model, spec["predict_fn"])
        self._names = [field["name"] for field in spec["inputs"]]
        self._wants_frame = _selects_by_name(model)

    def answer(self, values: Any) -> Any:
        """Return the estimator's predictions."""
        if self._wants_frame or not is_numeric(values):
            return self._call(frame_of(values, self._names))
        if isinstance(values, dict):
            return self._call(np.column_stack(list(values.values())))
        return self._call(values)


class PyfuncModel:
    """Anything that MLflow can load."""

    def __init__(self, folder: Path, spec: dict[str, Any]) -> None:
        if not spec["pickles"]:  # so that no loader of MLflow's finds one that nobody saw
            os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
        # Heavy (0.2 GB, seconds): only Bentos of this backend pay for it.
        import mlflow.pyfunc  # noqa: PLC0415

        self._model = mlflow.pyfunc.load_model(str(folder))
        schema = self._model.metadata.get_input_schema()
        self._names = list(schema.input_names()) if schema and schema.has_input_names() else []
        self._takes_tensors = bool(schema and schema.is_tensor_spec())
        kinds = {} if self._takes_tensors or not self._names else schema.input_dict()
        self._times = [name for name, one in kinds.items() if str(one.type) == "DataType.datetime"]

    def answer(self, values: Any) -> Any:
        """Return the model's predictions."""
        if self._takes_tensors:
            return self._model.predict(values)
        frame = frame_of(values, self._names)
        for name in self._times:  # which travel as texts, and MLflow takes none for a time
            frame[name] = frame[name].astype("datetime64[ns]")
        return self._model.predict(frame)


class OnnxModel:
    """An ONNX graph in ONNX Runtime; *made* is a graph that stands in no file."""

    def __init__(self, folder: Path, spec: dict[str, Any], made: bytes = b"") -> None:
        import onnxruntime  # noqa: PLC0415 - only this backend has it

        options = onnxruntime.SessionOptions()
        # Threads that spin while they wait would take the machine from its other models.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        there = onnxruntime.get_available_providers()
        providers = [one for one in PROVIDERS if one in there]
        graph = made or str(folder / spec["file"])
        self._session = onnxruntime.InferenceSession(graph, options, providers=providers)
        self._inputs = {one.name: _ONNX_TYPES.get(one.type) for one in self._session.get_inputs()}
        outputs = self._session.get_outputs()
        # A classifier made of scikit-learn also gives a list of dicts, which no tensor can hold.
        tensors = [one.name for one in outputs if one.type.startswith("tensor")]
        self._outputs = tensors or [one.name for one in outputs]

    def answer(self, values: Any) -> Any:
        """Return one array, or arrays by name where the graph gives several."""
        if isinstance(values, dict) and values.keys() != self._inputs.keys():
            values = np.column_stack(list(values.values()))
        if not isinstance(values, dict):
            [name] = self._inputs
            values = {name: values}
        given = {name: np.asarray(one, self._inputs[name]) for name, one in values.items()}
        found = self._session.run(self._outputs, given)
        return found[0] if len(found) == 1 else dict(zip(self._outputs, found, strict=True))


class LayersModel:
    """Safetensors and a list of layers."""

    def __init__(self, net: Callable[[Any], Any]) -> None:
        self._net = net

    def answer(self, values: Any) -> Any:
        """Return the last layer's numbers."""
        return self._net(matrix_of(values))


class ModuleModel:
    """A module of MLX or PyTorch, made again by the code that travels in its folder."""

    def __init__(self, folder: Path, spec: dict[str, Any]) -> None:
        self._portable = importlib.import_module(_PORTABLE)
        self._framework = "mlx" if spec["backend"] == "mlx" else "pytorch"
        self._module = self._portable.load(folder)
        if self._framework == "pytorch":
            self._module.to(spec["backend"].removeprefix("torch-"))
        self._columns = all(len(field["shape"]) == 1 for field in spec["inputs"])

    def answer(self, values: Any) -> Any:
        """Return arrays of NumPy."""
        given = matrix_of(values) if self._columns else values
        return self._portable.run(self._framework, self._module, given)


class CoreMLModel:
    """A Core ML package."""

    def __init__(self, folder: Path, spec: dict[str, Any]) -> None:
        import coremltools  # noqa: PLC0415 - only this backend has it

        self._model = coremltools.models.MLModel(str(folder / spec["file"]))
        self._inputs = [one.name for one in self._model.get_spec().description.input]

    def answer(self, values: Any) -> Any:
        """Return arrays by the names of the package."""
        given = (
            values if isinstance(values, dict) else dict(zip(self._inputs, [values], strict=True))
        )
        return self._model.predict(given)


def _layers_or_module(folder: Path, spec: dict[str, Any]) -> Any:
    if spec["format"] != "layers":
        return ModuleModel(folder, spec)
    layers = read_layers(folder)
    if spec["backend"] == "mlx":
        return LayersModel(mlx_net(layers))
    return LayersModel(torch_net(layers, spec["backend"].removeprefix("torch-")))


def _onnx(folder: Path, spec: dict[str, Any]) -> Any:
    if spec["format"] != "layers":
        return OnnxModel(folder, spec)
    return LayersModel(OnnxModel(folder, spec, onnx_model(read_layers(folder))).answer)


def _numpy(folder: Path, _: dict[str, Any]) -> Any:
    return LayersModel(numpy_net(read_layers(folder)))


_LOADERS: dict[str, Callable[[Path, dict[str, Any]], Any]] = {
    "sklearn": SklearnModel,
    "pyfunc": PyfuncModel,
    "onnxruntime": _onnx,
    "numpy": _numpy,
    "coreml": CoreMLModel,
    "mlx-lm": Texts,
    **dict.fromkeys(("mlx", "torch-mps", "torch-cuda", "torch-cpu"), _layers_or_module),
}
_ONNX_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
    "tensor(string)": object,
}


def _estimator(path: Path, spec: dict[str, Any]) -> Any:
    if spec["serialization"] == "skops":
        import skops.io  # noqa: PLC0415 - only where the model was written with it

        return skops.io.load(path, trusted=spec["trusted"])
    import pickle  # noqa: PLC0415 - the project allows it, or this Bento would not be

    with path.open("rb") as file:
        return pickle.load(file)  # noqa: S301 - as above


def _selects_by_name(model: Any) -> bool:
    """Return whether a part of the estimator picks columns by name, which an array does not have."""
    if type(model).__name__ == "ColumnTransformer":
        return True
    parts = [step[1] for step in getattr(model, "steps", [])]
    parts += [step[1] for step in getattr(model, "transformer_list", [])]
    parts += [one for one in (getattr(model, "estimator", None),) if one is not None]
    return any(_selects_by_name(one) for one in parts)
