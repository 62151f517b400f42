# SPDX-License-Identifier: Apache-2.0
"""What is asked of the bridge about machines: `nodes` (heat, slots, work of each) and `files` (what a worker needs)."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from mlops.chassis.clock import Clock
from mlops.orchestration_bridge.handlers import answers
from mlops.orchestration_bridge.model.queue import UNDER_WAY
from mlops.orchestration_bridge.model.standing import World
from mlops.orchestration_bridge.ports.books import Books
from mlops.orchestration_bridge.ports.pipelines import Files


class Machines:
    """What people and the machines themselves may ask."""

    def __init__(self, books: Books, files: Files, clock: Clock) -> None:
        self._books = books
        self._files = files
        self._clock = clock

    async def nodes(self, question: Mapping[str, Any]) -> dict[str, Any]:  # noqa: ARG002 - one shape for all answers
        """Answer with every machine that was heard of or works, by name."""
        world, now = await self._books.world(), self._clock()
        running = Counter(
            name
            for queue in world.queues.values()
            for entry in queue.in_state(*UNDER_WAY)
            for name in entry.nodes or (entry.node,)
        )
        names = sorted({*world.nodes, *world.workers})
        return {
            "local": world.local or None,
            "nodes": {name: _told(name, world, running[name], now) for name in names},
        }

    async def files(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Answer with the files that a worker needs; without them where `known` is the sum of what it has."""
        found = await self._files.files()
        sha256 = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
        same = question.get("known") == sha256
        return {"sha256": sha256, "files": None if same else found}


def _told(name: str, world: World, running: int, now: datetime) -> dict[str, Any]:
    node, worker = world.nodes.get(name), world.workers.get(name)
    host = world.fleet.host(name, now)
    return {
        "heat": answers.machine(name, node, world, now) if node else None,
        "worker": {**asdict(worker), "ours": worker.ours} if worker else None,
        "local": name == world.local,
        "running": running,
        "slots": host.of,
        "closed": host.why_shut or None,
    }
