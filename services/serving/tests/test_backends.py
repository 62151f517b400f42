# SPDX-License-Identifier: Apache-2.0
"""What runs a model on which device, what may be asked for, and what is said when that cannot be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlops.serving.model import formats
from mlops.serving.model.backends import (
    LIBRARIES,
    Device,
    ImpossibleBackendError,
    Wish,
    choose,
    one_at_a_time,
)

EVERYTHING = frozenset(name for names in LIBRARIES.values() for name in names) | {"onnx"}
LINUX = Device("linux", "x86_64", "3.11", EVERYTHING)
MAC = Device("darwin", "arm64", "3.12", EVERYTHING, metal=True, mps=True)
CUDA = replace(LINUX, cuda=True)
BARE = replace(LINUX, libraries=frozenset({"numpy", "sklearn", "mlflow"}))


def without(device: Device, *names: str) -> Device:
    return replace(device, libraries=device.libraries - set(names))


@pytest.mark.parametrize(
    ("kept", "device", "backend"),
    [
        (formats.LAYERS, MAC, "mlx"),
        (formats.LAYERS, without(MAC, "mlx"), "torch-mps"),
        (formats.LAYERS, CUDA, "torch-cuda"),
        (formats.LAYERS, LINUX, "onnxruntime"),
        (formats.LAYERS, without(LINUX, "onnx"), "torch-cpu"),
        (formats.LAYERS, BARE, "numpy"),
        (formats.TORCH, MAC, "torch-mps"),
        (formats.TORCH, CUDA, "torch-cuda"),
        (formats.TORCH, LINUX, "torch-cpu"),
        (formats.MLX, LINUX, "mlx"),
        (formats.ONNX, LINUX, "onnxruntime"),
        (formats.ONNX, BARE, "pyfunc"),
        (formats.SKLEARN, BARE, "sklearn"),
        (formats.PYFUNC, BARE, "pyfunc"),
        (formats.COREML, MAC, "coreml"),
        (formats.TEXT, LINUX, "mlx-lm"),
    ],
)
def test_the_best_that_the_device_has_is_chosen(kept: str, device: Device, backend: str) -> None:
    found = choose(kept, device)

    assert found.backend == backend
    assert found.reason


def test_mlx_on_a_cpu_is_the_last_word_and_says_so() -> None:
    device = replace(BARE, libraries=frozenset({"mlx"}))

    found = choose(formats.LAYERS, device)

    assert found.backend == "mlx"
    assert "without Metal is slower" in found.reason


@pytest.mark.parametrize(
    ("wish", "backend", "reason"),
    [
        (Wish("numpy"), "numpy", 'the project asks for backend = "numpy"'),
        (Wish("mlx"), "mlx", 'the project asks for backend = "mlx"'),
        (Wish("torch"), "torch-cpu", 'the project asks for backend = "torch"'),
        (Wish("onnx"), "onnxruntime", 'the project asks for backend = "onnx"'),
        (Wish(everywhere="numpy"), "numpy", "SERVING_BACKEND asks for numpy"),
        (Wish("mlx", "numpy"), "mlx", 'the project asks for backend = "mlx"'),
        (Wish(everywhere="sklearn"), "onnxruntime", "ONNX Runtime computes it here"),
    ],
)
def test_the_project_then_the_installation_may_ask(wish: Wish, backend: str, reason: str) -> None:
    found = choose(formats.LAYERS, LINUX, wish)

    assert found.backend == backend
    assert found.reason.startswith(reason)


@pytest.mark.parametrize(
    ("kept", "device", "wish", "said"),
    [
        (
            formats.SKLEARN,
            LINUX,
            Wish("mlx"),
            r'backend = "mlx", which cannot run the format sklearn; set backend = "auto" .* one of: sklearn',
        ),
        (
            formats.LAYERS,
            LINUX,
            Wish("torch-mps"),
            r"cannot run here \(torch-mps: there is no Metal \(MPS\) here\).* one of: mlx, onnxruntime, torch-cpu, numpy",
        ),
        (
            formats.LAYERS,
            BARE,
            Wish(everywhere="mlx"),
            "SERVING_BACKEND asks for mlx, which cannot run here",
        ),
        (formats.COREML, LINUX, Wish(), "macOS only, this is linux"),
        (formats.TEXT, BARE, Wish(), "mlx and mlx_lm cannot be imported"),
    ],
)
def test_what_cannot_be_is_refused_with_what_can(
    kept: str, device: Device, wish: Wish, said: str
) -> None:
    with pytest.raises(ImpossibleBackendError, match=said):
        choose(kept, device, wish)


def test_pyfunc_needs_a_flavor_that_mlflow_can_load() -> None:
    with pytest.raises(ImpossibleBackendError, match="cannot run the format mlx"):
        choose(formats.MLX, LINUX, Wish("pyfunc"), general=False)


def test_mlx_and_texts_stand_one_call_at_a_time() -> None:
    assert [one_at_a_time(one) for one in ("mlx", "mlx-lm", "sklearn")] == [True, True, False]


def test_a_platform_is_system_processor_and_python() -> None:
    assert MAC.platform == "darwin-arm64-py3.12"
