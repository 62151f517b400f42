# SPDX-License-Identifier: Apache-2.0
"""MLX modules: MLflow loads them where neither this library nor the user's code is."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlops.client.callbacks.mlx import MLXCallback
from mlops.client.errors import MLOpsClientError
from mlops.client.hardware import Sampler
from mlops.client.models import ModelWarning, save

mx = pytest.importorskip("mlx.core", reason="MLX has no wheel for this system")
nn = pytest.importorskip("mlx.nn", reason="MLX has no wheel for this system")
mlflow = pytest.importorskip("mlflow")
safetensors = pytest.importorskip("safetensors.numpy")
pytestmark = pytest.mark.timeout(240)


def _net(nets: Path, **words: Any) -> Any:
    return importlib.import_module(nets.stem).Net(**words)


def _said(net: Any, rows: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.array(net(mx.array(rows)))
    return found


def test_a_module_is_safetensors_and_a_spec(tmp_path: Path, nets: Path, rows: np.ndarray) -> None:
    net = _net(nets, width=8)

    package = save(
        net, tmp_path / "m", name="net", input_example=rows[:3],
        architecture={"kwargs": {"width": 8}},
    )  # fmt: skip

    assert package.flavors == ("mlx", "python_function")
    weights = safetensors.load_file(package.folder / "weights.safetensors")
    assert np.array_equal(weights["inner.weight"], np.array(net.inner.weight))
    spec = json.loads((package.folder / "spec.json").read_text())
    assert spec["class"] == {"module": nets.stem, "name": "Net"}
    assert spec["architecture"]["kwargs"] == {"width": 8}
    assert spec["tensors"]["outer.weight"] == {"shape": [2, 8], "dtype": "float32"}
    assert spec["quantization"] is None
    assert spec["parameters"] == 4 * 8 + 8 + 8 * 2 + 2


def test_it_loads_where_this_library_is_not(
    tmp_path: Path, nets: Path, rows: np.ndarray, elsewhere: Any
) -> None:
    net = _net(nets, width=8)

    package = save(
        net, tmp_path / "m", name="net", input_example=rows[:3],
        architecture={"kwargs": {"width": 8}},
    )  # fmt: skip

    assert np.allclose(elsewhere(package.folder, rows), _said(net, rows), atol=1e-6)


def test_the_signature_is_what_the_example_shows(
    tmp_path: Path, nets: Path, rows: np.ndarray
) -> None:
    package = save(_net(nets), tmp_path / "m", name="net", input_example=rows[:3])

    signature = mlflow.models.get_model_info(str(package.folder)).signature
    assert signature.inputs.inputs[0].shape == (-1, 4)
    assert signature.outputs.inputs[0].shape == (-1, 2)


def test_defaults_that_shapes_do_not_show_are_not_guessed(
    tmp_path: Path, nets: Path, rows: np.ndarray
) -> None:
    made_otherwise = _net(nets, act="tanh")

    with pytest.warns(ModelWarning, match="saved as weights only"):
        package = save(made_otherwise, tmp_path / "m", name="net", input_example=rows[:3])

    assert package.flavors == ("mlx",)
    assert (package.folder / "weights.safetensors").is_file()


def test_an_architecture_that_does_not_fit_is_found_before_it_is_needed(
    tmp_path: Path, nets: Path
) -> None:
    with pytest.raises(MLOpsClientError, match=r"other shapes: inner\.bias"):
        save(_net(nets), tmp_path / "m", name="net", architecture={"kwargs": {"width": 5}})

    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize(
    ("architecture", "told"),
    [
        ({"kwargs": {"depth": 5}}, "cannot be made"),
        ({"arguments": {}}, "give a dict of"),
        ({"kwargs": {"width": {1}}}, "cannot be written as JSON"),
        ({"module": "__main__"}, "no other program can import"),
        ({"module": "no_such_module_here"}, "cannot be made"),
    ],
)
def test_a_wrong_architecture_is_refused(
    tmp_path: Path, nets: Path, architecture: dict[str, Any], told: str
) -> None:
    with pytest.raises(MLOpsClientError, match=told):
        save(_net(nets), tmp_path / "m", name="net", architecture=architecture)


def test_a_quantised_module_comes_back_quantised(
    tmp_path: Path, nets: Path, rows: np.ndarray, elsewhere: Any
) -> None:
    net = _net(nets, width=64)
    nn.quantize(
        net, class_predicate=lambda path, _: path == "outer" and {"group_size": 32, "bits": 4}
    )

    package = save(
        net, tmp_path / "m", name="net", input_example=rows[:3],
        architecture={"kwargs": {"width": 64}},
    )  # fmt: skip

    spec = json.loads((package.folder / "spec.json").read_text())
    assert spec["quantization"]["layers"] == {
        "outer": {"group_size": 32, "bits": 4, "mode": "affine"}
    }
    assert np.allclose(elsewhere(package.folder, rows), _said(net, rows), atol=1e-6)


def test_half_precision_answers_in_numbers_that_numpy_knows(
    tmp_path: Path, nets: Path, rows: np.ndarray
) -> None:
    net = _net(nets)
    net.set_dtype(mx.bfloat16)

    package = save(net, tmp_path / "m", name="net", input_example=rows[:3], architecture={})

    assert mlflow.pyfunc.load_model(str(package.folder)).predict(rows).dtype == np.float32
    assert safetensors is not None
    spec = json.loads((package.folder / "spec.json").read_text())
    assert spec["tensors"]["inner.bias"]["dtype"] == "bfloat16"


def test_a_real_training_is_logged_with_the_memory_of_mlx(nets: Path, rows: np.ndarray) -> None:
    logged: list[tuple[int | None, dict[str, float]]] = []

    class Run:
        def log_metrics(self, metrics: Any, /, *, step: int | None = None) -> None:
            logged.append((step, dict(metrics)))

    net, sampler = _net(nets), Sampler(lambda: None, lambda _: None)
    loss_of = nn.value_and_grad(net, lambda x: mx.mean(net(x) ** 2))
    callback = MLXCallback(Run(), sampler=sampler, every=5)
    for _ in range(10):
        with callback.step(samples=len(rows)) as report:
            loss, gradients = loss_of(mx.array(rows))
            mx.eval(gradients)
            report(loss=loss)

    assert [step for step, _ in logged] == [5, 10]
    for _, metrics in logged:
        assert metrics["loss"] > 0
        assert metrics["samples_per_second"] > 0
        assert metrics["system/mlx_active_memory_gb"] > 0
        peak, active = metrics["system/mlx_peak_memory_gb"], metrics["system/mlx_active_memory_gb"]
        assert peak >= active
    assert float(sampler.stop()["hw.peak_memory_gb"]) >= logged[-1][1]["system/mlx_peak_memory_gb"]
