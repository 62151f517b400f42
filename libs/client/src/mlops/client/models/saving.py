# SPDX-License-Identifier: Apache-2.0
"""save(): writes a model as an MLflow folder, whole or not at all."""

from __future__ import annotations

import errno
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops.client.adapters.order import Facts, ModelWarning, Order, Writer, refusal, warn
from mlops.client.errors import MLOpsClientError
from mlops.client.models import apple as verdicts
from mlops.client.models import choice

_SPARE_BYTES = 64 * 2**20  # what other programs need meanwhile
_NO_EXAMPLE = (
    "{name} has neither signature nor input example: the server cannot check requests, `mlops deploy` cannot "
    "warm it up, and drift has no column names; give input_example=<a few rows>"
)
_EXTRA = '"mlops-client[models]"'
_PACKAGES = {
    **dict.fromkeys(("mlflow", "numpy", "pandas", "safetensors", "skops"), _EXTRA),
    "sklearn": "scikit-learn",
}

__all__ = ["ModelWarning", "Package", "save"]


@dataclass(frozen=True)
class Package:
    """A written model folder."""

    folder: Path
    flavors: tuple[str, ...]
    size_bytes: int
    files: int


def save(
    model: Any,
    folder: Path,
    *,
    name: str,
    flavor: str | None = None,
    input_example: Any = None,
    signature: Any = None,
    metadata: Mapping[str, str] | None = None,
    apple: Mapping[str, str] | None = None,
    **options: Any,
) -> Package:
    """Write *model* to the new *folder*, which `mlflow.pyfunc.load_model` and the flavour's own loader read.

    The flavour follows from the model's class: scikit-learn, PyTorch, MLX, ONNX, a PythonModel or a function;
    a path is an MLflow folder, an `.onnx` file, or a folder of mlx-lm. `input_example` is a few rows; the signature
    is found by running the model on them. `apple` overrides what is said of `mlx`, `mps` and `coreml`.
    Raises MLOpsClientError with a hint; nothing is left of a folder that could not be finished.

    Example: `save(estimator, Path("out"), name="rain", input_example=frame.head(3))`
    """
    choice.check_name(name)
    chosen = _chosen(model, flavor)
    choice.check_options(chosen, options)
    target = Path(folder).absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise refusal(f"{target} exists", "give a folder that does not exist yet, or an empty one")
    with _understood(name):
        return _saved(
            model, chosen, target, name, _Words(signature, input_example, metadata, apple, options)
        )


@dataclass(frozen=True)
class _Words:
    """What the user said about the model."""

    signature: Any
    input_example: Any
    metadata: Mapping[str, str] | None
    apple: Mapping[str, str] | None
    options: Mapping[str, Any]


def _saved(model: Any, flavor: str, target: Path, name: str, words: _Words) -> Package:
    writer = _writer(flavor)
    facts = writer.facts(model)
    _check_room(target, facts)
    judged = flavor
    if flavor == choice.FOLDER:
        judged = verdicts.flavor_of_folder(_flavors(Path(model)))
    said = {"name": name, "apple_compatibility": verdicts.compatibility(judged, facts, words.apple)}
    order = Order(
        target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}"),
        words.signature,
        words.input_example,
        {**(words.metadata or {}), "mlops": said},
        words.options,
    )
    try:
        writer.write(model, order)
        package = _package(order.folder, target)
        if target.exists():
            target.rmdir()
        order.folder.rename(target)
    finally:
        shutil.rmtree(order.folder, ignore_errors=True)
    if words.signature is None and words.input_example is None and flavor in choice.FLAVORS:
        warn(_NO_EXAMPLE.format(name=name))
    return package


def _chosen(model: Any, flavor: str | None) -> str:
    if not isinstance(model, str | Path):
        function = choice.is_function(model)
        return choice.choose(choice.lineage_of(type(model)), function=function, asked=flavor)
    path = Path(model)
    if flavor == choice.PYFUNC and path.suffix == ".py":
        return choice.PYFUNC  # MLflow's "models from code"
    if not path.exists():
        raise refusal(f"{path} does not exist", "give the path of a model")
    names = [one.name for one in path.iterdir()] if path.is_dir() else [path.name]
    return choice.choose_path(names, folder=path.is_dir(), path=str(path))


def _writer(flavor: str) -> Writer:
    """Import the one framework that is needed; it is installed when its model exists."""
    if flavor == choice.SKLEARN:
        from mlops.client.adapters import sklearn_models as sklearn  # noqa: PLC0415 - on demand

        return sklearn
    if flavor == choice.TORCH:
        from mlops.client.adapters import torch_models as torch  # noqa: PLC0415 - on demand

        return torch
    if flavor == choice.MLX:
        from mlops.client.adapters import mlx_models as mlx  # noqa: PLC0415 - on demand

        return mlx
    if flavor == choice.PYFUNC:
        from mlops.client.adapters import pyfunc_models as pyfunc  # noqa: PLC0415 - on demand

        return pyfunc
    if flavor in (choice.ONNX, choice.ONNX_FILE):
        from mlops.client.adapters import onnx_models as onnx  # noqa: PLC0415 - on demand

        return onnx
    from mlops.client.adapters import model_folders as folders  # noqa: PLC0415 - on demand

    return folders


@contextmanager
def _understood(name: str) -> Iterator[None]:
    """Turn what goes wrong outside of this library into the client's own error."""
    try:
        yield
    except (MLOpsClientError, Warning):  # the user may have made errors of warnings
        raise
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        package = _PACKAGES.get(missing, missing)
        raise refusal(f"{name}: {error}", f"pip install {package}") from error
    except OSError as error:
        hint = "free some room" if error.errno == errno.ENOSPC else "see the message"
        raise refusal(f"{name} cannot be written: {error}", hint) from error
    except Exception as error:  # vendors raise whatever they like; the cause stays attached
        told = f"{type(error).__name__}: {error}"
        hint = "the cause is attached; flavor=, signature= or input_example= may need another value"
        raise refusal(f"{name}: {told}", hint) from error


def _check_room(target: Path, facts: Facts) -> None:
    if facts.size_bytes is None:
        return
    there = next(parent for parent in target.parents if parent.exists())
    free = shutil.disk_usage(there).free
    if facts.size_bytes + _SPARE_BYTES > free:
        told = f"the model has {facts.size_bytes / 2**20:.0f} MiB, {there} has {free / 2**20:.0f} MiB left"
        raise refusal(told, "free some room, or save to another disk")


def _package(folder: Path, target: Path) -> Package:
    files = [file for file in folder.rglob("*") if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    return Package(target, _flavors(folder), size, len(files))


def _flavors(folder: Path) -> tuple[str, ...]:
    from mlops.client.adapters import mlflow_folder  # noqa: PLC0415 - on demand

    return mlflow_folder.flavors(folder)
