# SPDX-License-Identifier: Apache-2.0
"""What monitoring answers when asked: how models do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from mlops.chassis.bus import Documents, Question
from mlops.monitoring.handlers.judging import promise_of
from mlops.monitoring.model.windows import Phase, Watched, Window
from mlops.monitoring.ports import Ledger, Page, WatchedProject

_LATEST = 60
# A reply has room for 1 MiB; where many models are asked for, each tells of fewer windows.
_SHOWN = (_LATEST, 20, 5, 1, 0)
_MOST_BYTES = 700_000


class Queries:
    """Read-only views."""

    def __init__(
        self,
        projects: Documents[WatchedProject],
        ledger: Ledger,
    ) -> None:
        self._projects = projects
        self._ledger = ledger

    async def models(self, question: Question) -> Mapping[str, Any]:
        """Answer `query.monitoring.models {project?, model?}`; of many models with fewer windows of each."""
        projects = await self._projects.all()
        found = await self._ledger.look(lambda page: _models(page, projects, question))
        return {"models": _fitting(found)}


def _fitting(models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for most in _SHOWN:
        models = [{**one, "windows": one["windows"][-most:] if most else []} for one in models]
        if len(to_json(models)) <= _MOST_BYTES:
            break
    return models


def _models(
    page: Page, projects: Mapping[str, WatchedProject], question: Question
) -> list[dict[str, Any]]:
    return [
        _view(page, model, projects.get(model.key.project, WatchedProject()))
        for model in page.models.all()
        if question.get("project") in (None, model.key.project)
        and question.get("model") in (None, model.key.model)
    ]


def _view(page: Page, model: Watched, project: WatchedProject) -> dict[str, Any]:
    windows = page.windows.latest(model.key, _LATEST)
    version = model.version if model.version is not None else _newest_version(windows)
    open_ = next((w for w in windows if w.phase is Phase.OPEN and w.version == version), None)
    promise = promise_of(project, model, version)
    return {
        "project": model.key.project,
        "model": model.key.model,
        "version": version,
        "metric": promise.metric,
        "expected": promise.expected,
        "threshold": promise.threshold,
        "degraded": model.degraded,
        "open_window": None
        if open_ is None
        else {"rows": open_.rows, "size": open_.size, "labelled": open_.labelled},
        "labelled": sum(w.labelled for w in windows if w.version == version),
        "waiting_for_labels": sum(w.phase is Phase.FULL for w in windows),
        "windows": [_window(w) for w in windows if w.index is not None],
        "drift": {
            kind: _alarm(on=alarm.on, columns=alarm.told, critical=alarm.critical)
            for kind, alarm in model.alarms.items()
        },
        "reference": _reference(page, model, version),
    }


def _window(window: Window) -> dict[str, Any]:
    inputs = window.inputs
    return {
        "index": window.index,
        "version": window.version,
        "phase": window.phase.value,
        "rows": window.rows,
        "labelled": window.labelled,
        "value": window.value,
        "degraded": window.degraded,
        "drift_share": None if inputs is None or inputs.unjudged else inputs.share,
        "drift_columns": [] if inputs is None else list(inputs.columns),
        "cannot_judge": None if inputs is None else inputs.unjudged,
        "allowed_for": None if inputs is None else inputs.allowed,
        "unexpected_columns": [] if inputs is None else list(inputs.unexpected),
    }


def _alarm(*, on: bool, columns: tuple[str, ...], critical: bool) -> dict[str, Any]:
    return {"on": on, "columns": list(columns), "critical": critical}


def _reference(page: Page, model: Watched, version: int | None) -> dict[str, Any] | None:
    made = None if version is None else page.baselines.made(model.key, version)
    if made is None:
        return None
    growth = None if version is None else page.baselines.growth(model.key, version)
    return {
        "origin": made.origin,
        "rows": made.rows,
        "made_at": made.made_at.isoformat(),
        "growth": None if growth is None else growth.told,
    }


def _newest_version(windows: list[Window]) -> int | None:
    return windows[-1].version if windows else None
