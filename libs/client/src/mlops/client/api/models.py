# SPDX-License-Identifier: Apache-2.0
"""Calls about models in production: deploy, ask, label, take back."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops.client.api.link import Json, part
from mlops.client.api.runs import RunCalls
from mlops.client.errors import (
    BadInputError,
    MLOpsClientError,
    NoAnswerError,
    NotFoundError,
    NotRunningError,
    RefusedError,
)

if TYPE_CHECKING:
    from mlops.client import tensors

_ENDED_BADLY = ("failed", "reverted", "removed")
_POLL_S = 1.0
_ROLLOUT_S = 900.0
_MODEL_S = 600.0


@dataclass(frozen=True)
class Deployment:
    """A rollout that has begun; `tag` names what is rolled out, `<project>/<model>:<version>`."""

    project: str
    model: str
    version: int
    deployment_id: str
    endpoint: str = ""
    _look: Callable[[], list[Json]] = field(default=list, repr=False, compare=False)

    @property
    def tag(self) -> str:
        """Return the model's tag."""
        return f"{self.project}/{self.model}:{self.version}"

    @property
    def state(self) -> str:
        """Return how it stands now: started, completed, failed, reverted, removed; empty when not heard of yet."""
        return str(self._view().get("state", ""))

    def wait(self, timeout_s: float = _ROLLOUT_S) -> Json:
        """Return the rollout once `deployment.completed`; RefusedError with the reason when it failed or was reverted.

        NoAnswerError after *timeout_s*; the rollout then goes on. A gateway that is started again is waited for.
        """
        deadline = time.monotonic() + timeout_s
        state = ""
        while True:
            try:
                view = self._view()
            except NotRunningError:
                view = {}
            state = str(view.get("state") or state)
            if state == "completed":
                return view
            if state in _ENDED_BADLY:
                told = f"{self.tag} {state}: {view.get('reason') or 'no reason given'}"
                hint = f"see `mlops explain {self.deployment_id}`"
                raise RefusedError("serving", "wait for deployment", told, hint)
            if time.monotonic() + _POLL_S > deadline:
                told = f"{self.tag} is {state or 'not heard of'} after {timeout_s:g} s"
                hint = f"see `mlops explain {self.deployment_id}`"
                raise NoAnswerError("serving", "wait for deployment", told, hint)
            time.sleep(_POLL_S)

    def _view(self) -> Json:
        found = self._look()
        return next((one for one in found if one.get("deployment_id") == self.deployment_id), {})


