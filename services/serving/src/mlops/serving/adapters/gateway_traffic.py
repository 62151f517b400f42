# SPDX-License-Identifier: Apache-2.0
"""What the gateway counts, asked over the bus; without a gateway nobody counts."""

from __future__ import annotations

from datetime import timedelta

from mlops.chassis.bus import Bus
from mlops.chassis.errors import ChassisError
from mlops.serving.model.rollout import Counts

_PATIENCE = timedelta(seconds=1)


class GatewayTraffic:
    """Answers of `query.gateway.traffic`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    async def counts(self, project: str, model: str) -> dict[int, Counts] | None:
        """Return the counts by version, or None when the gateway is away or has none yet."""
        try:
            answer = await self._bus.ask("gateway", "traffic", {}, _PATIENCE)
        except ChassisError:
            return None
        return {
            int(one["version"]): Counts(
                requests=int(one["requests"]),
                errors=int(one["errors"]),
                latency_ms=one.get("p50_ms"),
            )
            for one in answer.get("versions", [])
            if (one["project"], one["model"]) == (project, model)
        }
