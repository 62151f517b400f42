# SPDX-License-Identifier: Apache-2.0
"""How what the bridge knows is shown to who asks: machines, projects, workflows with their decision records."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from mlops.orchestration_bridge.model import departure, moving, nodes
from mlops.orchestration_bridge.model.admission import Ruling
from mlops.orchestration_bridge.model.forecast import forecast
from mlops.orchestration_bridge.model.nodes import Node
from mlops.orchestration_bridge.model.queue import UNDER_WAY, Entry
from mlops.orchestration_bridge.model.standing import World

_HIDDEN = frozenset(
    {
        "told",
        "told_holds",
        "told_requests",
        "stopped",
        "queued_id",
        "traceparent",
        "moved_why",
        "needs",
        "hardware",
        "stints",
        "asked",
        "requests",
        "forced",
    }
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
    return {**shown, "decision": decision, "note": note, "asked": attempts(entry)["asked"]}


def on_its_machine(entry: Entry, world: World, now: datetime) -> str:
    """Return what heat wants of a workflow that runs, or that its machine has fallen silent; empty when neither."""
    if entry.state not in UNDER_WAY:
        return ""
    found = (one.reason for one in moving.verdicts(world, now) if one.key == entry.key)
    return departure.silence(world, entry, now) or next(found, "")


def attempts(entry: Entry) -> dict[str, Any]:
    """Return how often a workflow was started, how its earlier starts parted, and what the present one is asked."""
    last = entry.asked[-1] if entry.asked else None
    return {
        "attempt": entry.attempt,
        "attempts": [
            {
                "node": one.node,
                "started_at": one.started_at,
                "ended_at": one.ended_at,
                "parted": one.parting.value,
                "saved": one.saved,
            }
            for one in entry.stints
        ],
        "from_checkpoint": entry.from_checkpoint,
        "asked": None
        if last is None
        else {"ask": last.ask.value, "request": last.number, "reason": last.reason, "at": last.at},
    }
