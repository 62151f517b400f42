# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: PLC0415 - only the kind that is asked for needs its library
"""Models of every format that is no pickle, small and exact: logged and registered for the tests of packing.

All but the texts answer a row of `temperature, dew_point, visibility` with twice the temperature.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature

# A class that MLX and PyTorch can make again must be in a module of its own.
sys.path.append(str(Path(__file__).parent))

FROM_CODE = """
import mlflow
import mlflow.pyfunc


class Twice(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input):
        return (model_input["temperature"] * 2).to_numpy()


mlflow.models.set_model(Twice())
"""


def register(model: str, kind: str, rows: pd.DataFrame) -> int:
    """Register a model of a kind; return its version."""
    with tempfile.TemporaryDirectory() as folder:
        return KINDS[kind](model, rows, Path(folder))


def _from_code(model: str, rows: pd.DataFrame, folder: Path) -> int:
    (folder / "twice.py").write_text(FROM_CODE)
    done = mlflow.pyfunc.log_model(
        name="model",
        python_model=str(folder / "twice.py"),
        registered_model_name=model,
        input_example=rows[:2],
        signature=infer_signature(rows, rows["temperature"].to_numpy()),
        pip_requirements=["mlflow", "pandas"],
    )
    return int(done.registered_model_version)


def _onnx(model: str, rows: pd.DataFrame, _: Path) -> int:
    import mlflow.onnx

    done = mlflow.onnx.log_model(
        _graph(),
        name="model",
        registered_model_name=model,
        input_example=rows[:2].to_numpy().astype(np.float32),
        signature=infer_signature(rows.to_numpy().astype(np.float32), np.zeros((2, 1), np.float32)),
        onnx_execution_providers=["CPUExecutionProvider"],
        pip_requirements=["onnxruntime", "numpy"],
        save_as_external_data=False,
    )
    return int(done.registered_model_version)


def _onnx_file(model: str, _: pd.DataFrame, folder: Path) -> int:
    import onnx

    onnx.save(_graph(), str(folder / "twice.onnx"))
    return _files(model, folder)


def _layers(model: str, _: pd.DataFrame, folder: Path) -> int:
    from safetensors.numpy import save_file

    save_file({"w": WEIGHT, "b": np.zeros(1, np.float32)}, str(folder / "weights.safetensors"))
    layers = [{"kind": "linear", "weight": "w", "bias": "b"}]
    (folder / "architecture.json").write_text(json.dumps({"format": 1, "layers": layers}))
    return _files(model, folder)


def _mlx(model: str, rows: pd.DataFrame, folder: Path) -> int:
    import mlx.core as mx
    from mlx import nn

    module = nn.Linear(3, 1, bias=False)
    module.weight = mx.array(WEIGHT)
    return _saved(model, module, rows, folder, {"input_dims": 3, "output_dims": 1, "bias": False})


def _torch(model: str, rows: pd.DataFrame, folder: Path) -> int:
    import torch

    module = torch.nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(WEIGHT))
    return _saved(model, module, rows, folder, {"in_features": 3, "out_features": 1, "bias": False})


def _saved(
    model: str, module: Any, rows: pd.DataFrame, folder: Path, made_with: dict[str, Any]
) -> int:
    """Register what the platform's client writes."""
    from mlops.client.models import save

    example = rows[:2].to_numpy().astype(np.float32)
    architecture = {"kwargs": made_with}
    save(module, folder / "m", name=model, input_example=example, architecture=architecture)
    return _files(model, folder / "m")


def _xgboost(model: str, rows: pd.DataFrame, _: Path) -> int:
    import mlflow.xgboost
    import xgboost

    fitted = xgboost.train(
        {"nthread": 1}, xgboost.DMatrix(rows, label=rows["temperature"] * 2), 200
    )
    done = mlflow.xgboost.log_model(
        fitted,
        name="model",
        registered_model_name=model,
        input_example=rows[:2],
        signature=infer_signature(rows, np.zeros(2, np.float32)),
        pip_requirements=["xgboost"],
    )
    return int(done.registered_model_version)


def _texts(model: str, _: pd.DataFrame, folder: Path) -> int:
    from tiny_texts import write  # type: ignore[import-not-found]  # beside this file, of a program

    write(folder)
    return _files(model, folder)


def _words(model: str, _: pd.DataFrame, folder: Path) -> int:
    from safetensors.numpy import save_file

    save_file({"w": WEIGHT}, str(folder / "model.safetensors"))
    (folder / "config.json").write_text(json.dumps({"words": ["rain", "falls", "on", "hills"]}))
    (folder / "tokenizer.json").write_text("{}")
    return _files(model, folder)


def _coreml(model: str, _: pd.DataFrame, folder: Path) -> int:
    package = folder / "twice.mlpackage"
    package.mkdir()
    (package / "Manifest.json").write_text("{}")
    return _files(model, folder)


def _nothing(model: str, _: pd.DataFrame, folder: Path) -> int:
    (folder / "notes.txt").write_text("weights follow")
    return _files(model, folder)


def _odd(model: str, rows: pd.DataFrame, folder: Path) -> int:
    """Register a model whose signature has a type that no tensor has."""
    from mlflow.models import Model

    version = _from_code(model, rows, folder)
    source = mlflow.MlflowClient().get_model_version(model, str(version)).source
    local = Path(mlflow.artifacts.download_artifacts(source, dst_path=str(folder / "m")))
    described = Model.load(str(local)).to_dict()
    inputs = [{"type": "array", "items": {"type": "double"}, "name": "temperature"}]
    described["signature"]["inputs"] = json.dumps(inputs)
    Model.from_dict(described).save(str(local / "MLmodel"))
    return _files(model, local)


def _files(model: str, folder: Path) -> int:
    """Register a folder as it is."""
    run = mlflow.active_run()
    assert run is not None
    mlflow.log_artifacts(str(folder), "model")
    source = f"{run.info.artifact_uri}/model"
    client = mlflow.MlflowClient()
    if not client.search_registered_models(f"name = '{model}'"):
        client.create_registered_model(model)
    return int(client.create_model_version(model, source, run.info.run_id).version)


def _graph() -> Any:
    from onnx import TensorProto, helper, numpy_helper

    rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", 3])
    twice = helper.make_tensor_value_info("twice", TensorProto.FLOAT, ["n", 1])
    node = helper.make_node("MatMul", ["rows", "w"], ["twice"])
    weight = numpy_helper.from_array(WEIGHT.T.copy(), "w")
    graph = helper.make_graph([node], "twice", [rows], [twice], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


WEIGHT = np.array([[2.0, 0.0, 0.0]], np.float32)
KINDS: dict[str, Callable[[str, pd.DataFrame, Path], int]] = {
    "from-code": _from_code,
    "onnx": _onnx,
    "onnx-file": _onnx_file,
    "layers": _layers,
    "mlx": _mlx,
    "torch": _torch,
    "xgboost": _xgboost,
    "texts": _texts,
    "words": _words,
    "coreml": _coreml,
    "nothing": _nothing,
    "odd": _odd,
}
