# SPDX-License-Identifier: Apache-2.0
"""Questions about serving: where to send a request, and how rollouts go."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from mlops.chassis.bus import Documents
from mlops.serving.handlers.owners import Owners
from mlops.serving.handlers.reports import app_of, read_report
from mlops.serving.handlers.status import Status
from mlops.serving.model.apps import FULL_CONCURRENCY
from mlops.serving.model.heat import Node
from mlops.serving.model.state import shadowing, weights
from mlops.serving.ports import Counting, Deployment, RoomFigures, Served, Sleep, Weather


class Queries:
    """Answers from the documents; *url_of* says where a version answers (project, model, version)."""

    def __init__(
        self,
        projects: Documents[Served],
        deployments: Documents[Deployment],
        weather: Weather,
        counting: Counting,
        sleep: Sleep,
        status: Status,
        owners: Owners,
        url_of: Callable[[str, str, int], str],
        room: Callable[[], RoomFigures],
    ) -> None:
        self._projects = projects
        self._deployments = deployments
        self._weather = weather
        self._counting = counting
        self._sleep = sleep
        self._status = status
        self._owners = owners
        self._url_of = url_of
        self._room = room

    async def routes(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `query.serving.routes`: every served model, its versions, their weights, and its shadow."""
        found = sorted((await self._deployments.all()).items())
        return {"routes": [await self._route(one) for _, one in found if weights(one.state)]}

    async def list_deployments(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `query.serving.list`: every model in short, the machines, and how full the memory of serving is."""
        found = await self._deployments.all()
        nodes = {name: _node(node) for name, node in sorted((await self._weather.nodes()).items())}
        summaries = [await self._status.summary(one) for _, one in sorted(found.items())]
        return {"deployments": summaries, "nodes": nodes, "room": asdict(self._room())}

    async def get_deployment(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Answer `query.serving.get {project, model}`: its rollouts, step by step."""
        project, model = str(question.get("project", "")), str(question.get("model", ""))
        one = await self._owners.deployment(project, model)
        return {"deployment": await self._status.detail(one)}

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

    async def _route(self, one: Deployment) -> dict[str, Any]:
        asleep = await self._sleep.is_asleep(one.project, one.model)
        return {
            "project": one.project,
            "model": one.model,
            "versions": [] if asleep else self._targets(one),
            "shadow": None if asleep else self._shadow(one),
            "asleep": asleep,
        }

    def _targets(self, one: Deployment) -> list[dict[str, Any]]:
        shares = {
            version: (self._url_of(one.project, one.model, version), weight)
            for version, weight in sorted(weights(one.state).items())
        }
        return [
            {"version": version, "url": url, "weight": weight}
            for version, (url, weight) in shares.items()
            if url  # a replica's own port is not known before Ray was asked
        ]

    def _shadow(self, one: Deployment) -> dict[str, Any] | None:
        rollout = shadowing(one.state)
        if rollout is None:
            return None
        url = self._url_of(one.project, one.model, rollout.version)
        share = rollout.plan.shadow_share
        return {"version": rollout.version, "url": url, "share": share} if url else None


def _node(node: Node) -> dict[str, Any]:
    return {
        "level": node.level,
        "concurrency": node.bound.now or FULL_CONCURRENCY,
        "reason": node.reason,
        "episode_id": node.episode or None,
        "heard_at": node.heard_at.isoformat(),
    }
