# SPDX-License-Identifier: Apache-2.0
"""Which flavour a model gets, and what is said of it, without any framework."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlops.client.adapters.order import Facts
from mlops.client.errors import MLOpsClientError
from mlops.client.models import save
from mlops.client.models.apple import compatibility, flavor_of_folder
from mlops.client.models.choice import (
    check_name,
    check_options,
    choose,
    choose_path,
    is_function,
    lineage_of,
)

OBJECT = ("builtins", "object")


@pytest.mark.parametrize(
    ("lineage", "flavor"),
    [
        ([("sklearn.linear_model._logistic", "LogisticRegression"), OBJECT], "sklearn"),
        ([("mine", "Scaler"), ("sklearn.base", "BaseEstimator"), OBJECT], "sklearn"),
        ([("__main__", "Net"), ("torch.nn.modules.module", "Module"), OBJECT], "pytorch"),
        ([("net", "Net"), ("mlx.nn.layers.base", "Module"), ("builtins", "dict")], "mlx"),
        ([("mlx_lm.models.llama", "Model"), ("mlx.nn.layers.base", "Module")], "mlx"),
        ([("onnx.onnx_ml_pb2", "ModelProto"), OBJECT], "onnx"),
        ([("mine", "Rule"), ("mlflow.pyfunc.model", "PythonModel"), OBJECT], "pyfunc"),
    ],
)
def test_the_nearest_known_base_decides(lineage: list[tuple[str, str]], flavor: str) -> None:
    assert choose(lineage) == flavor


def test_a_class_of_somebody_elses_torchlike_package_is_not_torch() -> None:
    with pytest.raises(MLOpsClientError, match=r"torchlike\.Module is no model"):
        choose([("torchlike", "Module"), OBJECT])


def test_the_error_for_an_unknown_type_lists_what_works() -> None:
    with pytest.raises(MLOpsClientError) as caught:
        choose(lineage_of(dict))

    assert caught.value.component == "models"
    for works in ("scikit-learn", "torch", "mlx", "onnx", "PythonModel", "function", "MLflow"):
        assert works in caught.value.hint


def test_a_function_is_a_pyfunc() -> None:
    assert is_function(lambda rows: rows)
    assert is_function(len)
    assert not is_function(dict)
    assert choose(lineage_of(type(len)), function=True) == "pyfunc"


@pytest.mark.parametrize(
    ("asked", "flavor"), [("torch", "pytorch"), ("python_function", "pyfunc"), ("onnx", "onnx")]
)
def test_what_is_asked_for_wins(asked: str, flavor: str) -> None:
    assert choose(lineage_of(dict), asked=asked) == flavor


def test_an_unknown_flavour_is_refused_with_the_known_ones() -> None:
    with pytest.raises(MLOpsClientError, match=r"'caffe'.*sklearn, pytorch, mlx, onnx, pyfunc"):
        choose(lineage_of(dict), asked="caffe")


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["MLmodel", "model.pkl"], "mlflow"),
        (["config.json", "model-00001-of-00002.safetensors", "tokenizer.json"], "mlx_lm"),
        (["adapter_config.json", "adapters.safetensors"], "mlx_lm"),
    ],
)
def test_a_folder_is_known_by_its_files(names: list[str], kind: str) -> None:
    assert choose_path(names, folder=True, path="m") == kind


def test_a_file_is_known_by_its_name() -> None:
    assert choose_path(["net.onnx"], folder=False, path="a/net.onnx") == "onnx_file"


def test_weights_alone_are_no_model() -> None:
    with pytest.raises(MLOpsClientError, match="weights without a model"):
        choose_path(["w.safetensors"], folder=False, path="w.safetensors")


def test_a_folder_of_anything_is_no_model() -> None:
    with pytest.raises(MLOpsClientError, match="data is no model"):
        choose_path(["a.csv"], folder=True, path="data")


@pytest.mark.parametrize("name", ["", "a/b", "a:b", "a.b", "a%b", 'a"b', "a'b"])
def test_names_that_mlflow_would_refuse_are_refused_at_once(name: str) -> None:
    with pytest.raises(MLOpsClientError, match="cannot be the name of a model"):
        check_name(name)


def test_a_misspelt_option_is_named() -> None:
    with pytest.raises(MLOpsClientError, match="unknown for mlx: architectures"):
        check_options("mlx", ["architectures", "code_paths"])


def test_nothing_is_imported_to_choose() -> None:
    program = """
import sys
import mlops.client.models, mlops.client.system, mlops.client.hardware, mlops.client.callbacks.mlx
heavy = {"mlflow", "numpy", "pandas", "torch", "mlx", "onnx", "sklearn", "skops", "psutil"}
print(sorted(heavy & set(sys.modules)))
"""
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert said.stdout.strip() == "[]"


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MLOpsClientError, match="does not exist"):
        save(tmp_path / "nothing.onnx", tmp_path / "out", name="m")


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")

    with pytest.raises(MLOpsClientError, match="exists"):
        save(len, tmp_path, name="m")

    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_mlx_runs_with_mlx_alone() -> None:
    assert compatibility("mlx", Facts()) == {
        "mlx": "yes",
        "mps": "no: MLX uses Metal itself, not MPS",
        "coreml": "no: Core ML reads no MLX models",
    }


def test_doubles_keep_a_torch_module_from_metal() -> None:
    verdict = compatibility(
        "pytorch", Facts(8, frozenset({"float32", "float64"}), frozenset({"cpu"}))
    )

    assert verdict["mps"] == "no: MPS has no float64, and the model has such parameters"


def test_a_torch_module_that_is_on_metal_runs_there() -> None:
    facts = Facts(8, frozenset({"float32"}), frozenset({"mps:0"}))

    assert compatibility("pytorch", facts)["mps"] == "yes"


def test_a_torch_module_that_was_never_on_metal_is_not_promised() -> None:
    facts = Facts(8, frozenset({"float32"}), frozenset({"cpu"}))

    assert compatibility("pytorch", facts)["mps"].startswith("unknown: ")


def test_the_users_word_wins() -> None:
    told = {"coreml": "yes", "mps": "no: too large"}

    assert compatibility("sklearn", Facts(), told) == {
        "mlx": "no: scikit-learn runs on the CPU",
        "mps": "no: too large",
        "coreml": "yes",
    }


@pytest.mark.parametrize("told", [{"cuda": "yes"}, {"mlx": "maybe"}, {"mlx": "no"}, {"mlx": ""}])
def test_other_words_are_refused(told: dict[str, str]) -> None:
    with pytest.raises(MLOpsClientError, match="apple"):
        compatibility("mlx", Facts(), told)


def test_a_folder_is_judged_by_its_own_flavour() -> None:
    assert flavor_of_folder(("pytorch_safetensors", "python_function")) == "pytorch"
    assert flavor_of_folder(("xgboost", "python_function")) == "pyfunc"
