# SPDX-License-Identifier: Apache-2.0
"""Models: a folder becomes a LoggedModel of its run and, if wanted, a version in the registry; each step once."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlops.client.mlflow_rest.artifacts import Artifacts
from mlops.client.mlflow_rest.place import Place
from mlops.client.mlflow_rest.state import RunState
from mlops.client.mlflow_rest.trouble import AwayError, LostAnswerError, RefusedByServerError

_SPOOL_TAG = "mlops.spool"
_READY = "LOGGED_MODEL_READY"
_SETTLE_S = 5.0
_OWN_LINES = re.compile(r"^(model_id|run_id|artifact_path):.*\n?", re.MULTILINE)


@dataclass(frozen=True)
class PackedModel:
    """A folder in MLflow's model format; `key` makes sending it twice one model."""

    key: str
    name: str
    folder: Path
    registered_name: str = ""
    model_type: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    step: int = 0


@dataclass(frozen=True)
class SentModel:
    """What became of it; `version` is None when it was not to be registered."""

    model_id: str
    uri: str
    version: int | None = None


class Models:
    """The LoggedModels and the registry of one workspace."""

    def __init__(self, place: Place, artifacts: Artifacts) -> None:
        self._place = place
        self._artifacts = artifacts
        self._lost: dict[str, float] = {}

    def log(self, run: RunState, model: PackedModel) -> SentModel:
        """Send a model; what an earlier attempt has done is kept."""
        made = self._found(run, model.key) or self._made(run, model)
        info = made["info"]
        model_id = str(info["model_id"])
        if info.get("status") not in (_READY, 2):
            self._upload(model.folder, str(info["artifact_uri"]), model_id, run.run_id)
            self._place.call(
                "PATCH", f"/logged-models/{model_id}", {"model_id": model_id, "status": _READY}
            )
        if model_id not in run.models:
            output = {"model_id": model_id, "step": model.step}
            self._place.post("/runs/outputs", {"run_id": run.run_id, "models": [output]})
        version = self._register(run, model, model_id) if model.registered_name else None
        return SentModel(model_id, f"models:/{model_id}", version)

    def version_of(self, name: str) -> int | None:
        """Return the champion's version, the newest when there is no champion, None when nothing is registered."""
        try:
            found = self._place.get("/registered-models/alias", name=name, alias="champion")
            return int(found["model_version"]["version"])
        except RefusedByServerError:
            told = f"name = '{name.replace(chr(39), '')}'"
            found = self._place.get("/model-versions/search", filter=told, max_results="1000")
        versions = [int(version["version"]) for version in found.get("model_versions", [])]
        return max(versions, default=None)

    def _found(self, run: RunState, key: str) -> dict[str, Any] | None:
        body = {
            "experiment_ids": [run.experiment_id],
            "filter": f"tags.`{_SPOOL_TAG}` = '{key}'",
            "max_results": 20,
        }
        models = self._place.post("/logged-models/search", body).get("models", [])
        models.sort(key=lambda one: one["info"].get("status") not in (_READY, 2))
        return dict(models[0]) if models else None

    def _made(self, run: RunState, model: PackedModel) -> dict[str, Any]:
        body = {
            "experiment_id": run.experiment_id,
            "name": model.name,
            "source_run_id": run.run_id,
            "tags": _pairs({**model.tags, _SPOOL_TAG: model.key}),
            **({"model_type": model.model_type} if model.model_type else {}),
        }
        return dict(self._once(f"model {model.key}", "/logged-models", body)["model"])

    def _upload(self, folder: Path, root: str, model_id: str, run_id: str) -> None:
        _write_ids(folder / "MLmodel", model_id, run_id, root)
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            self._artifacts.put(root, file.relative_to(folder).as_posix(), file)

    def _register(self, run: RunState, model: PackedModel, model_id: str) -> int:
        found = self._version(model)
        if found is not None:
            return found
        try:
            self._place.post("/registered-models/create", {"name": model.registered_name})
        except RefusedByServerError as error:
            if error.code != "RESOURCE_ALREADY_EXISTS":
                raise
        body = {
            "name": model.registered_name,
            "source": f"models:/{model_id}",
            "run_id": run.run_id,
            "model_id": model_id,
            "tags": _pairs({**model.tags, _SPOOL_TAG: model.key}),
        }
        made = self._once(f"version of {model.key}", "/model-versions/create", body)
        return int(made["model_version"]["version"])

    def _once(self, what: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Create something; after a lost answer it may still come into being, so that the next try waits."""
        if time.monotonic() < self._lost.get(what, -_SETTLE_S) + _SETTLE_S:
            raise AwayError(f"the {what} may be made by now; its answer was lost")
        try:
            made = self._place.post(path, body)
        except LostAnswerError:
            self._lost[what] = time.monotonic()
            raise
        self._lost.pop(what, None)
        return made

    def _version(self, model: PackedModel) -> int | None:
        name = model.registered_name.replace("'", "")
        told = f"name = '{name}' and tags.`{_SPOOL_TAG}` = '{model.key}'"
        found = self._place.get("/model-versions/search", filter=told, max_results="1")
        versions = [int(version["version"]) for version in found.get("model_versions", [])]
        return versions[0] if versions else None


def _write_ids(file: Path, model_id: str, run_id: str, root: str) -> None:
    """Name the model's ids in its description, as MLflow's own client does."""
    if not file.is_file():
        return
    own = f"artifact_path: {root}\nmodel_id: {model_id}\nrun_id: {run_id}\n"
    rest = _OWN_LINES.sub("", file.read_text(encoding="utf-8"))
    # Beside the folder, and in one step: whoever is killed here must not leave half a description to be sent.
    new = file.parent.with_name(f".{file.parent.name}.MLmodel")
    new.write_text(own + rest, encoding="utf-8")
    new.replace(file)


def _pairs(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]
