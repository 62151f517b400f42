# SPDX-License-Identifier: Apache-2.0
"""Tracking: the few calls of MLflow's REST API that steps need, in the project's workspace.

Not `mlflow_rest`: that one serves a thread that must never wait and lets the spool try again; a step waits in place, until
its deadline, and names its run by the workflow's key.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import httpx

from mlops.client.steps.errors import PassingError, PermanentError, StepError
from mlops.client.steps.patience import PatientHttp

_API = "/api/2.0/mlflow"
_KEY_TAG = "mlops.workflow_key"
_TRIES = 5


@dataclass(frozen=True)
class Run:
    """An MLflow run."""

    run_id: str
    experiment_id: str
    status: str
    artifact_uri: str
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


class Tracking:
    """MLflow in one workspace and one experiment, both named like the project."""

    def __init__(self, http: PatientHttp, project: str) -> None:
        self.url = http.url
        self.http = http
        self._project = project

    def run_of(self, key: str, tags: dict[str, str]) -> Run:
        """Return the run of a workflow, made with these tags when there is none yet."""
        experiment = self._experiment()
        body = {
            "experiment_id": experiment,
            "run_name": key,
            "start_time": _now_ms(),
            "tags": _pairs({"mlflow.source.type": "JOB", **tags}),
        }
        for _ in range(_TRIES):
            found = self._find(experiment, key)
            if found is not None:
                return found
            # One try only: after a lost answer the run may be there, and the search above finds it.
            answer = self.http.once("POST", f"{_API}/runs/create", json=body)
            if answer is not None:
                return _run(_checked(answer, "create a run")["run"])
        raise PassingError(f"MLflow at {self.url} did not create the run of workflow {key}")

    def run(self, run_id: str) -> Run:
        """Return the run as it is now."""
        return _run(self._get("runs/get", {"run_id": run_id}, f"read run {run_id}")["run"])

    def tag(self, run_id: str, tags: dict[str, str]) -> None:
        """Set tags of a run."""
        if tags:
            body = {"run_id": run_id, "tags": _pairs(tags)}
            self._post("runs/log-batch", body, f"tag run {run_id}")

    def log(self, run_id: str, metrics: dict[str, float], *, step: int) -> None:
        """Log numbers of a run at a step."""
        at = _now_ms()
        told = [{"key": k, "value": v, "timestamp": at, "step": step} for k, v in metrics.items()]
        self._post("runs/log-batch", {"run_id": run_id, "metrics": told}, f"log to run {run_id}")

    def set_status(self, run: Run, status: str) -> None:
        """Set the status of a run; an end gets its time."""
        body: dict[str, Any] = {"run_id": run.run_id, "status": status}
        if status not in ("RUNNING", "SCHEDULED"):
            body["end_time"] = _now_ms()
        self._post("runs/update", body, f"set run {run.run_id} {status}")

    def champion(self, model: str) -> int | None:
        """Return the version with the alias `champion`, None when nothing was promoted yet."""
        params = {"name": model, "alias": "champion"}
        answer = self.http.call("GET", f"{_API}/registered-models/alias", params=params)
        if answer.is_client_error and _code(answer) in (
            "RESOURCE_DOES_NOT_EXIST",
            "INVALID_PARAMETER_VALUE",
        ):
            return None
        found = _checked(answer, f"find the champion of {model!r}")
        return int(found["model_version"]["version"])

    def model_of(self, run: Run) -> tuple[str, str | None] | None:
        """Return source and id of the newest model that the run has logged, None without one."""
        body = {
            "experiment_ids": [run.experiment_id],
            "filter": f"source_run_id = '{run.run_id}'",
            "order_by": [{"field_name": "creation_timestamp", "ascending": False}],
            "max_results": 1,
        }
        found = self._post("logged-models/search", body, "find the model of the run")
        for model in found.get("models", []):
            model_id = str(model["info"]["model_id"])
            return f"models:/{model_id}", model_id
        return self._in_artifacts(run)

    def register(self, model: str, run: Run, source: str, model_id: str | None) -> int:
        """Return the version that this run has in the registry, made when there is none yet."""
        found = self._version(model, run)
        if found is not None:
            return found
        self._known(model)
        body = {"name": model, "source": source, "run_id": run.run_id, "model_id": model_id}
        for _ in range(_TRIES):
            answer = self.http.once("POST", f"{_API}/model-versions/create", json=body)
            if answer is not None:
                made = _checked(answer, f"register a version of {model!r}")
                return int(made["model_version"]["version"])
            found = self._version(model, run)
            if found is not None:
                return found
        raise PassingError(f"MLflow at {self.url} did not register a version of {model!r}")

    def _known(self, model: str) -> None:
        answer = self.http.call("POST", f"{_API}/registered-models/create", json={"name": model})
        if _code(answer) != "RESOURCE_ALREADY_EXISTS":
            _checked(answer, f"create the registered model {model!r}")

    def _version(self, model: str, run: Run) -> int | None:
        params = {"filter": f"name = '{model}' and run_id = '{run.run_id}'", "max_results": "1"}
        found = self._get("model-versions/search", params, f"look for versions of {model!r}")
        versions = [int(version["version"]) for version in found.get("model_versions", [])]
        return versions[0] if versions else None

    def _in_artifacts(self, run: Run) -> tuple[str, str | None] | None:
        # What clients before MLflow 3 log: a folder with a file MLmodel among the run's artifacts.
        for folder in self._list(run, ""):
            inside = self._list(run, folder["path"]) if folder.get("is_dir") else []
            if any(file["path"] == f"{folder['path']}/MLmodel" for file in inside):
                return f"{run.artifact_uri}/{folder['path']}", None
        return None

    def _list(self, run: Run, path: str) -> list[dict[str, Any]]:
        params = {"run_id": run.run_id, **({"path": path} if path else {})}
        found = self._get("artifacts/list", params, "list the artifacts of the run")
        return list(found.get("files", []))

    def _experiment(self) -> str:
        params = {"experiment_name": self._project}
        answer = self.http.call("GET", f"{_API}/experiments/get-by-name", params=params)
        if _code(answer) != "RESOURCE_DOES_NOT_EXIST":
            found = _checked(answer, f"find experiment {self._project!r}")
            return str(found["experiment"]["experiment_id"])
        made = self.http.call("POST", f"{_API}/experiments/create", json={"name": self._project})
        if _code(made) == "RESOURCE_ALREADY_EXISTS":
            return self._experiment()
        return str(_checked(made, f"create experiment {self._project!r}")["experiment_id"])

    def _find(self, experiment: str, key: str) -> Run | None:
        body = {
            "experiment_ids": [experiment],
            "filter": f"tags.`{_KEY_TAG}` = '{key}'",
            "order_by": ["attributes.start_time ASC"],
            "max_results": 1,
        }
        found = self._post("runs/search", body, f"look for the run of {key}")
        return next((_run(run) for run in found.get("runs", [])), None)

    def _get(self, path: str, params: dict[str, str], what: str) -> dict[str, Any]:
        return _checked(self.http.call("GET", f"{_API}/{path}", params=params), what)

    def _post(self, path: str, body: dict[str, Any], what: str) -> dict[str, Any]:
        return _checked(self.http.call("POST", f"{_API}/{path}", json=body), what)


def _run(found: dict[str, Any]) -> Run:
    info, content = found["info"], found.get("data", {})
    return Run(
        run_id=str(info["run_id"]),
        experiment_id=str(info["experiment_id"]),
        status=str(info.get("status", "")),
        artifact_uri=str(info.get("artifact_uri", "")),
        tags={tag["key"]: tag["value"] for tag in content.get("tags", [])},
        metrics={metric["key"]: float(metric["value"]) for metric in content.get("metrics", [])},
    )


def _checked(answer: httpx.Response, what: str) -> dict[str, Any]:
    if answer.is_success:
        found: dict[str, Any] = answer.json()
        return found
    family: type[StepError] = PermanentError
    code = _code(answer)
    if code == "RESOURCE_DOES_NOT_EXIST":
        family = PassingError  # the workspace may be on its way
    raise family(f"MLflow will not {what}: {code}: {_message(answer)}")


def _code(answer: httpx.Response) -> str:
    return "" if answer.is_success else str(_body(answer).get("error_code", answer.status_code))


def _message(answer: httpx.Response) -> str:
    return str(_body(answer).get("message", answer.text))[:500]


def _body(answer: httpx.Response) -> dict[str, Any]:
    try:
        found = answer.json()
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _pairs(tags: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]


def _now_ms() -> int:
    return int(time.time() * 1000)
