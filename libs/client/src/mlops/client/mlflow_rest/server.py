# SPDX-License-Identifier: Apache-2.0
"""MlflowServer: what the spool delivers to; every call may be repeated without doing a thing twice."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops.client.mlflow_rest.artifacts import Artifacts
from mlops.client.mlflow_rest.connection import Connection
from mlops.client.mlflow_rest.models import Models, PackedModel, SentModel
from mlops.client.mlflow_rest.place import Place
from mlops.client.mlflow_rest.state import NewRun, RunState, state_of
from mlops.client.mlflow_rest.trouble import RefusedByServerError, RunGoneError

CLIENT_RUN = "mlops.client_run"
HEARTBEAT = "mlops.heartbeat"


class MlflowServer:
    """One MLflow, one workspace, one experiment."""

    def __init__(
        self,
        uri: str,
        workspace: str,
        experiment: str,
        headers: Mapping[str, str] | None = None,
        *,
        verify: bool | str = True,
    ) -> None:
        self._place = Place(Connection(uri, headers or {}, verify=verify), workspace, experiment)
        self._artifacts = Artifacts(self._place)
        self._models = Models(self._place, self._artifacts)
        self._uris: dict[str, str] = {}

    def create_run(self, run: NewRun) -> str:
        """Make a run; after a lost answer look with `find_run` first."""
        tags = [{"key": key, "value": value} for key, value in run.tags.items()]
        body: dict[str, Any] = {
            "experiment_id": self._place.experiment(),
            "start_time": run.started_ms,
            "tags": [*tags, {"key": CLIENT_RUN, "value": run.ref}],
        }
        if run.name:
            body["run_name"] = run.name
        if user := run.tags.get("mlflow.user"):
            body["user_id"] = user
        try:
            made = state_of(self._place.post("/runs/create", body)["run"])
        except RefusedByServerError:
            self._place.forget()  # it may be deleted by now, and the next look says so
            self._place.experiment()
            raise
        self._uris[made.run_id] = made.artifact_uri
        return made.run_id

    def find_run(self, ref: str) -> str | None:
        """Return the id of the run that a client named *ref*."""
        body = {
            "experiment_ids": [self._place.experiment()],
            "filter": f"tags.`{CLIENT_RUN}` = '{ref}'",
            "order_by": ["attributes.start_time ASC"],
            "run_view_type": "ALL",
            "max_results": 1,
        }
        found = self._place.post("/runs/search", body).get("runs", [])
        return str(found[0]["info"]["run_id"]) if found else None

    def remove_twins(self, ref: str, run_id: str) -> None:
        """Delete empty runs that lost answers have made beside *run_id*; what anything was logged to stays."""
        body = {
            "experiment_ids": [self._place.experiment()],
            "filter": f"tags.`{CLIENT_RUN}` = '{ref}'",
            "run_view_type": "ACTIVE_ONLY",
            "max_results": 20,
        }
        for found in self._place.post("/runs/search", body).get("runs", []):
            twin, data = str(found["info"]["run_id"]), found.get("data", {})
            if twin == run_id or data.get("metrics") or data.get("params"):
                continue
            # The name first: a deleted run must not be found by it.
            self._place.post("/runs/delete-tag", {"run_id": twin, "key": CLIENT_RUN})
            self._place.post("/runs/delete", {"run_id": twin})

    def run(self, run_id: str) -> RunState:
        """Return a run; RunGoneError when there is none."""
        return state_of(self._place.get("/runs/get", run_id=run_id)["run"])

    def log_batch(self, body: bytes) -> None:
        """Log a batch that is JSON already."""
        self._place.post("/runs/log-batch", body)

    def set_status(self, run_id: str, status: str, ended_ms: int | None = None) -> None:
        """Set the status of a run; an end gets its time, and nobody waits for heartbeats any more."""
        body: dict[str, Any] = {"run_id": run_id, "status": status}
        if ended_ms is not None:
            body["end_time"] = ended_ms
        self._place.post("/runs/update", body)
        if ended_ms is not None:
            # In this order: who finds a run still running must find whose it is.
            self._without_heartbeat(run_id)

    def resume(self, run_id: str) -> None:
        """Set a run running again; RunGoneError when it does not exist or is deleted."""
        found = self.run(run_id)
        if found.deleted:
            raise RunGoneError("INVALID_PARAMETER_VALUE", f"run {run_id} is deleted")
        self._uris[run_id] = found.artifact_uri
        if found.status != "RUNNING":
            self.set_status(run_id, "RUNNING")

    def upload(self, run_id: str, path: str, file: Path) -> None:
        """Put a file among the artifacts of a run; a file of that path is replaced."""
        self._artifacts.put(self._uri(run_id), path, file)

    def log_model(self, run_id: str, model: PackedModel) -> SentModel:
        """Log a model's folder for a run, and register it if it is wanted."""
        return self._models.log(self.run(run_id), model)

    def version_of(self, model: str) -> int | None:
        """Return the champion's version, else the newest, None when nothing is registered under that name."""
        return self._models.version_of(model)

    def close(self) -> None:
        """Close the connection."""
        self._place.connection.close()

    def _without_heartbeat(self, run_id: str) -> None:
        # Somebody without heartbeats may go on with the run, as an evaluation does after a training.
        try:
            self._place.post("/runs/delete-tag", {"run_id": run_id, "key": HEARTBEAT})
        except RefusedByServerError as error:
            if isinstance(error, RunGoneError) or error.code != "RESOURCE_DOES_NOT_EXIST":
                raise

    def _uri(self, run_id: str) -> str:
        if run_id not in self._uris:
            self._uris[run_id] = self.run(run_id).artifact_uri
        return self._uris[run_id]
