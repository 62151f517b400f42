# SPDX-License-Identifier: Apache-2.0
"""`query.orchestration_bridge.queue`: what waits, why, until when; what runs; what ended; what was declined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from mlops.chassis.clock import Clock
from mlops.orchestration_bridge.model import admission
from mlops.orchestration_bridge.model.admission import Ruling, World
from mlops.orchestration_bridge.model.queue import Entry, Queue
from mlops.orchestration_bridge.ports.books import Books

_RECENT = 20
_FEW = 3  # of each project where all are shown: an answer must fit into one message
_ENTRY_HIDES = frozenset({"told", "told_holds", "stopped", "queued_id", "traceparent"})


class Questions:
    """What people and programs may ask."""

    def __init__(self, books: Books, clock: Clock) -> None:
        self._books = books
        self._clock = clock

    async def queue(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Answer for all projects, or at more length for the one named by `project`."""
        wanted = question.get("project")
        world, now = await self._books.world(), self._clock()
        rulings = {ruling.key: ruling for ruling in admission.rulings(world, now)}
        return {
            "orchestrator": {"away": self._books.away or None},
            "max_parallel": world.max_parallel,
            "nodes": {name: asdict(node) for name, node in world.nodes.items()},
            "projects": [
                self._project(world, queue, rulings, now, _RECENT if wanted else _FEW)
                for name, queue in sorted(world.queues.items())
                if wanted in (None, "", name)
            ],
        }

    def _project(
        self, world: World, queue: Queue, rulings: Mapping[str, Ruling], now: datetime, recent: int
    ) -> dict[str, Any]:
        ended = [entry for entry in queue.entries if not entry.active]
        return {
            "project": queue.project,
            "archived": queue.archived,
            "mode": queue.policy.mode,
            "cooldown_s": queue.policy.cooldown.total_seconds(),
            "used_today": queue.used_today(now),
            "max_per_day": queue.policy.max_per_day,
            "max_parallel": queue.policy.max_parallel,
            "share_used_ratio": admission.share_used(world.queues, queue, now),
            "follow_ups": [
                {"after": f.key, "windows": len(f.windows), "of": queue.policy.follow_up_windows}
                for f in queue.follow_ups
            ],
            "workflows": [self._entry(e, rulings.get(e.key)) for e in queue.entries if e.active],
            "ended": [self._entry(entry, None) for entry in ended[-recent:]],
            "declined": [asdict(declined) for declined in queue.declined[-recent:]],
        }

    def _entry(self, entry: Entry, ruling: Ruling | None) -> dict[str, Any]:
        shown = {name: value for name, value in asdict(entry).items() if name not in _ENTRY_HIDES}
        decision = asdict(ruling) if ruling else None
        return {**shown, "decision": decision, "note": self._books.notes.get(entry.key)}
