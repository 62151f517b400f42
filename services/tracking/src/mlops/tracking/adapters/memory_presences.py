# SPDX-License-Identifier: Apache-2.0
"""MemoryPresences: who runs where, over MemoryTracking, for story tests and trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlops.tracking.adapters.memory import MemoryTracking
from mlops.tracking.model.energy import NODE, Present


@dataclass
class MemoryPresences:
    """The port `Presences` over remembered runs."""

    tracking: MemoryTracking

    async def running(self) -> list[Present]:
        """Return the runs that are RUNNING."""
        return [
            Present(run_id, run.started_ms, run.facts.tags.get(NODE))
            for run_id, run in self.tracking.running.items()
        ]

    async def note(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of a run; one that is gone has none."""
        if await self.tracking.run(run_id) is None:
            return
        for key, text in tags.items():
            self.tracking.tag(run_id, key, text)
