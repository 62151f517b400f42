# SPDX-License-Identifier: Apache-2.0
"""Outages: a version of which nothing answers is looked at until it does, and requests for it wait meanwhile."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from mlops.gateway.model.routing import Route, Target
from mlops.gateway.ports import LostReplicaError, Replicas, Routes, SlowReplicaError

_LOOK_S = 0.2
_ANSWER_S = 2.0
_OK = 200


class Outages:
    """What does not answer now; a request waits at most *patience* for it."""

    def __init__(self, routes: Routes, replicas: Replicas, patience: timedelta) -> None:
        self._routes = routes
        self._replicas = replicas
        self._patience_s = patience.total_seconds()
        self._looking: dict[str, asyncio.Task[None]] = {}

    def doubt(self, route: Route, target: Target) -> None:
        """Look at a version that has just failed, at once and until it is ready or routed to no more."""
        if target.url in self._looking:
            return
        looking = asyncio.create_task(self._look(route, target), name=f"outage {target.url}")
        self._looking[target.url] = looking
        looking.add_done_callback(lambda _: self._looking.pop(target.url))

    def is_out(self, target: Target) -> bool:
        """Return whether nothing of this version answers, as far as is known."""
        return target.url in self._looking

    async def until_over(self, target: Target) -> None:
        """Return when the version answers again, is routed to no more, or patience is over."""
        looking = self._looking.get(target.url)
        if looking is not None:
            await asyncio.wait({looking}, timeout=self._patience_s)

    async def close(self) -> None:
        """Look no more."""
        tasks = list(self._looking.values())
        for one in tasks:
            one.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look(self, route: Route, target: Target) -> None:
        while self._is_routed(route, target) and not await self._is_ready(route, target):
            await asyncio.sleep(_LOOK_S)

    def _is_routed(self, route: Route, target: Target) -> bool:
        now = self._routes.table.routes.get((route.project, route.model))
        return now is not None and any(one.url == target.url for one in now.targets)

    async def _is_ready(self, route: Route, target: Target) -> bool:
        url = f"{target.url}/v2/models/{route.model}/ready"
        try:
            async with asyncio.timeout(_ANSWER_S):
                reply = await self._replicas.send("GET", url, b"", {})
        except (LostReplicaError, SlowReplicaError, TimeoutError):
            return False
        await reply.close()
        return reply.status == _OK
