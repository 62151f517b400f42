# SPDX-License-Identifier: Apache-2.0
"""Models that are files already: a folder of MLflow is copied, one of mlx-lm is wrapped."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.models import Model, ModelSignature
from mlflow.types import DataType
from mlflow.types.schema import ColSpec, ParamSchema, ParamSpec, Schema

from mlops.client.adapters.mlflow_folder import measured, portable
from mlops.client.adapters.order import Facts, Order, refusal, warn
from mlops.client.adapters.portable.mlops_portable_model import MAX_TOKENS

_FILES = "model"


def facts(model: Any) -> Facts:
    """Return the size of the files."""
    files = (file for file in Path(model).rglob("*") if file.is_file())
    return Facts(sum(file.stat().st_size for file in files))


def write(model: Any, order: Order) -> None:
    """Copy what MLflow wrote, or wrap what mlx-lm wrote."""
    source = Path(model)
    if (source / "MLmodel").is_file():
        _copy(source, order)
    else:
        _wrap(source, order)


def _copy(source: Path, order: Order) -> None:
    if order.signature is not None or order.input_example is not None:
        told = "a folder of MLflow has its signature and example inside"
        raise refusal(told, "write the model again to change them")
    shutil.copytree(source, order.folder)
    model = Model.load(str(order.folder))
    model.metadata = {**(model.metadata or {}), **order.metadata}
    model.save(str(order.folder / "MLmodel"))


def _wrap(source: Path, order: Order) -> None:
    adapter = (source / "adapter_config.json").is_file()
    base = _base(source) if adapter else None
    spec = {"format": 1, "framework": "mlx_lm", "files": _FILES, "base": base}
    if order.signature is None:
        example = order.input_example
        rows = pd.DataFrame({"prompt": ["Hello"]}) if example is None else example
        order = replace(order, signature=_signature(), input_example=rows)
    portable(
        order, "mlx_lm", {"data": _FILES, "base": base}, (), "mlx-lm", "mlx", "numpy", "pandas"
    )
    shutil.copytree(source, order.folder / _FILES)
    (order.folder / "spec.json").write_text(json.dumps(spec, indent=1))
    measured(order.folder)


def _base(source: Path) -> str:
    try:
        found = json.loads((source / "adapter_config.json").read_text()).get("model")
    except (ValueError, AttributeError) as error:
        raise refusal(
            f"{source / 'adapter_config.json'}: {error}", "let mlx-lm write it"
        ) from error
    if not found:
        told = f"{source / 'adapter_config.json'} does not name the model that it adapts"
        raise refusal(told, 'add "model": the name or path of the base model')
    if Path(str(found)).exists():
        warn(
            f"the adapter needs its base model at {found}, which is on this machine only: fuse it (mlx_lm.fuse) and "
            "save the fused folder"
        )
    return str(found)


def _signature() -> ModelSignature:
    return ModelSignature(
        Schema([ColSpec(DataType.string, "prompt")]),
        Schema([ColSpec(DataType.string)]),
        ParamSchema([ParamSpec("max_tokens", DataType.integer, MAX_TOKENS)]),
    )
