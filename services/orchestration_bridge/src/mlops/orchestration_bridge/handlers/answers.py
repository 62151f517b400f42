# SPDX-License-Identifier: Apache-2.0
"""How what the bridge knows is shown to who asks: machines, projects, workflows with their decision records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from mlops.orchestration_bridge.model import heat, nodes
from mlops.orchestration_bridge.model.admission import Ruling
from mlops.orchestration_bridge.model.forecast import forecast
from mlops.orchestration_bridge.model.nodes import Node
from mlops.orchestration_bridge.model.queue import UNDER_WAY, Entry
from mlops.orchestration_bridge.model.standing import World

_HIDDEN = frozenset(
    {"told", "told_holds", "stopped", "queued_id", "traceparent", "moved_why", "needs"}
)
# In a list of many, the answer must fit into one message.
_LONG = ("ahead", "obstacles", "needs")


def machine(name: str, node: Node, world: World, now: datetime) -> dict[str, Any]:
    """Return what is known of a machine; `unknown` says why nobody knows how hot it is."""
    expected = forecast(node.fit, now.timestamp())
    return {
        "level": node.level,
        "reason": node.reason,
        "seen_at": node.seen_at,
        "interval": node.interval,
        "unknown": nodes.unknown(name, node, now) or None,
        "source": node.reading.source,
        "chip": node.reading.chip,
        "accelerators": node.reading.accelerators,
        "memory_total_bytes": node.reading.memory_total,
        "memory_available_bytes": node.reading.memory_available,
        "slots": world.fleet.slots(name, now),
        "slots_at_most": world.max_parallel,
        "clock_behind_s": round(node.skew_s, 3),
        "forecast": asdict(expected),
    }


def workflow(
    entry: Entry, ruling: Ruling | None, note: str | None, *, whole: bool
) -> dict[str, Any]:
    """Return a workflow and what is decided of it; *whole* with everything that would fill a list."""
    shown = {name: value for name, value in asdict(entry).items() if name not in _HIDDEN}
    decision = asdict(ruling) if ruling else None
    if decision is not None and not whole:
        decision = {name: value for name, value in decision.items() if name not in _LONG}
    return {**shown, "decision": decision, "note": note}


def on_its_machine(entry: Entry, machines: Mapping[str, Node], now: datetime) -> tuple[str, str]:
    """Return what a workflow that runs should do, and why: heat, or a machine that has vanished under it."""
    node = machines.get(entry.node)
    if entry.state not in UNDER_WAY or node is None:
        return heat.Advice.NOTHING, ""
    silent = nodes.unknown(entry.node, node, now)
    if silent:
        return heat.Advice.NOTHING, f"{silent}; nobody can tell whether it still runs there"
    wanted = heat.advice(node.level)
    if wanted is heat.Advice.NOTHING:
        return wanted, ""
    why = f": {node.reason}" if node.reason else ""
    return wanted, f"{entry.node} is at heat level {node.level}{why}"
