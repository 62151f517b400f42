# SPDX-License-Identifier: Apache-2.0
"""choose(): which flavour a model is written in, by where its class comes from; no framework is imported to find out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import BuiltinFunctionType, FunctionType, MethodType

from mlops.client.adapters.order import refusal

SKLEARN, TORCH, MLX, ONNX, PYFUNC = "sklearn", "pytorch", "mlx", "onnx", "pyfunc"
MLX_LM, FOLDER, ONNX_FILE = "mlx_lm", "mlflow", "onnx_file"
FLAVORS = (SKLEARN, TORCH, MLX, ONNX, PYFUNC)
PATHS = (FOLDER, ONNX_FILE, MLX_LM)

_ALIASES = {"torch": TORCH, "scikit-learn": SKLEARN, "python_function": PYFUNC}
_EVERY = frozenset({"pip_requirements", "extra_pip_requirements", "code_paths"})
OPTIONS: Mapping[str, frozenset[str]] = {
    SKLEARN: _EVERY | {"serialization_format", "skops_trusted_types", "pyfunc_predict_fn"},
    TORCH: _EVERY | {"architecture", "serialization_format"},
    MLX: _EVERY | {"architecture"},
    ONNX: _EVERY | {"onnx_execution_providers", "onnx_session_options"},
    ONNX_FILE: _EVERY | {"onnx_execution_providers", "onnx_session_options"},
    PYFUNC: _EVERY | {"artifacts", "model_config"},
    MLX_LM: _EVERY,
    FOLDER: frozenset(),
}
# The first part of the module that a base class comes from; the nearest base decides.
_ROOTS = {"sklearn": SKLEARN, "torch": TORCH, "mlx": MLX}
_CLASSES = {"ModelProto": ("onnx", ONNX), "PythonModel": ("mlflow", PYFUNC)}
_WORKS = (
    "give a scikit-learn estimator, a torch.nn.Module, an mlx.nn.Module, an onnx.ModelProto, an "
    "mlflow.pyfunc.PythonModel, a function, or the path of an MLflow model folder, an .onnx file or a folder of mlx-lm"
)

Lineage = Sequence[tuple[str, str]]


def lineage_of(kind: type) -> Lineage:
    """Return module and name of a class and its bases, nearest first."""
    return tuple((base.__module__, base.__qualname__) for base in kind.__mro__)


def is_function(model: object) -> bool:
    """Return whether *model* is a plain function or method."""
    return isinstance(model, FunctionType | MethodType | BuiltinFunctionType)


def choose(lineage: Lineage, *, function: bool = False, asked: str | None = None) -> str:
    """Return the flavour for an object in memory; MLOpsClientError says what works."""
    if asked is not None:
        return _asked(asked)
    if function:
        return PYFUNC
    for module, name in lineage:
        root = module.partition(".")[0]
        if root in _ROOTS:
            return _ROOTS[root]
        if name in _CLASSES and _CLASSES[name][0] == root:
            return _CLASSES[name][1]
    module, name = lineage[0]
    raise refusal(f"{module}.{name} is no model that is known here", _WORKS)


def choose_path(names: Iterable[str], *, folder: bool, path: str) -> str:
    """Return how a path is wrapped, by the names of the files in it (or its own name)."""
    found = set(names)
    if folder and "MLmodel" in found:
        return FOLDER
    if not folder and path.endswith(".onnx"):
        return ONNX_FILE
    weights = any(name.endswith(".safetensors") for name in found)
    if folder and weights and found & {"config.json", "adapter_config.json"}:
        return MLX_LM
    if path.endswith(".safetensors"):
        hint = "give the folder that has its config.json too, or the module itself"
        raise refusal(f"{path} has weights without a model", hint)
    raise refusal(f"{path} is no model that is known here", _WORKS)


def check_options(flavor: str, names: Iterable[str]) -> None:
    """Refuse options that the flavour does not have."""
    unknown = sorted(set(names) - OPTIONS[flavor])
    if unknown:
        known = ", ".join(sorted(OPTIONS[flavor])) or "none"
        raise refusal(f"unknown for {flavor}: {', '.join(unknown)}", f"it takes: {known}")


def check_name(name: str) -> None:
    """Refuse a name that MLflow would not take."""
    bad = [char for char in "/:.%\"'" if char in name]
    if not name or bad:
        told = f"it has {' '.join(bad)}" if bad else "it is empty"
        hint = "use letters, digits, - and _; not any of / : . % \" '"
        raise refusal(f"{name!r} cannot be the name of a model: {told}", hint)


def _asked(asked: str) -> str:
    flavor = _ALIASES.get(asked, asked)
    if flavor not in FLAVORS:
        raise refusal(f"there is no flavour {asked!r}", f"choose of: {', '.join(FLAVORS)}")
    return flavor
