# SPDX-License-Identifier: Apache-2.0
"""Files of registered models, from MLflow into the cache and the remote, in a process of its own: MLflow is heavy.

Nothing of it is written into the project's folder: a model stands there only when somebody restores it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import mlflow.artifacts
from dvc.exceptions import DvcException
from dvc.repo import Repo
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mlops.chassis.errors import UnavailableError
from mlops.chassis.sidecar import serve
from mlops.versioning.adapters import dvc_transfer as transfer
from mlops.versioning.adapters.dvc_add import Read, listing
from mlops.versioning.adapters.dvc_pace import Pace, pace_of
from mlops.versioning.adapters.dvc_reasons import explained
from mlops.versioning.adapters.dvc_setup import prepare, refuse_other
from mlops.versioning.adapters.dvc_store import Store
from mlops.versioning.model import Content, dvc_text

_NEVER = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND")
# What MLflow's client adds to what it fetches by a registered name.
_NOT_THE_MODELS = "registered_model_meta"
_BROUGHT = "mlops-model-"
_DEAD_S = 4 * 3600.0


def keep(
    folder: str,
    remote: str,
    cache: str,
    mlflow_url: str,
    project: str,
    name: str,
    version: int,
    bytes_per_s: int | None = None,
) -> dict[str, Any] | None:
    """Return the content of a registered version; None when MLflow has no such files, or none any more."""
    with explained(remote, cache):
        prepare(folder, remote, cache)
        # Beside the cache: a large model may not fit where temporary files usually go.
        beside = Path(cache).parent
        beside.mkdir(parents=True, exist_ok=True)
        _forget_dead(beside)
        with tempfile.TemporaryDirectory(prefix=_BROUGHT, dir=beside) as brought:
            found = _fetched(mlflow_url, project, name, version, brought)
            if found is None:
                return None
            return _kept(folder, remote, Path(found), name, pace_of(bytes_per_s))


def _forget_dead(beside: Path) -> None:
    """Remove what killed workers have brought; no call lasts as long."""
    for one in beside.glob(f"{_BROUGHT}*"):
        with contextlib.suppress(OSError):
            if time.time() - one.stat().st_mtime > _DEAD_S:
                shutil.rmtree(one)


def _fetched(mlflow_url: str, project: str, name: str, version: int, to: str) -> str | None:
    os.environ["MLFLOW_WORKSPACE"] = project
    mlflow.set_tracking_uri(mlflow_url)
    mlflow.set_registry_uri(mlflow_url)  # else MLFLOW_REGISTRY_URI of whoever started us decides
    try:
        uri = MlflowClient().get_model_version_download_uri(name, str(version))
        found: str = mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=to)
    except MlflowException as error:
        if error.error_code in _NEVER:
            return None
        what = f"version {version} of {name!r} in workspace {project!r}"
        raise UnavailableError(f"MLflow, for {what}: {error.message}") from error
    return found


def _kept(
    folder: str, remote: str, found: Path, name: str, pace: Pace | None
) -> dict[str, Any] | None:
    files = dict(_files(found))
    if not files:
        return None
    try:
        with Repo(folder, _wait_for_lock=True) as repo:
            refuse_other(repo, remote)
            store = Store(repo.cache.local.path)
            read: dict[str, Read] = {
                rel: (None, *store.add_file(str(file), _quietly)) for rel, file in files.items()
            }
            oid = store.add_bytes(listing(read), ".dir")
            transfer.push(repo, [oid], pace=pace)
    except DvcException as error:
        raise UnavailableError(f"DVC in {folder!r}: {error}") from error
    size = sum(size for _, _, size in read.values())
    return {
        "oid": oid,
        "size_bytes": size,
        "files": len(read),
        "dvc_text": dvc_text(Content(oid, size, len(read), ""), name),
    }


def _files(found: Path) -> Iterator[tuple[str, Path]]:
    """Yield the model's files by their path in it; one that was registered as a single file is in it by its name."""
    if found.is_file():
        yield found.name, found
        return
    for file in found.rglob("*"):
        if file.is_file() and file.name != _NOT_THE_MODELS:
            yield file.relative_to(found).as_posix(), file


def _quietly(_size: int) -> None:
    return None


if __name__ == "__main__":
    serve({"keep": keep})
