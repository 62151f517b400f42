# SPDX-License-Identifier: Apache-2.0
"""What the gateway counts and compares, asked over the bus; without a gateway nobody does."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from mlops.chassis.bus import Bus
from mlops.chassis.errors import ChassisError
from mlops.contracts.latency import Latencies
from mlops.serving.model.evidence import Comparison, Counts

_PATIENCE = timedelta(seconds=1)


class GatewayTraffic:
    """Answers of `query.gateway.traffic` and `query.gateway.comparison`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def counts(self, project: str, model: str) -> dict[int, Counts] | None:
        """Return the counts by version, or None when the gateway is away or has none yet."""
        try:
            answer = await self._bus.ask("gateway", "traffic", {}, _PATIENCE)
        except ChassisError:
            return None
        return {
            int(one["version"]): _counts(one)
            for one in answer.get("versions", [])
            if (one["project"], one["model"]) == (project, model)
        }

    async def comparisons(self, project: str, model: str) -> dict[int, Comparison] | None:
        """Return how each shadow's answers compare, or None when the gateway is away."""
        asked = {"project": project, "model": model}
        try:
            answer = await self._bus.ask("gateway", "comparison", asked, _PATIENCE)
        except ChassisError:
            return None
        last_first = answer.get("comparisons", [])
        return {int(one["version"]): _comparison(one) for one in reversed(last_first)}


def _counts(said: Mapping[str, Any]) -> Counts:
    return Counts(
        requests=int(said["requests"]),
        errors=int(said["errors"]),
        latency_ms=said.get("p50_ms"),
        times=tuple(Latencies.read(said.get("latencies")).counts),
    )


def _comparison(said: Mapping[str, Any]) -> Comparison:
    since = datetime.fromisoformat(str(said["since"]))
    failed = int(said.get("failed", 0))
    return Comparison(
        against_version=int(said["against_version"]),
        since=since if since.tzinfo else since.replace(tzinfo=UTC),
        requests=max(0, int(said["requests"]) - failed),  # there, what failed was asked, too
        dropped=int(said.get("dropped", 0)),
        failed=failed,
        agreement_ratio=said.get("agreement_ratio"),
        mean_difference=said.get("mean_difference"),
        latency_p95_ms=said.get("latency_p95_ms"),
        against_latency_p95_ms=said.get("against_latency_p95_ms"),
    )
