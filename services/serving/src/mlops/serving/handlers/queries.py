# SPDX-License-Identifier: Apache-2.0
"""Questions about serving: where to send a request, and how rollouts go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import to_jsonable_python

from mlops.chassis.bus import Documents
from mlops.serving.handlers.names import endpoint
from mlops.serving.handlers.owners import Owners
from mlops.serving.model.apps import concurrency_at
from mlops.serving.model.rollout import Mark
from mlops.serving.model.state import State, needed, weights
from mlops.serving.ports import Deployment, Heat, Served


class Queries:
    """Answers from the documents; *url_of* says where a version answers (project, model, version)."""

    def __init__(
        self,
        projects: Documents[Served],
        deployments: Documents[Deployment],
        heat: Documents[Heat],
        owners: Owners,
        url_of: Callable[[str, str, int], str],
    ) -> None:
        self._projects = projects
        self._deployments = deployments
        self._heat = heat
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
        return {"deployments": [_summary(one) for _, one in sorted(found.items())]}

    async def get_deployment(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `query.serving.get {project, model}`: its rollouts, step by step."""
        project, model = str(question.get("project", "")), str(question.get("model", ""))
        one = await self._owners.deployment(project, model)
        return {"deployment": {**_summary(one), "rollouts": _journeys(one.state)}}

    async def limits(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `query.serving.limits {project}`: what a running replica must keep to now.

        Replicas ask for it. Ray's own way of telling them (`user_config`) takes the only replica of an
        application out of the traffic for most of a second.
        """
        served = await self._projects.get(str(question.get("project", "")))
        level = max((one.level for one in (await self._heat.all()).values()), default=0)
        return {
            "concurrency": concurrency_at(level),
            "log_predictions": served.settings.log_predictions if served else 1.0,
        }

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
        },
    }


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
