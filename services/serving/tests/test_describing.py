# SPDX-License-Identifier: Apache-2.0
"""What is read of a version's files, what is refused in them, and what its Bento will require."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from safetensors.numpy import save_file
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer

from mlops.serving.adapters.packing.describing import check_types, describe, suspects
from mlops.serving.adapters.packing.requirements import packages_for
from mlops.serving.model.signature import UnservableError

SIGNATURE = {
    "inputs": json.dumps(
        [
            {"type": "double", "name": "wind", "required": False},
            {"type": "datetime", "name": "at", "required": True},
        ]
    ),
    "outputs": json.dumps([{"type": "long"}]),
}


def skops_model(folder: Path, model: Any, *trusted: str, file: str = "model.skops") -> Path:
    from skops.io import dump  # noqa: PLC0415 - slow

    dump(model, folder / "model.skops")
    flavor = {
        "pickled_model": file,
        "serialization_format": "skops",
        "skops_trusted_types": list(trusted),
    }
    flavors = {"sklearn": flavor, "python_function": {"predict_fn": "predict_proba"}}
    told = {"flavors": flavors, "signature": SIGNATURE}
    (folder / "MLmodel").write_text(yaml.safe_dump(told))
    return folder


def fitted() -> LogisticRegression:
    return LogisticRegression().fit([[0.0], [1.0]], [0, 1])


def test_a_scikit_learn_model_is_described_by_its_mlmodel(tmp_path: Path) -> None:
    found = describe(skops_model(tmp_path, fitted()))

    assert found.kept.name == "sklearn-skops"
    assert found.loader["predict_fn"] == "predict_proba"
    assert [(one["name"], one["datatype"], one["nullable"]) for one in found.inputs] == [
        ("wind", "FP64", True),
        ("at", "BYTES", False),
    ]
    assert [one["name"] for one in found.outputs] == ["predict"]
    assert found.size_bytes == sum(one.stat().st_size for one in tmp_path.iterdir())
    check_types(found, tmp_path)


def test_types_that_nobody_trusts_are_named_with_the_fix(tmp_path: Path) -> None:
    found = describe(skops_model(tmp_path, FunctionTransformer(np.linalg.norm)))

    with pytest.raises(UnservableError, match=r"skops_trusted_types=\['numpy\.linalg"):
        check_types(found, tmp_path)


def test_a_file_that_wants_the_standard_library_trusted_is_suspect(tmp_path: Path) -> None:
    found = describe(skops_model(tmp_path, fitted(), "os.system", "rain.Scaler"))

    assert suspects(found) == ["os.system"]


@pytest.mark.parametrize("file", ["/etc/hosts", "../model.skops", "gone.skops"])
def test_a_path_that_leads_elsewhere_is_refused(tmp_path: Path, file: str) -> None:
    with pytest.raises(UnservableError, match="is not among its files"):
        describe(skops_model(tmp_path, fitted(), file=file))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("flavors: [", "its MLmodel file cannot be read"),
        ("just text", "holds no description"),
        (
            "flavors: {python_function: {}}\nsignature: {inputs: '[{'}",
            "its signature cannot be read",
        ),
        (
            "flavors: {python_function: {}}\nsignature: {inputs: '[7]'}",
            "its signature cannot be read",
        ),
        ("flavors: {}", "neither an MLmodel file nor files that are known"),
        ("flavors: {mlx_lm: {data: m, base: org/model}}", "nothing is fetched to serve; fuse it"),
        ("flavors: {mlx: {}}", "saved as weights only"),
        ("flavors: [sklearn]", "its files cannot be understood"),
    ],
)
def test_a_description_that_cannot_be_used_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "MLmodel").write_text(text)

    with pytest.raises(UnservableError, match=said):
        describe(tmp_path)


def test_an_example_that_is_none_is_refused(tmp_path: Path) -> None:
    skops_model(tmp_path, fitted())
    (tmp_path / "serving_input_example.json").write_text("[1")

    with pytest.raises(UnservableError, match="its input example cannot be read"):
        describe(tmp_path)


def test_layers_and_graphs_have_a_signature_of_their_own(tmp_path: Path) -> None:
    save_file({"w": np.zeros((2, 3), np.float32)}, str(tmp_path / "w.safetensors"))
    told = {"format": 1, "layers": [{"kind": "linear", "weight": "w"}]}
    (tmp_path / "architecture.json").write_text(json.dumps(told))

    found = describe(tmp_path)

    assert [(one["datatype"], one["shape"]) for one in found.inputs] == [("FP32", (-1, 3))]
    assert [(one["name"], one["shape"]) for one in found.outputs] == [("predict", (-1, 2))]


def names(requirements: list[str]) -> list[str]:
    return [one.partition("==")[0] for one in requirements]


def test_a_bento_requires_what_its_backend_needs_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("mlflow==3.17\nxgboost==3\n\n# a comment\n")
    skops: dict[str, Any] = {"serialization": "skops", "trusted": ["scipy.special._ufuncs.expit"]}
    pickled: dict[str, Any] = {"serialization": "cloudpickle", "trusted": []}

    sklearn = packages_for("sklearn", "sklearn", tmp_path, skops)

    assert names(sklearn) == ["numpy", "pandas", "scikit-learn", "skops", "scipy"]
    assert all("==" in one for one in sklearn)
    assert names(packages_for("sklearn", "sklearn", tmp_path, pickled))[-1] == "cloudpickle"
    assert packages_for("pyfunc", "pyfunc", tmp_path, {}) == ["mlflow==3.17", "xgboost==3"]
    assert names(packages_for("onnx", "onnxruntime", tmp_path, {})) == ["numpy", "onnxruntime"]
    assert names(packages_for("layers", "onnxruntime", tmp_path, {}))[-1] == "onnx"
    assert names(packages_for("layers", "numpy", tmp_path, {})) == ["numpy"]


def test_a_module_also_requires_what_its_class_comes_from(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("mlflow==3.17\nmlx==0.32\npandas==3\nmy_layers==1\n")

    found = packages_for("mlx", "mlx", tmp_path, {})

    assert [one.partition("=")[0] for one in found if "mlx" in one] == ["mlx", "mlx[cpu]"]
    assert found[-1] == "my_layers==1"
    assert not any("mlflow" in one or "pandas" in one for one in found)
