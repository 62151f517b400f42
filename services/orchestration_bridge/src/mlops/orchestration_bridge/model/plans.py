# SPDX-License-Identifier: Apache-2.0
"""Plans: what a ruling changes of a workflow that waits: it starts, is held, is let go, or is meant for another machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta

from mlops.orchestration_bridge.model import lifecycle
from mlops.orchestration_bridge.model.admission import Ruling, World
from mlops.orchestration_bridge.model.queue import Entry, Queue

Step = tuple[str, Callable[[Queue], Queue]]


def steps(world: World, ruling: Ruling, entry: Entry, now: datetime) -> Iterator[Step]:
    """Yield the named changes that a ruling makes to its waiting workflow, in order; most rulings make none."""
    key, node = entry.key, ruling.node or ""
    if ruling.hot:
        if not entry.held:
            cool_at = None if ruling.cool_s is None else now + timedelta(seconds=ruling.cool_s)
            yield (
                f"held:{entry.holds + 1}",
                lambda q: lifecycle.held(q, key, ruling.reason, cool_at),
            )
        return
    if entry.held and not ruling.admitted:
        yield f"let-go:{entry.holds}", lambda q: lifecycle.let_go(q, key)
    too_hot = world.fleet.too_hot(entry.node, now) if entry.node not in ("", node) else ""
    if too_hot and node:
        why = f"{too_hot}; {node} {'has room' if world.fleet.too_hot(node, now) else 'is cooler'}"
        yield f"moved:{entry.holds + 1}", lambda q: lifecycle.moved(q, key, node, why)
    if ruling.admitted:
        needs, nodes = ruling.needs, ruling.nodes
        yield (
            f"admitted:{entry.attempt}",
            lambda q: lifecycle.admitted(q, key, now, node, needs, nodes),
        )
        return
    at = ruling.expected_start_at
    if (node and not entry.node) or (at and not entry.expected_at):
        yield (
            f"meant:{entry.holds}:{node}:{at is not None}",
            lambda q: lifecycle.meant_for(q, key, node, at),
        )
