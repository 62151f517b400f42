# SPDX-License-Identifier: Apache-2.0
"""Questions about serving: where to send a request, and how rollouts go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import to_jsonable_python

from mlops.chassis.bus import Documents
from mlops.serving.handlers.names import endpoint
from mlops.serving.handlers.owners import Owners
from mlops.serving.handlers.reports import app_of, read_report
from mlops.serving.model.apps import FULL_CONCURRENCY, app_name
from mlops.serving.model.heat import Climate, Node
from mlops.serving.model.rollout import HELD, Mark, Rollout
from mlops.serving.model.state import State, needed, weights
from mlops.serving.ports import Counting, Deployment, Page, Served, Weather


class Queries:
    """Answers from the documents; *url_of* says where a version answers (project, model, version)."""

    def __init__(
        self,
        projects: Documents[Served],
        deployments: Documents[Deployment],
        weather: Weather,
        counting: Counting,
        owners: Owners,
        url_of: Callable[[str, str, int], str],
    ) -> None:
        self._projects = projects
        self._deployments = deployments
        self._weather = weather
        self._counting = counting
        self._owners = owners
        self._url_of = url_of

    async def routes(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `query.serving.routes`: every served model, its versions, their weights."""
        found = await self._deployments.all()
        return {
            "routes": [self._route(one) for _, one in sorted(found.items()) if weights(one.state)]
        }

    async def list_deployments(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `query.serving.list`: every model in short."""
        found = await self._deployments.all()
        nodes = {name: _node(node) for name, node in sorted((await self._weather.nodes()).items())}
        summaries = [await self._summary(one) for _, one in sorted(found.items())]
        return {"deployments": summaries, "nodes": nodes}

    async def get_deployment(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `query.serving.get {project, model}`: its rollouts, step by step."""
        project, model = str(question.get("project", "")), str(question.get("model", ""))
        one = await self._owners.deployment(project, model)
        summary = await self._summary(one)
        return {"deployment": {**summary, "rollouts": _journeys(one.state)}}

    async def limits(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `query.serving.limits {project, model, version, …}`: what a running replica must keep to now.

        With the question a replica tells what it has counted, and on which machine (`Counting.hear`).
        """
        app, report = app_of(question), read_report(question)
        if report is not None:
            self._counting.hear(app, report)
        served = await self._projects.get(str(question.get("project", "")))
        return {
            "concurrency": (await self._weather.over(app)).concurrency,
            "log_predictions": served.settings.log_predictions if served else 1.0,
        }

    async def _summary(self, one: Deployment) -> dict[str, Any]:
        found = _summary(one)
        names = {
            str(version): app_name(one.project, one.model, version) for version in needed(one.state)
        }
        found["heat"] = {
            version: _heat(await self._weather.over(app)) for version, app in names.items()
        }
        found["energy"] = {
            version: _energy(await self._counting.last(app)) for version, app in names.items()
        }
        return found

    def _route(self, one: Deployment) -> dict[str, Any]:
        shares = {
            version: (self._url_of(one.project, one.model, version), weight)
            for version, weight in sorted(weights(one.state).items())
        }
        return {
            "project": one.project,
            "model": one.model,
            "versions": [
                {"version": version, "url": url, "weight": weight}
                for version, (url, weight) in shares.items()
                if url  # a replica's own port is not known before Ray was asked
            ],
        }


def _summary(one: Deployment) -> dict[str, Any]:
    state = one.state
    live = state.package(state.live) if state.live is not None else None
    rollout = state.rollout
    return {
        "project": one.project,
        "model": one.model,
        "endpoint": endpoint(one.model),
        "live": state.live,
        "before": state.before,
        "backend": live.backend if live else None,
        "bento_tag": live.bento_tag if live else None,
        "running": list(needed(state)),
        "weights": {str(version): weight for version, weight in weights(state).items()},
        "rollout": None
        if rollout is None
        else {
            "deployment_id": rollout.deployment_id,
            "version": rollout.version,
            "phase": rollout.phase.value,
            "traffic_ratio": rollout.traffic_ratio,
            "held": _held(rollout),
        },
    }


def _heat(found: Climate) -> dict[str, Any]:
    return {
        "level": found.level,
        "concurrency": found.concurrency,
        "full": FULL_CONCURRENCY,
        "node": found.node or None,
        "why": found.why,
    }


def _node(node: Node) -> dict[str, Any]:
    return {
        "level": node.level,
        "concurrency": node.bound.now or FULL_CONCURRENCY,
        "reason": node.reason,
        "episode_id": node.episode or None,
        "heard_at": node.heard_at.isoformat(),
    }


def _energy(last: Page | None) -> dict[str, Any] | None:
    if last is None:
        return None
    energy = last.energy
    return {
        "joules_per_1000": last.joules_per_1000,
        "joules": energy.joules if energy else None,
        "measured": energy.measured if energy else None,
        "predictions": last.window.predictions,
        "since": last.window.since.isoformat(),
        "until": last.until.isoformat(),
    }


def _held(rollout: Rollout) -> str:
    """Return why a rollout waits where it is, empty when it does not."""
    last = rollout.marks[-1] if rollout.marks else None
    return last.reason if last is not None and last.stage == HELD else ""


def _journeys(state: State) -> list[dict[str, Any]]:
    return [
        {
            "deployment_id": one.deployment_id,
            "version": one.version,
            "previous_version": one.previous_version,
            "phase": one.phase.value,
            "why": one.why,
            "wanted_at": one.wanted_at.isoformat(),
            "marks": [_mark(mark) for mark in one.marks],
        }
        for one in state.rollouts
    ]


def _mark(mark: Mark) -> dict[str, Any]:
    found: dict[str, Any] = to_jsonable_python(mark)
    return found
