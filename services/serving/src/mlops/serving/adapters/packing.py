# SPDX-License-Identifier: Apache-2.0
"""Packs a version of the registry as a Bento: fetched from MLflow, kept in BentoML's store. Runs in the sidecar."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import bentoml
import bentoml._internal.configuration as bentoml_configuration
import bentoml.exceptions
import mlflow.artifacts
import yaml
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mlops.chassis.errors import UnavailableError
from mlops.serving.errors import BrokenModelError
from mlops.serving.model.apps import bento_name, bento_tag
from mlops.serving.model.signature import UnservableError, choose_backend, example_rows, fields
from mlops.serving.model.tensors import DTYPES

_SOURCE = Path(__file__).parent / "bento" / "packed_service.py"
_DATASET = "mlops.dataset."
# BentoML looks for uv (and wants to install it) even when it has nothing to lock, as here: it is never run.
bentoml_configuration.get_uv_command = lambda: ["uv"]
_NEVER = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND")


@dataclass(frozen=True)
class Version:
    """What the registry says of a version."""

    project: str
    model: str
    version: int
    source: str
    run_id: str
    metrics: dict[str, float]
    datasets: dict[str, str]


def pack(project: str, model: str, version: int, backend: str, mlflow_url: str) -> dict[str, Any]:
    """Return the package of a version, made now or before; see `Packages`."""
    os.environ["MLFLOW_WORKSPACE"] = project
    mlflow.set_tracking_uri(mlflow_url)
    try:
        found = _read(project, model, version)
        tag = bento_tag(project, model, version, f"{found.source} {found.run_id} {backend}")
        label = _known(tag) or _build(found, tag, backend)
    except MlflowException as error:
        raise _family(error, f"version {version} of {model!r} in workspace {project!r}") from error
    except UnservableError as error:
        raise BrokenModelError(f"version {version} of {model!r}: {error}") from error
    return {
        "version": version,
        "bento_tag": tag,
        "backend": label["backend"],
        "backend_reason": label["backend_reason"],
        "run_id": found.run_id,
        "metrics": found.metrics,
    }


def keep_only(project: str, model: str, bento_tags: Sequence[str]) -> None:
    """Delete every other Bento of a model, and the copies of the model that they hold."""
    name = bento_name(project, model)
    for bento in bentoml.bentos.list(name):
        if str(bento.tag) not in bento_tags:
            bentoml.bentos.delete(bento.tag)
    for kept in bentoml.models.list(name):
        if str(kept.tag) not in bento_tags:
            bentoml.models.delete(kept.tag)


def _read(project: str, model: str, version: int) -> Version:
    client = MlflowClient()
    found = client.get_model_version(model, str(version))
    run = client.get_run(found.run_id) if found.run_id else None
    tags = run.data.tags if run else {}
    return Version(
        project=project,
        model=model,
        version=version,
        source=found.source or "",
        run_id=found.run_id or "",
        metrics=dict(run.data.metrics) if run else {},
        datasets={
            key.removeprefix(_DATASET): value
            for key, value in tags.items()
            if key.startswith(_DATASET)
        },
    )


def _known(tag: str) -> Mapping[str, str] | None:
    try:
        labels: Mapping[str, str] = bentoml.bentos.get(tag).info.labels
    except bentoml.exceptions.NotFound:
        return None
    return labels


def _build(found: Version, tag: str, backend: str) -> Mapping[str, str]:
    with tempfile.TemporaryDirectory(prefix="mlops-pack-") as scratch:
        folder = Path(scratch) / "model"
        mlflow.artifacts.download_artifacts(
            f"models:/{found.model}/{found.version}", dst_path=str(folder)
        )
        described = yaml.safe_load(_mlmodel(folder, found).read_text())
        chosen, reason = choose_backend(described.get("flavors", {}), backend)
        labels = {
            "project": found.project,
            "model": found.model,
            "version": str(found.version),
            "run_id": found.run_id,
            "backend": chosen,
            "backend_reason": reason,
            **{f"dataset.{name}": value for name, value in found.datasets.items()},
        }
        _keep_model(tag, folder, labels)
        spec = _spec(folder, described, tag, chosen)
        _keep_bento(Path(scratch) / "source", tag, spec, labels)
    return labels


def _mlmodel(folder: Path, found: Version) -> Path:
    path = folder / "MLmodel"
    if not path.is_file():
        raise BrokenModelError(
            f"version {found.version} of {found.model!r} has no MLmodel file at {found.source}; "
            "log it with mlflow.<flavor>.log_model and register that"
        )
    return path


def _keep_model(tag: str, folder: Path, labels: dict[str, str]) -> None:
    try:
        bentoml.models.get(tag)
    except bentoml.exceptions.NotFound:
        with bentoml.models.create(tag, labels=labels) as kept:
            shutil.copytree(folder, kept.path_of("model"))


def _spec(folder: Path, described: Mapping[str, Any], tag: str, backend: str) -> dict[str, Any]:
    signature = described.get("signature") or {}
    example = folder / "serving_input_example.json"
    spec: dict[str, Any] = {
        "name": tag.partition(":")[0],
        "model_tag": tag,
        "backend": backend,
        "inputs": [
            {**asdict(one), "dtype": DTYPES[one.datatype]}
            for one in fields(signature.get("inputs"), "input")
        ],
        "outputs": [asdict(one) for one in fields(signature.get("outputs"), "predict")],
        "example": example_rows(json.loads(example.read_text())) if example.is_file() else None,
    }
    if backend == "sklearn":
        flavor = described["flavors"]["sklearn"]
        spec |= {
            "file": flavor["pickled_model"],
            "format": flavor.get("serialization_format", "pickle"),
            "trusted": flavor.get("skops_trusted_types") or [],
            "predict_fn": described["flavors"]
            .get("python_function", {})
            .get("predict_fn", "predict"),
        }
    return spec


def _keep_bento(source: Path, tag: str, spec: dict[str, Any], labels: dict[str, str]) -> None:
    source.mkdir()
    shutil.copy(_SOURCE, source)
    (source / "packed.json").write_text(json.dumps(spec))
    name, _, version = tag.partition(":")
    packages = ["numpy", "pandas", "scikit-learn", "skops", "mlflow"]
    try:
        bentoml.bentos.build(
            f"{_SOURCE.stem}:Packed",
            name=name,
            version=version,
            labels=labels,
            include=[_SOURCE.name, "packed.json"],
            models=[tag],
            python={"packages": packages, "lock_packages": False},
            build_ctx=str(source),
        )
    finally:
        # The next Bento has a module of the same name and another packed.json.
        sys.modules.pop(_SOURCE.stem, None)


def _family(error: MlflowException, what: str) -> BrokenModelError | UnavailableError:
    if error.error_code in _NEVER:
        return BrokenModelError(f"{what} cannot be fetched from MLflow: {error.message}")
    return UnavailableError(f"MLflow, for {what}: {error.message}")
