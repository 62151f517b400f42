# SPDX-License-Identifier: Apache-2.0
"""Place: the workspace and the experiment that a project's runs go to, on servers with and without workspaces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlops.client.mlflow_rest.connection import Connection
from mlops.client.mlflow_rest.trouble import PlaceMissingError, RefusedByServerError

API = "/api/2.0/mlflow"
_WORKSPACE = "X-MLFLOW-WORKSPACE"


class Place:
    """Calls MLflow in one workspace; its experiment is made when only that is missing."""

    def __init__(self, connection: Connection, workspace: str, experiment: str) -> None:
        self.connection = connection
        self._workspace = workspace
        self._name = experiment
        self._id = ""

    @property
    def headers(self) -> dict[str, str]:
        """Return what names the workspace."""
        return {_WORKSPACE: self._workspace} if self._workspace else {}

    def get(self, path: str, **params: str) -> dict[str, Any]:
        """Ask MLflow."""
        return self.call("GET", path, params=params)

    def post(self, path: str, body: Mapping[str, Any] | bytes) -> dict[str, Any]:
        """Tell MLflow."""
        return self.call("POST", path, body)

    def call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | bytes | None = None,
        params: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        """Call MLflow in the workspace; a server without workspaces has only one."""
        try:
            return self.connection.call(method, API + path, body, params, self.headers)
        except RefusedByServerError as error:
            if error.code != "FEATURE_DISABLED" or not self._workspace:
                raise
            self._workspace = ""
            return self.connection.call(method, API + path, body, params, self.headers)

    def experiment(self) -> str:
        """Return the id of the experiment, made now when it is missing."""
        if not self._id:
            self._id = self._found() or self._made()
        return self._id

    def forget(self) -> None:
        """Look for the experiment anew the next time."""
        self._id = ""

    def _found(self) -> str | None:
        try:
            found = self.get("/experiments/get-by-name", experiment_name=self._name)["experiment"]
        except RefusedByServerError as error:
            if error.code == "RESOURCE_DOES_NOT_EXIST":
                return None
            raise
        if found.get("lifecycle_stage") == "deleted":
            raise PlaceMissingError(f"experiment {self._name!r} is deleted; restore it")
        return str(found["experiment_id"])

    def _made(self) -> str:
        try:
            made = self.post("/experiments/create", {"name": self._name})
        except RefusedByServerError as error:
            found = self._found() if error.code == "RESOURCE_ALREADY_EXISTS" else None
            if found is None:
                raise
            return found
        return str(made["experiment_id"])
