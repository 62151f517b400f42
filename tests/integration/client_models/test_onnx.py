# SPDX-License-Identifier: Apache-2.0
"""ONNX models, in memory and as files, with the signature of their graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from mlops.client.errors import MLOpsClientError
from mlops.client.models import save

pytestmark = pytest.mark.timeout(240)


def _graph(weight: str = "w") -> Any:
    product = helper.make_node("MatMul", ["x", weight], ["y"])
    graph = helper.make_graph(
        [product],
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 1])],
        [helper.make_tensor("w", TensorProto.FLOAT, [4, 1], [1, 2, 3, 4])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def test_a_graph_in_memory_predicts(tmp_path: Path, rows: np.ndarray) -> None:
    package = save(_graph(), tmp_path / "m", name="net", input_example=rows[:3])

    assert package.flavors == ("onnx", "python_function")
    said = mlflow.pyfunc.load_model(str(package.folder)).predict(rows)
    assert np.allclose(said["y"], rows @ np.array([[1], [2], [3], [4]]), atol=1e-5)
    assert mlflow.onnx.load_model(str(package.folder)).graph.name == "product"


def test_the_signature_is_the_graphs_own(tmp_path: Path) -> None:
    onnx.save(_graph(), tmp_path / "net.onnx")

    package = save(tmp_path / "net.onnx", tmp_path / "m", name="net")

    signature = mlflow.models.get_model_info(str(package.folder)).signature
    assert [(one.name, one.shape) for one in signature.inputs.inputs] == [("x", (-1, 4))]
    assert [(one.name, one.shape) for one in signature.outputs.inputs] == [("y", (-1, 1))]


def test_weights_beside_the_file_come_along(tmp_path: Path, rows: np.ndarray) -> None:
    (tmp_path / "net").mkdir()
    onnx.save(
        _graph(), tmp_path / "net" / "net.onnx", save_as_external_data=True, size_threshold=0,
        location="net.bin",
    )  # fmt: skip

    package = save(tmp_path / "net" / "net.onnx", tmp_path / "m", name="net")

    said = mlflow.pyfunc.load_model(str(package.folder)).predict({"x": rows})
    assert np.allclose(said["y"], rows @ np.array([[1], [2], [3], [4]]), atol=1e-5)


def test_a_graph_that_is_wrong_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MLOpsClientError, match="the ONNX graph is wrong"):
        save(_graph(weight="nothing"), tmp_path / "m", name="net")

    assert not (tmp_path / "m").exists()


def test_a_file_that_is_no_graph_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_text("hello")

    with pytest.raises(MLOpsClientError):
        save(tmp_path / "net.onnx", tmp_path / "m", name="net")
