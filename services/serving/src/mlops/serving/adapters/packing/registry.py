# SPDX-License-Identifier: Apache-2.0
"""What MLflow knows of a version, and its files."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mlops.chassis.errors import UnavailableError
from mlops.serving.errors import BrokenModelError

_DATASET = "mlops.dataset."
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


def read_version(project: str, model: str, version: int, mlflow_url: str) -> Version:
    """Return what the registry says; raises BrokenModelError, UnavailableError."""
    os.environ["MLFLOW_WORKSPACE"] = project
    mlflow.set_tracking_uri(mlflow_url)
    mlflow.set_registry_uri(mlflow_url)  # else MLFLOW_REGISTRY_URI of whoever started us decides
    with _understood(f"version {version} of {model!r} in workspace {project!r}"):
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


def fetch(found: Version, folder: Path) -> None:
    """Put the files of a version, which `read_version` has found, into a folder."""
    what = f"version {found.version} of {found.model!r} in workspace {found.project!r}"
    with _understood(what):
        mlflow.artifacts.download_artifacts(
            f"models:/{found.model}/{found.version}", dst_path=str(folder)
        )


@contextmanager
def _understood(what: str) -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        full = os.strerror(errno.ENOSPC)
        if full in str(error):
            raise OSError(errno.ENOSPC, full) from error
        if error.error_code in _NEVER:
            raise BrokenModelError(
                f"{what} cannot be fetched from MLflow: {error.message}"
            ) from error
        raise UnavailableError(f"MLflow, for {what}: {error.message}") from error
