# SPDX-License-Identifier: Apache-2.0
"""Door: what a step asks of the gateway: the project's settings, and a dataset to be versioned."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from mlops.client.steps.assignment import Assignment
from mlops.client.steps.errors import PassingError, PermanentError, StepError
from mlops.client.steps.patience import PatientHttp
from mlops.contracts.settings import ProjectSettings

_VERSIONED = "data.versioned"
_REFUSED = "command.refused"
_LOOK_S = 30
_SHORT_S = 5.0
_ASKS = ("save", "leave", "stop")
LONGEST_S = 3600.0


@dataclass(frozen=True)
class Project:
    """A registered project: its settings, and the folder its commands run in."""

    settings: ProjectSettings
    folder: Path


@dataclass(frozen=True)
class Version:
    """The version of a dataset that this workflow reads."""

    name: str
    version: int
    hash: str
    path: str


@dataclass(frozen=True)
class Asked:
    """What heat asks of an attempt: `save`, `leave` or `stop`; `request` counts, `age_s` is how long ago."""

    ask: str
    request: int
    attempt: int
    reason: str = ""
    age_s: float = 0.0


@dataclass(frozen=True)
class Workflow:
    """A workflow as the gateway shows it: its newest attempt, and what that is asked."""

    attempt: int
    asked: Asked | None = None


class Door:
    """The gateway, as far as steps need it; *folder* is the project's on this machine, where it is not the registered one."""

    def __init__(self, http: PatientHttp, assignment: Assignment, folder: str = "") -> None:
        self._http = http
        self._assignment = assignment
        self._folder = folder

    def project(self) -> Project:
        """Return the project as it is registered now."""
        name = self._assignment.project
        answer = self._http.call("GET", "/api/v1/query/workspaces/get", params={"project": name})
        if answer.is_client_error:
            raise _refusal(answer, f"project {name!r}")
        found = answer.json().get("project") or {}
        if not found.get("path"):
            raise PermanentError(
                f"project {name!r} is registered without a folder; run `mlops register` in it"
            )
        try:
            settings = ProjectSettings.model_validate(found["settings"])
        except (KeyError, ValidationError) as error:
            raise PermanentError(
                f"the settings of project {name!r} cannot be read: {error}"
            ) from error
        return Project(settings, Path(self._folder or found["path"]))

    def workflow(self, within_s: float = _SHORT_S) -> Workflow | None:
        """Return the workflow as the gateway shows it now, None where it does not answer in time, or in its words."""
        path = f"/api/v1/workflows/{quote(self._assignment.key, safe='')}"
        answer = self._http.once("GET", path, timeout=within_s)
        try:
            return _workflow(answer.json()) if answer is not None and answer.is_success else None
        except (ValueError, TypeError, KeyError, AttributeError):
            return None

    def add_data(self, name: str, path: str) -> Version:
        """Version a dataset as it is now; the same content keeps its version."""
        command_id = str(uuid.uuid4())  # made here: a try after a lost answer is the same command
        body = {
            "id": command_id,
            "type": "cmd.data.add",
            "project": self._assignment.project,
            "data": {"name": name, "path": path},
            "correlation_id": self._assignment.correlation_id or None,
            "causation_id": self._assignment.causation_id or None,
            "traceparent": self._assignment.traceparent or None,
        }
        answer = self._http.call("POST", "/api/v1/commands", json=body)
        if not answer.is_success:
            raise _refusal(answer, f"the gateway refuses cmd.data.add of {name!r}")
        return self._versioned(command_id, name, path)

    def _versioned(self, command_id: str, name: str, path: str) -> Version:
        deadline = time.monotonic() + LONGEST_S
        params: dict[str, Any] = {"timeout_s": _LOOK_S, "type": _VERSIONED}
        while time.monotonic() < deadline:
            answer = self._http.call(
                "GET", f"/api/v1/commands/{command_id}/result", params=params, timeout=_LOOK_S + 15
            )
            if not answer.is_success:
                raise _refusal(answer, f"the gateway does not say what became of dataset {name!r}")
            for event in answer.json():
                if event["type"] == _VERSIONED:
                    told = event["data"]
                    return Version(name, int(told["version"]), str(told["hash"]), path)
                if event["type"] == _REFUSED:
                    raise PermanentError(f"dataset {name!r} at {path!r}: {event['data']['reason']}")
        raise PassingError(
            f"dataset {name!r} was not versioned within {LONGEST_S / 60:g} min; "
            "the service `versioning` may be away: see `mlops status`"
        )


def _workflow(found: Any) -> Workflow:
    asked = found.get("asked")
    if not isinstance(asked, dict) or asked.get("ask") not in _ASKS:
        return Workflow(int(found["attempt"]))
    request = Asked(
        ask=str(asked["ask"]),
        request=int(asked["request"]),
        attempt=int(asked["attempt"]),
        reason=str(asked.get("reason") or ""),
        age_s=float(asked.get("age_s") or 0.0),
    )
    return Workflow(int(found["attempt"]), request)


def _refusal(answer: httpx.Response, what: str) -> StepError:
    # A token may have been renewed since this try began; the next one reads it again.
    family = PassingError if answer.status_code in (401, 403) else PermanentError
    return family(f"{what}: {_told(answer)}")


def _told(answer: httpx.Response) -> str:
    try:
        body = answer.json()
    except ValueError:
        return f"HTTP {answer.status_code} {answer.text[:300]}"
    told = body.get("error", body) if isinstance(body, dict) else body
    if not isinstance(told, dict):
        return str(told)
    parts = (str(told.get(part)) for part in ("what", "which", "fix") if told.get(part))
    return "; ".join(parts) or f"HTTP {answer.status_code}"
