# SPDX-License-Identifier: Apache-2.0
"""Modelling: a model is written as a folder in MLflow's format into the spool; the handle knows what becomes of it."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops.client.errors import NoAnswerError, RefusedError
from mlops.client.mlflow_rest.models import SentModel
from mlops.client.mlflow_rest.trouble import RefusedByServerError
from mlops.client.runs import checks
from mlops.client.spool import Outlet
from mlops.client.spool.record import MODEL


@dataclass(frozen=True)
class ModelHandle:
    """A model that was logged; the server may hear of it later."""

    name: str
    key: str
    files: int
    size_bytes: int
    flavors: tuple[str, ...]
    outlet: Outlet

    @property
    def uri(self) -> str | None:
        """Return `models:/m-…` once the server has it."""
        sent = self._sent()
        return sent.uri if sent else None

    @property
    def model_id(self) -> str | None:
        """Return MLflow's id once the server has it."""
        sent = self._sent()
        return sent.model_id if sent else None

    @property
    def version(self) -> int | None:
        """Return the version in the registry once there is one."""
        sent = self._sent()
        return sent.version if sent else None

    def wait(self, timeout_s: float = 300.0) -> SentModel:
        """Return what the server made of it; RefusedError with its reason, NoAnswerError after *timeout_s*."""
        known = self.outlet.known
        self.outlet.hurry()
        if not known.wait(lambda: self.key in known.models, timeout_s):
            hint = "it is spooled and delivered later; see `mlops spool list`"
            told = known.away or f"not delivered within {timeout_s:g} s"
            raise NoAnswerError("run", f"log model {self.name}", told, hint)
        found = known.models[self.key]
        if isinstance(found, RefusedByServerError):
            raise RefusedError("tracking", f"log model {self.name}", str(found))
        return found

    def _sent(self) -> SentModel | None:
        found = self.outlet.known.models.get(self.key)
        return found if isinstance(found, SentModel) else None


def log_model(
    outlet: Outlet,
    ref: str,
    model: object,
    name: str,
    *,
    registered_name: str,
    step: int,
    tags: Mapping[str, str],
    options: Mapping[str, Any],
) -> ModelHandle:
    """Write a model into the spool and note that it is to be sent."""
    from mlops.client import models  # noqa: PLC0415 - only who logs a model needs its libraries

    checks.artifact_path(name, f"log model {name}")
    key = uuid.uuid4().hex
    spooled = outlet.journal.on_disk
    folder = outlet.journal.folder / "files" / key / "model" if spooled else _elsewhere()
    folder.parent.mkdir(parents=True, exist_ok=True)
    package = models.save(model, folder, name=name, **options)
    outlet.takes(package.size_bytes)
    content: dict[str, object] = {
        "id": key,
        "name": name,
        "file": f"{key}/model" if spooled else str(folder),
        "in_place": not spooled,
        "registered_name": registered_name,
        "step": step,
        "tags": dict(tags),
    }
    outlet.add_object(MODEL, ref, content)
    return ModelHandle(name, key, package.files, package.size_bytes, package.flavors, outlet)


def _elsewhere() -> Path:
    return Path(tempfile.mkdtemp(prefix="mlops-model-")) / "model"
