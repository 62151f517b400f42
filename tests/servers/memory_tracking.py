# SPDX-License-Identifier: Apache-2.0
"""MemoryTracking: an MLflow for tests of the spool, with MLflow's manners and with outages on demand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from mlops.client.mlflow_rest.models import PackedModel, SentModel
from mlops.client.mlflow_rest.state import NewRun, RunState
from mlops.client.mlflow_rest.trouble import (
    AwayError,
    LostAnswerError,
    RefusedByServerError,
    RunGoneError,
)

_T = TypeVar("_T")
Point = tuple[str, str, int, int]
CLIENT_RUN = "mlops.client_run"


@dataclass
class MemoryRun:
    """A run as MLflow keeps it: a point of the same key, value, time and step is one point."""

    status: str = "RUNNING"
    deleted: bool = False
    ended_ms: int | None = None
    name: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)


@dataclass
class MemoryTracking:
    """Implements the courier's Server; `troubles` says for each call: "" (fine), "away" or "lost" (done, no answer)."""

    runs: dict[str, MemoryRun] = field(default_factory=dict)
    troubles: Iterator[str] = field(default_factory=lambda: iter(()))
    calls: int = 0

    def create_run(self, run: NewRun) -> str:
        lost = self._trouble()
        run_id = f"run{len(self.runs)}"
        made = MemoryRun(name=run.name, tags={**run.tags, CLIENT_RUN: run.ref})
        self.runs[run_id] = made
        return self._answer(lost, run_id)

    def find_run(self, ref: str) -> str | None:
        lost = self._trouble()
        found = [key for key, run in self.runs.items() if run.tags.get(CLIENT_RUN) == ref]
        return self._answer(lost, found[0] if found else None)

    def remove_twins(self, ref: str, run_id: str) -> None:
        lost = self._trouble()
        for key, run in self.runs.items():
            twin = key != run_id and run.tags.get(CLIENT_RUN) == ref
            if twin and not run.points and not run.params:
                del run.tags[CLIENT_RUN]
                run.deleted = True
        self._answer(lost, None)

    def run(self, run_id: str) -> RunState:
        lost = self._trouble()
        run = self._known(run_id)
        state = RunState(run_id, run.status, run.deleted, "", "1", dict(run.tags), dict(run.params))
        return self._answer(lost, state)

    def log_batch(self, body: bytes) -> None:
        lost = self._trouble()
        told = json.loads(body)
        run = self._active(told["run_id"])
        fresh = {param["key"]: param["value"] for param in told.get("params", [])}
        if len(fresh) != len(told.get("params", [])):
            raise RefusedByServerError("INVALID_PARAMETER_VALUE", "Duplicate parameter keys")
        for key, value in fresh.items():
            if run.params.get(key, value) != value:
                raise RefusedByServerError("INVALID_PARAMETER_VALUE", f"{key} was logged already")
        for metric in told.get("metrics", []):
            if metric["key"].startswith("poison"):
                raise RefusedByServerError("INVALID_PARAMETER_VALUE", metric["key"])
        run.params.update(fresh)
        run.tags.update({tag["key"]: tag["value"] for tag in told.get("tags", [])})
        for metric in told.get("metrics", []):
            point = (metric["key"], str(metric["value"]), metric["timestamp"], metric["step"])
            if point not in run.points:
                run.points.append(point)
        self._answer(lost, None)

    def set_status(self, run_id: str, status: str, ended_ms: int | None = None) -> None:
        lost = self._trouble()
        run = self._active(run_id)
        run.status, run.ended_ms = status, ended_ms
        self._answer(lost, None)

    def resume(self, run_id: str) -> None:
        lost = self._trouble()
        self._active(run_id).status = "RUNNING"
        self._answer(lost, None)

    def upload(self, run_id: str, path: str, file: Path) -> None:
        lost = self._trouble()
        self._known(run_id).files[path] = file.read_bytes()
        self._answer(lost, None)

    def log_model(self, run_id: str, model: PackedModel) -> SentModel:
        lost = self._trouble()
        for file in sorted(model.folder.rglob("*")):
            if file.is_file():
                path = f"{model.name}/{file.relative_to(model.folder)}"
                self._known(run_id).files[path] = file.read_bytes()
        return self._answer(lost, SentModel(model.key, f"models:/{model.key}", 1))

    def close(self) -> None:
        """Nothing is open."""

    def _known(self, run_id: str) -> MemoryRun:
        if run_id not in self.runs:
            raise RunGoneError("RESOURCE_DOES_NOT_EXIST", f"Run with id={run_id} not found")
        return self.runs[run_id]

    def _active(self, run_id: str) -> MemoryRun:
        run = self._known(run_id)
        if run.deleted:
            raise RunGoneError("INVALID_PARAMETER_VALUE", "must be in the 'active' state")
        return run

    def _trouble(self) -> bool:
        self.calls += 1
        trouble = next(self.troubles, "")
        if trouble == "away":
            raise AwayError("the server is away")
        return trouble == "lost"

    def _answer(self, lost: bool, value: _T) -> _T:  # noqa: FBT001 - what `_trouble` has said
        if lost:
            raise LostAnswerError("the answer was lost")
        return value
