# SPDX-License-Identifier: Apache-2.0
"""What stands in a model's MLmodel file: flavors, size, signature; wherever MLflow has put it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import structlog
import yaml
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.utils.workspace_context import ServerWorkspaceContext

from mlops.tracking.model.facts import Package, apple_compatibility, is_text

_FILE = "MLmodel"
_SIGNATURE = ("inputs", "outputs", "params")
_PROXIED = "mlflow-artifacts"
_LARGEST_BYTES = 4 * 1024 * 1024


class ModelFiles:
    """Reads MLmodel files by the URIs that the registry keeps."""

    def __init__(self, tracking: Any, artifacts: Any) -> None:
        self._tracking = tracking
        self._artifacts = artifacts
        self._log = structlog.get_logger("models")

    def read(self, project: str, source_uri: str) -> Package:
        """Return what the file says, an empty package when there is none to read; blocks."""
        try:
            with ServerWorkspaceContext(project):
                text = self._download(self._location(source_uri))
            return _package(yaml.safe_load(text))
        except Exception as error:  # noqa: BLE001 - any store of any vendor may be behind a URI; the event goes out without
            self._log.warning(
                "model.unread", source=source_uri, project=project, error=repr(error)[:500]
            )
            return Package()

    def _location(self, source_uri: str) -> str:
        parsed = urlparse(source_uri)
        if parsed.scheme == "models" and not parsed.path.strip("/").count("/"):
            return str(self._tracking.get_logged_model(parsed.path.strip("/")).artifact_location)
        if parsed.scheme == "runs":
            run_id, _, path = parsed.path.strip("/").partition("/")
            return f"{self._tracking.get_run(run_id).info.artifact_uri}/{path}".rstrip("/")
        return source_uri

    def _download(self, location: str) -> str:
        parsed = urlparse(location)
        with tempfile.TemporaryDirectory(prefix="mlops-tracking-") as folder:
            if parsed.scheme == _PROXIED:
                found = self._artifacts.download_artifacts(
                    f"{parsed.path.strip('/')}/{_FILE}", folder
                )
            else:
                found = get_artifact_repository(location).download_artifacts(_FILE, folder)
            path = Path(found)
            if path.stat().st_size > _LARGEST_BYTES:
                raise MlflowException(f"{_FILE} has {path.stat().st_size} bytes")
            return path.read_text(encoding="utf-8")


def _package(document: dict[str, Any]) -> Package:
    signature = document.get("signature")
    size = document.get("model_size_bytes")
    own = (document.get("metadata") or {}).get("mlops")
    flavors = document.get("flavors")
    return Package(
        flavors=_names(flavors) if isinstance(flavors, dict) else (),
        size_bytes=int(size) if size is not None else None,
        signature=_json(signature) if signature else None,
        apple=apple_compatibility(
            own.get("apple_compatibility") if isinstance(own, dict) else None
        ),
    )


def _names(flavors: dict[Any, Any]) -> tuple[str, ...]:
    return tuple(sorted(name for name in map(str, flavors) if is_text(name)))


def _json(signature: dict[str, Any]) -> str | None:
    # MLflow writes each part as text; anything else is somebody's own, and may be of any size.
    parts = {part: signature.get(part) for part in _SIGNATURE}
    told = {part: json.loads(text) for part, text in parts.items() if isinstance(text, str)}
    return json.dumps(told) if told else None
