# SPDX-License-Identifier: Apache-2.0
"""Trains and registers small models of four formats, in a process of its own: importing MLflow takes longer.

Reads {"project", "model", "kinds", "keep"} on standard input, with MLFLOW_TRACKING_URI set; answers the versions, and
keeps scikit-learn's model as a joblib file besides, for other servers, when *keep* names one. All take rows of four
numbers. Kinds: sklearn (kept with skops), onnx, layers (safetensors and their architecture), pyfunc (from code), slow
(the same, with a pause).
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import joblib
import mlflow
import mlflow.onnx
import mlflow.pyfunc
import mlflow.sklearn
import numpy as np
from mlflow.models import infer_signature
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression

FEATURES = 4
ROWS = np.random.default_rng(7).random((400, FEATURES))
SINGLE = ROWS.astype(np.float32)
WEIGHT = np.array([[2.0, 0.0, 0.0, 0.0]], np.float32)
CODE = """
import mlflow.pyfunc


class Twice(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input):
        return model_input[:, 0] * 2


mlflow.models.set_model(Twice())
"""


SLOW = CODE.replace("        return", "        time.sleep(0.5)\n        return").replace(
    "import", "import time\n\nimport", 1
)


def fitted() -> LogisticRegression:
    """Return the model that every server of the comparison answers from."""
    return LogisticRegression().fit(ROWS, (ROWS[:, 0] > 0.5).astype(int))


def sklearn(model: str, _: Path) -> int:
    """Register scikit-learn's own, kept without pickle."""
    found = fitted()
    done = mlflow.sklearn.log_model(
        found,
        name="model",
        registered_model_name=model,
        serialization_format="skops",
        input_example=ROWS[:2],
        signature=infer_signature(ROWS, found.predict(ROWS)),
        pip_requirements=["scikit-learn", "skops"],
    )
    return int(done.registered_model_version)


def onnx(model: str, _: Path) -> int:
    """Register a graph of one multiplication."""
    rows = helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", FEATURES])
    twice = helper.make_tensor_value_info("twice", TensorProto.FLOAT, ["n", 1])
    node = helper.make_node("MatMul", ["rows", "w"], ["twice"])
    weight = numpy_helper.from_array(WEIGHT.T.copy(), "w")
    graph = helper.make_graph([node], "twice", [rows], [twice], [weight])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    done = mlflow.onnx.log_model(
        made,
        name="model",
        registered_model_name=model,
        input_example=SINGLE[:2],
        signature=infer_signature(SINGLE, np.zeros((2, 1), np.float32)),
        onnx_execution_providers=["CPUExecutionProvider"],
        pip_requirements=["onnxruntime", "numpy"],
        save_as_external_data=False,
    )
    return int(done.registered_model_version)


def layers(model: str, folder: Path) -> int:
    """Register weights and the layers they belong to, as MLX and PyTorch users keep them."""
    save_file({"w": WEIGHT, "b": np.zeros(1, np.float32)}, str(folder / "weights.safetensors"))
    kinds = [{"kind": "linear", "weight": "w", "bias": "b"}]
    (folder / "architecture.json").write_text(json.dumps({"format": 1, "layers": kinds}))
    run = mlflow.active_run()
    mlflow.log_artifacts(str(folder), "model")
    client = mlflow.MlflowClient()
    if not client.search_registered_models(f"name = '{model}'"):
        client.create_registered_model(model)
    source = f"{run.info.artifact_uri}/model"
    return int(client.create_model_version(model, source, run.info.run_id).version)


def pyfunc(model: str, folder: Path) -> int:
    """Register plain Python."""
    return _from_code(model, folder, CODE)


def _from_code(model: str, folder: Path, code: str) -> int:
    (folder / "code.py").write_text(code)
    done = mlflow.pyfunc.log_model(
        name="model",
        python_model=str(folder / "code.py"),
        registered_model_name=model,
        input_example=ROWS[:2],
        signature=infer_signature(ROWS, ROWS[:, 0]),
        pip_requirements=["mlflow", "numpy"],
    )
    return int(done.registered_model_version)


def slow(model: str, folder: Path) -> int:
    """Register plain Python that takes its time."""
    return _from_code(model, folder, SLOW)


KINDS = {"slow": slow, "sklearn": sklearn, "onnx": onnx, "layers": layers, "pyfunc": pyfunc}


def main(project: str, model: str, kinds: list[str], keep: str = "") -> list[int]:
    """Register a version of each kind."""
    if keep:
        joblib.dump(fitted(), keep)
    if project not in [one.name for one in mlflow.list_workspaces()]:
        mlflow.create_workspace(project)
    mlflow.set_workspace(project)
    mlflow.set_experiment(project)
    versions = []
    for kind in kinds:
        with mlflow.start_run(), tempfile.TemporaryDirectory() as folder:
            versions.append(KINDS[kind](model, Path(folder)))
    return versions


if __name__ == "__main__":
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what MLflow prints is no answer
    wish: dict[str, Any] = json.load(sys.stdin)
    answer.write(json.dumps(main(**wish)) + "\n")
    answer.close()
