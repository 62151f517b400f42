# SPDX-License-Identifier: Apache-2.0
"""The newest hardware sample of every node, whole, with its age: what a client reads of its own machine in a run."""

from __future__ import annotations

from datetime import datetime

from fastapi import APIRouter
from starlette.responses import Response

from mlops.chassis.clock import Clock
from mlops.gateway.errors import CallerError
from mlops.gateway.http.answers import json_answer
from mlops.gateway.model.views import NodeView
from mlops.gateway.ports import Memory


class Nodes:
    """`/api/v1/nodes`."""

    def __init__(self, memory: Memory, clock: Clock) -> None:
        self._memory = memory
        self._clock = clock

    def router(self) -> APIRouter:
        """Return its paths."""
        router = APIRouter(prefix="/api/v1", tags=["queries"])
        router.add_api_route("/nodes", self.nodes, response_model=None)
        router.add_api_route("/nodes/{node}", self.node, response_model=None)
        return router

    async def nodes(self) -> Response:
        """Return every node that was heard of."""
        known = sorted(self._memory.world.nodes.values(), key=lambda one: one.node)
        return json_answer({"nodes": [self._as_json(one) for one in known]})

    async def node(self, node: str) -> Response:
        """Return one node."""
        found = self._memory.world.nodes.get(node)
        if found is None:
            known = ", ".join(sorted(self._memory.world.nodes)) or "none yet"
            fix = f"known are: {known}; a node is known once its telemetry agent runs"
            raise CallerError(404, "no such node", node, fix)
        return json_answer(self._as_json(found))

    def _as_json(self, view: NodeView) -> dict[str, object]:
        return {
            "node": view.node,
            "level": view.level,
            "reason": view.reason,
            "changed_at": view.at,
            "sampled_at": view.sampled_at or None,
            "age_s": self._age_s(view.sampled_at),
            "episode_id": view.episode_id or None,
            "sample": dict(view.sample) or None,
        }

    def _age_s(self, told: str) -> float | None:
        try:
            at = datetime.fromisoformat(told)
        except ValueError:
            return None
        return round(max(0.0, (self._clock() - at).total_seconds()), 3) if at.tzinfo else None
