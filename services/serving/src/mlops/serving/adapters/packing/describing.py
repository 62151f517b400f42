# SPDX-License-Identifier: Apache-2.0
"""Reads a version's files: how they keep the model, what it takes and gives, what its loader must know."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from mlops.serving.adapters.bento.packed_layers import LayersError, read_layers, sizes
from mlops.serving.model import formats
from mlops.serving.model.formats import Kept, recognise
from mlops.serving.model.signature import UnservableError, example_rows, fields, optional
from mlops.serving.model.tensors import DTYPES, Field

_HEAD = 64
_SPEC = "spec.json"
_ONNX = {"float": "FP32", "double": "FP64", "float16": "FP16", "bool": "BOOL", "string": "BYTES"}
_ONNX |= {name.lower(): name for name in DTYPES if "INT" in name}


@dataclass(frozen=True)
class Described:
    """A version's files, understood; *general* when MLflow's python_function can load them."""

    kept: Kept
    general: bool
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]
    example: dict[str, list[Any]] | list[Any] | None
    loader: dict[str, Any]
    size_bytes: int


def describe(folder: Path) -> Described:
    """Return what a folder holds; UnservableError says what is wrong with it."""
    try:
        return _described(folder)
    except UnservableError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        # Whoever wrote the files may have written anything; trying again would not help.
        raise UnservableError(f"its files cannot be understood: {error!r}; log it again") from error


def _described(folder: Path) -> Described:
    told = _mlmodel(folder)
    flavors: dict[str, dict[str, Any]] = told.get("flavors") or {}
    files = {
        path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()
    }
    kept = recognise(flavors, {name: _head(path) for name, path in files.items()})
    loader = _loader(kept, flavors, folder, frozenset(files))
    _check_inside(loader.get("file", "."), frozenset(files))
    inputs, outputs = _signature(told, kept, folder, frozenset(files))
    return Described(
        kept=kept,
        general="python_function" in flavors,
        inputs=inputs,
        outputs=outputs,
        example=_example(folder),
        loader=loader,
        size_bytes=sum(path.stat().st_size for path in files.values()),
    )


def _mlmodel(folder: Path) -> dict[str, Any]:
    path = folder / "MLmodel"
    if not path.is_file():
        return {}
    try:
        told = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UnservableError(f"its MLmodel file cannot be read: {error}") from error
    if not isinstance(told, dict):
        raise UnservableError("its MLmodel file holds no description; log the model again")
    return told


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)


def _signature(
    told: Mapping[str, Any], kept: Kept, folder: Path, names: frozenset[str]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    signature = told.get("signature") or {}
    try:
        inputs = fields(signature.get("inputs"), "input")
        outputs = fields(signature.get("outputs"), "predict")
        nullable = optional(signature.get("inputs"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, UnservableError):
            raise
        raise UnservableError(
            f"its signature cannot be read: {error!r}; log the model again"
        ) from error
    if not inputs:
        inputs, outputs = _own_signature(kept, folder, names, outputs)
    return [_input(one, nullable) for one in inputs], [asdict(one) for one in outputs]


def _input(one: Field, nullable: frozenset[str]) -> dict[str, Any]:
    return {**asdict(one), "dtype": DTYPES[one.datatype], "nullable": one.name in nullable}


def _own_signature(
    kept: Kept, folder: Path, names: frozenset[str], outputs: tuple[Field, ...]
) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """Return what the model itself says, where nobody wrote a signature."""
    if kept.format == formats.LAYERS:
        width, answers = sizes(_layers(folder))
        return (Field("input", "FP32", (-1, width)),), (Field("predict", "FP32", (-1, answers)),)
    if kept.format == formats.TEXT:
        return (Field("prompt", "BYTES"),), (Field("predict", "BYTES"),)
    if kept.format == formats.ONNX and formats.onnx_file(names):
        return _graph(folder / formats.onnx_file(names))
    return (), outputs


def _layers(folder: Path) -> Any:
    try:
        return read_layers(folder)
    except LayersError as error:
        raise UnservableError(f"{error}") from error


def _graph(path: Path) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    import onnxruntime  # noqa: PLC0415 - only where a graph is to be read

    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no family of their own
        raise UnservableError(f"ONNX Runtime cannot read {path.name}: {error}") from error
    sides = (session.get_inputs(), session.get_outputs())
    inputs, outputs = (
        [_tensor(one) for one in side if one.type.startswith("tensor")] for side in sides
    )
    return tuple(inputs), tuple(outputs)


def _tensor(one: Any) -> Field:
    kind = one.type.removeprefix("tensor(").removesuffix(")")
    if kind not in _ONNX:
        raise UnservableError(
            f"{one.name!r} of the ONNX graph has type {kind!r}, which cannot be carried"
        )
    shape = tuple(side if isinstance(side, int) else -1 for side in one.shape)
    return Field(one.name, _ONNX[kind], shape or (-1,))


def _example(folder: Path) -> dict[str, list[Any]] | list[Any] | None:
    path = folder / "serving_input_example.json"
    try:
        return example_rows(json.loads(path.read_text())) if path.is_file() else None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UnservableError(f"its input example cannot be read: {error!r}") from error


def _loader(
    kept: Kept, flavors: Mapping[str, Mapping[str, Any]], folder: Path, names: frozenset[str]
) -> dict[str, Any]:
    if kept.format == formats.SKLEARN:
        return _sklearn(flavors)
    if kept.format == formats.ONNX:
        return {"file": flavors.get("onnx", {}).get("data") or formats.onnx_file(names)}
    if kept.format == formats.COREML:
        return {"file": formats.coreml_file(names)}
    if kept.format == formats.TEXT:
        return _text(flavors, names)
    if kept.format in (formats.MLX, formats.TORCH):
        _check_module(folder)
    if kept.format == formats.LAYERS:
        _layers(folder)
    return {}


def _check_inside(file: str, names: frozenset[str]) -> None:
    # A path that leads elsewhere would be read though nobody has looked at it.
    if file != "." and not any(one == file or one.startswith(f"{file}/") for one in names):
        raise UnservableError(
            f"its MLmodel names {file!r}, which is not among its files; log it again"
        )


def _sklearn(flavors: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    flavor = flavors[formats.SKLEARN]
    return {
        "file": flavor["pickled_model"],
        "serialization": flavor.get("serialization_format", "pickle"),
        "trusted": list(flavor.get("skops_trusted_types") or ()),
        "predict_fn": flavors.get("python_function", {}).get("predict_fn", "predict"),
    }


def _text(flavors: Mapping[str, Mapping[str, Any]], names: frozenset[str]) -> dict[str, Any]:
    base = flavors.get("mlx_lm", {}).get("base")
    if base:
        raise UnservableError(
            f"it is an adapter of {base!r}, which is not among its files, and nothing is fetched to serve; "
            "fuse it (mlx_lm.fuse) and log the fused folder"
        )
    folder = flavors.get("mlx_lm", {}).get("data")
    return {"file": folder if folder is not None else formats.text_folder(names) or "."}


def _check_module(folder: Path) -> None:
    path = folder / _SPEC
    told = json.loads(path.read_text()) if path.is_file() else {}
    if not told.get("architecture"):
        raise UnservableError(
            "it is saved as weights only: nothing says how to make the module again; "
            'log it with architecture={"module": …, "class": …, "kwargs": {…}}, or as architecture.json of layers'
        )


def suspects(described: Described) -> list[str]:
    """Return the types that a skops file wants trusted though they could run anything."""
    return formats.suspect_types(described.loader.get("trusted", ()), sys.stdlib_module_names)


def check_types(described: Described, folder: Path) -> None:
    """Refuse a skops file with types that nobody said to trust: its replica could not load it."""
    if described.loader.get("serialization") != "skops":
        return
    import skops.io  # noqa: PLC0415 - only where a model was written with it

    try:
        held = skops.io.get_untrusted_types(file=folder / described.loader["file"])
    except Exception as error:  # a damaged file raises whatever zip and JSON raise
        raise UnservableError(f"skops cannot read {described.loader['file']}: {error!r}") from error
    missing = sorted(set(held) - set(described.loader["trusted"]))
    if missing:
        raise UnservableError(
            f"skops does not trust {', '.join(missing[:3])} of its types; "
            f"log it with skops_trusted_types={missing[:3]!r}"
        )
