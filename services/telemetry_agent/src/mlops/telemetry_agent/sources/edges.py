# SPDX-License-Identifier: Apache-2.0
"""An edge of heat as the message that others hear; the same edge is the same message, told again or after a restart."""

from __future__ import annotations

from mlops.contracts.telemetry_agent import ThermalRecovered, ThermalThrottled
from mlops.telemetry_agent.model.episodes import Edge

_NATIVE, _REASON = 64, 300


def edge_message(node: str, edge: Edge) -> ThermalThrottled | ThermalRecovered:
    """Return the message of an edge; both edges of an episode belong to one story."""
    if edge.recovered:
        return ThermalRecovered(
            id=edge.id,
            node=node,
            episode_id=edge.episode_id,
            level=edge.level,
            peak_level=edge.peak_level,
            duration_s=edge.duration_s,
            since=edge.since,
            correlation_id=edge.episode_id,
        )
    return ThermalThrottled(
        id=edge.id,
        node=node,
        episode_id=edge.episode_id,
        level=edge.level,
        native=edge.native[:_NATIVE],
        reason=edge.reason[:_REASON],
        since=edge.since,
        escalated_from=edge.escalated_from,
        correlation_id=edge.episode_id,
    )
