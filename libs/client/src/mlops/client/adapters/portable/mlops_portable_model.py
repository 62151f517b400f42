# SPDX-License-Identifier: Apache-2.0
"""Loads a model from `spec.json` and safetensors; stands alone, because a copy of it travels in the model's folder.

`load(folder)` returns the module, `_load_pyfunc(folder)` what `mlflow.pyfunc.load_model` needs. Nothing is unpickled.
"""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np

WEIGHTS = "weights.safetensors"
SPEC = "spec.json"
MAX_TOKENS = 256


def load(folder: str | Path) -> Any:
    """Return the module with its weights, ready to predict."""
    spec = read_spec(folder)
    module = build(spec)
    if spec["framework"] == "mlx":
        _load_mlx(module, Path(folder))
    else:
        _load_torch(module, Path(folder))
    module.eval()
    return module


def read_spec(folder: str | Path) -> dict[str, Any]:
    """Return what the folder says about its model."""
    found: dict[str, Any] = json.loads((Path(folder) / SPEC).read_text(encoding="utf-8"))
    return found


def build(spec: dict[str, Any]) -> Any:
    """Return the module without its weights: its class, called with the arguments of the spec."""
    plan = spec["architecture"]
    if plan is None:
        raise ValueError(
            f"{SPEC} does not say how to make the model: save it with architecture={{…}}"
        )
    home = importlib.import_module(plan["module"])
    kind = _named(home, plan["class"])
    if plan.get("config_class"):
        module = kind(_named(home, plan["config_class"])(**plan["config"]))
    else:
        module = kind(**plan.get("kwargs", {}))
    if spec.get("quantization"):
        _quantise(module, spec["quantization"])
    return module


def run(framework: str, module: Any, data: Any) -> Any:
    """Return what the module says to a data frame, an array, a list, or a dict of arrays for its arguments."""
    call = _call_mlx if framework == "mlx" else _call_torch
    given = (
        {str(key): _array(value) for key, value in data.items()}
        if isinstance(data, dict)
        else _array(data)
    )
    return call(module, given)


class Tensors:
    """A module of MLX or PyTorch as MLflow calls it."""

    def __init__(self, framework: str, module: Any) -> None:
        self.framework = framework
        self.module = module

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any:  # noqa: ARG002 - MLflow gives it
        """Return arrays of NumPy."""
        return run(self.framework, self.module, data)


class Texts:
    """A language model of mlx-lm as MLflow calls it: one text for each prompt."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model = model
        self.tokenizer = tokenizer

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> list[str]:
        """Return one text for each row of the column `prompt`, or for each string."""
        from mlx_lm import generate  # noqa: PLC0415 - only this kind needs it

        prompts = data["prompt"] if hasattr(data, "columns") or isinstance(data, dict) else data
        most = int((params or {}).get("max_tokens", MAX_TOKENS))
        rows = [prompts] if isinstance(prompts, str) else list(prompts)
        return [generate(self.model, self.tokenizer, str(row), max_tokens=most) for row in rows]


def _load_pyfunc(path: str) -> Tensors | Texts:
    spec = read_spec(path)
    if spec["framework"] != "mlx_lm":
        return Tensors(spec["framework"], load(path))
    from mlx_lm import load as load_texts  # noqa: PLC0415 - only this kind needs it

    files = str(Path(path) / spec["files"])
    if spec["base"]:
        return Texts(*load_texts(spec["base"], adapter_path=files)[:2])
    return Texts(*load_texts(files)[:2])


def _named(home: Any, name: str) -> Any:
    for part in name.split("."):
        home = getattr(home, part)
    return home


def _array(data: Any) -> Any:
    found = data.to_numpy() if hasattr(data, "to_numpy") else np.asarray(data)
    # Neither Metal nor most models know float64, which is what a data frame and JSON give.
    return found.astype(np.float32) if found.dtype in (np.float64, object) else found


def _load_mlx(module: Any, folder: Path) -> None:
    module.load_weights(str(folder / WEIGHTS), strict=True)


def _load_torch(module: Any, folder: Path) -> None:
    from safetensors.torch import load_model  # noqa: PLC0415 - only this kind needs it

    load_model(module, folder / WEIGHTS, strict=True)


def _quantise(module: Any, told: dict[str, Any]) -> None:
    from mlx import nn  # noqa: PLC0415 - only this kind needs it

    layers = told["layers"]

    def settings(path: str, _: Any) -> Any:
        return layers.get(path, False)

    nn.quantize(module, class_predicate=settings)


def _call_mlx(module: Any, given: Any) -> Any:
    import mlx.core as mx  # noqa: PLC0415 - only this kind needs it

    if isinstance(given, dict):
        return _from_mlx(module(**{key: mx.array(value) for key, value in given.items()}))
    return _from_mlx(module(mx.array(given)))


def _from_mlx(found: Any) -> Any:
    import mlx.core as mx  # noqa: PLC0415 - only this kind needs it

    if isinstance(found, mx.array):
        # NumPy has no bfloat16.
        return np.array(found.astype(mx.float32) if found.dtype == mx.bfloat16 else found)
    if isinstance(found, dict):
        return {key: _from_mlx(value) for key, value in found.items()}
    return [_from_mlx(one) for one in found]


def _call_torch(module: Any, given: Any) -> Any:
    import torch  # noqa: PLC0415 - only this kind needs it

    place = next(module.parameters(), torch.empty(0))

    def tensor(value: Any) -> Any:
        found = torch.as_tensor(value).to(place.device)
        return found.to(place.dtype) if found.is_floating_point() else found

    with torch.no_grad():
        if isinstance(given, dict):
            return _from_torch(module(**{key: tensor(value) for key, value in given.items()}))
        return _from_torch(module(tensor(given)))


def _from_torch(found: Any) -> Any:
    import torch  # noqa: PLC0415 - only this kind needs it

    if isinstance(found, torch.Tensor):
        plain = found.detach().cpu()
        return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
    if isinstance(found, dict):
        return {key: _from_torch(value) for key, value in found.items()}
    return [_from_torch(one) for one in found]
