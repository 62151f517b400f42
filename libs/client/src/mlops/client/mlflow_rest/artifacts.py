# SPDX-License-Identifier: Apache-2.0
"""Artifacts go through MLflow's proxy as streams; other stores need the mlflow package, which is asked when it is there."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, urlsplit

from mlops.client.mlflow_rest.place import Place
from mlops.client.mlflow_rest.trouble import AwayError

_PROXY = "/api/2.0/mlflow-artifacts/artifacts/"
_PROXIED = ("mlflow-artifacts", "http", "https")
_PATIENCE_S = 600
# In a process of its own: importing mlflow takes seconds and half a gigabyte.
_WITH_MLFLOW = (
    "import sys; from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository as g; "
    "g(sys.argv[1]).log_artifact(sys.argv[2], sys.argv[3] or None)"
)


class Artifacts:
    """Puts files below an artifact URI of MLflow."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def put(self, root: str, path: str, file: Path) -> None:
        """Store *file* as *path* below the URI *root*."""
        parts = urlsplit(root)
        if parts.scheme in _PROXIED:
            self._through_proxy(f"{_below(parts.path)}/{path}", file)
        elif parts.scheme in ("", "file"):
            raise AwayError(
                f"artifacts of this run are kept in {root}, a folder of the server's machine; start the "
                "server so that it takes artifacts (mlflow server --serve-artifacts)"
            )
        else:
            _through_mlflow(root, path, file)

    def _through_proxy(self, path: str, file: Path) -> None:
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            self._place.connection.put_file(
                _PROXY + quote(path.lstrip("/")), stream, size, self._place.headers
            )


def _below(path: str) -> str:
    # Of an http URI the part behind the proxy's own path counts.
    return path.partition("/mlflow-artifacts/artifacts")[2] or path


def _through_mlflow(root: str, path: str, file: Path) -> None:
    if importlib.util.find_spec("mlflow") is None:
        raise AwayError(f"artifacts of this run go to {root}; install mlflow to send them there")
    folder, _, name = path.rpartition("/")
    if name != file.name:
        raise AwayError(f"{file.name} cannot be stored as {name} in {root}")
    command = [sys.executable, "-c", _WITH_MLFLOW, root, str(file), folder]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise AwayError(f"{path} could not be stored in {root}: {error}") from error
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or ["no reason given"]
        raise AwayError(f"{path} could not be stored in {root}: {lines[-1][:300]}")