class ModelCalls(RunCalls):
    """Models of the project."""

    def predict(
        self,
        data: tensors.Rows | tensors.Columns | tensors.Frame,
        *,
        model: str | None = None,
        request_id: str | None = None,
        version: int | None = None,
    ) -> list[Any]:
        """Return one prediction per row; label them later under *request_id* (`<id>:<row>` with several rows).

        *data* is a dict for each row, a dict of columns, or a data frame; *model* is `[serve].model` when not given.
        Example: `client.predict([{"temperature": 12.5}], request_id="2026-11-21")`
        """
        from mlops.client import tensors  # noqa: PLC0415 - only who predicts needs it

        name = model or self._own_model()
        pinned = f"/versions/{version}" if version is not None else ""
        body = {"id": request_id or str(uuid.uuid4()), **tensors.request_of(data)}
        path = f"/v2/models/{part(f'{self.project}.{name}')}{pinned}/infer"
        return tensors.values_of(self._transport.post(path, f"predict with {name}", body))

    def log_label(self, request_id: str, label: tensors.Label, model: str | None = None) -> None:
        """Say what turned out to be true for one prediction of *model* (`[serve].model` when not given).

        Of a model that answers with several numbers it is a list of them, None for one that nobody knows.

        Example: `client.log_label("2026-11-21", 1)`
        """
        self.log_labels({request_id: label}, model)

    def log_labels(
        self,
        labels: Mapping[str, tensors.Label] | Sequence[Mapping[str, Any]],
        model: str | None = None,
    ) -> None:
        """Say what turned out to be true: request id to label, or `{request_id, label, at}` each."""
        from mlops.client import tensors  # noqa: PLC0415 - as above

        name = model or self._own_model()
        body = {"project": self.project, "model": name, "labels": tensors.labels_of(labels)}
        self._transport.post("/api/v1/labels", f"label {len(labels)} predictions of {name}", body)

    def deploy_model(
        self, model: str | PathLike[str], version: int | None = None, why: str = ""
    ) -> Deployment:
        """Roll out a version; return its tag and a handle that can wait for it.

        *model* is a registered name, or the path of a model's folder or file, which is logged in a run and registered
        as `[serve].model` (or under its own name) first; write `./name` for a path that could be a name. Without
        *version* the champion is meant, else the newest.
        RefusedError when the platform will not, with its reason.
        Example: `client.deploy_model("rain").wait(timeout_s=600)`
        """
        name = str(model)
        if version is None and _is_path(model):
            name, version = self._registered(Path(model))
        number = version if version is not None else self._version_of(name)
        data = {"model": name, "version": number, "why": why}
        event = self._done("cmd.model.deploy", data, ("deployment.started",), "deployment.failed")
        told = event["data"]
        deployment_id, endpoint = str(told.get("deployment_id", "")), str(told.get("endpoint", ""))
        return Deployment(
            self.project, name, number, deployment_id, endpoint, self.list_deployments
        )

    def undeploy_model(self, model: str) -> Json:
        """Stop serving a model; return `deployment.removed` once it answers no more."""
        return self._done("cmd.model.undeploy", {"model": model}, ("deployment.removed",))

    def rollback_model(self, model: str, to_version: int | None = None) -> Deployment:
        """Serve the version before again, or the one named."""
        data = {"model": model, "to_version": to_version}
        event = self._done("cmd.model.rollback", data, ("deployment.started",), "deployment.failed")
        told = event["data"]
        return Deployment(
            self.project,
            model,
            int(told["version"]),
            str(told.get("deployment_id", "")),
            str(told.get("endpoint", "")),
            self.list_deployments,
        )

    def list_deployments(self) -> list[Json]:
        """Return the rollouts of this project, and how each stands."""
        found = self._get("/api/v1/deployments", "list deployments", {"project": self.project})
        return list(found["deployments"])

    def _own_model(self) -> str:
        from mlops.client import project_file  # noqa: PLC0415 - pydantic takes its time

        found = project_file.load_project_file(self._folder).settings.serve.model
        if not found:
            hint = "give model=…, or write [serve].model in mlops.toml"
            raise BadInputError("model", "find the model", "the project serves none", hint)
        return found

    def _version_of(self, name: str) -> int:
        found = self._asked_version(name) or self._channel_version(name)
        if found is None:
            hint = "log one with log_model(…, registered_name=True)"
            told = f"{self.project} has no registered model {name!r}"
            raise NotFoundError("model", "find a version", told, hint)
        return found

    def _asked_version(self, name: str) -> int | None:
        params = {"project": self.project, "name": name}
        try:
            told = self._get("/api/v1/query/tracking/model", f"look at model {name}", params)
        except NotRunningError:
            raise
        except MLOpsClientError:
            return None
        model = told.get("model") or {}
        found = model.get("champion") or model.get("latest")
        return int(found) if found else None

    def _channel_version(self, name: str) -> int | None:
        channel = self._channel()
        server = channel.server()
        try:
            return server.version_of(name)
        finally:
            server.close()

    def _registered(self, path: Path) -> tuple[str, int]:
        try:
            name = self._own_model()
        except MLOpsClientError:
            name = path.resolve().stem
        with self.start_run(f"register {path.name}", hardware=False) as run:
            handle = run.log_model(path, name, registered_name=name)
            version = handle.wait(_MODEL_S).version
        if version is None:
            raise RefusedError("tracking", f"register {name}", "it got no version")
        return name, version


def _is_path(model: str | PathLike[str]) -> bool:
    if not isinstance(model, str):
        return True
    path = Path(model)
    if "/" in model or (path.suffix and path.is_file()):
        return True
    # A folder may have the name of a registered model by chance.
    return any((path / name).is_file() for name in ("MLmodel", "config.json"))
