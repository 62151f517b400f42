# SPDX-License-Identifier: Apache-2.0
"""MemoryLives and MemoryLead: running runs and who leads, over MemoryTracking, for story tests and trials."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from mlops.tracking.adapters.memory import MemoryTracking
from mlops.tracking.model.changes import RunEnded, RunWentStale, Why
from mlops.tracking.model.signs import (
    ENDED_BY,
    HEARTBEAT,
    RESUMED,
    STALE,
    WORKFLOW,
    Heard,
    Sign,
    Stale,
    beat_ms,
    end_ms,
)


@dataclass
class MemoryLives:
    """The port `Lives` over remembered runs."""

    tracking: MemoryTracking
    kept: dict[str, Heard] = field(default_factory=dict)

    async def signs(self) -> list[Sign]:
        """Return a sign of each RUNNING run."""
        return [self._sign(run_id) for run_id in sorted(self.tracking.running)]

    async def remembered(self) -> dict[str, Heard]:
        """Return what `remember` kept."""
        return {run_id: Heard(heard.mark, heard.silent_s) for run_id, heard in self.kept.items()}

    async def remember(self, heard: Mapping[str, Heard]) -> None:
        """Keep how long runs have been silent."""
        self.kept = dict(heard)

    async def end_stale(self, run: Stale, now: datetime) -> bool:
        """Set a run KILLED, unless it has moved."""
        known = self.tracking.running.get(run.run_id)
        if known is None or known.facts.tags.get(HEARTBEAT) != run.beat:
            return False
        if run.mark and self._sign(run.run_id).mark != run.mark:
            return False
        again = known.ended_ms is not None or RESUMED in known.facts.tags
        last_ms = end_ms(known.started_ms, run.last_seen_ms, int(now.timestamp() * 1000))
        self.tracking.move(run.run_id, "KILLED", last_ms)
        self.tracking.tag(run.run_id, STALE, run.reason)
        about = self.tracking.about(run.run_id)
        change = RunWentStale(*about, last_ms, run.reason, again=again)
        self.tracking.write(known.project, change)
        return True

    async def end_workflow(self, project: str, key: str, at: datetime, why: Why) -> list[str]:
        """Set the open runs of a workflow KILLED."""
        found = [
            run_id
            for run_id, run in self.tracking.open.items()
            if run.project == project and run.facts.tags.get(WORKFLOW) == key
        ]
        for run_id in found:
            known, ended_ms = self.tracking.known(run_id), int(at.timestamp() * 1000)
            again = known.ended_ms is not None or RESUMED in known.facts.tags
            self.tracking.move(run_id, "KILLED", ended_ms)
            self.tracking.tag(run_id, ENDED_BY, why.reason)
            about = self.tracking.about(run_id)
            change = RunEnded(*about, ended_ms, "KILLED", again=again, why=why)
            self.tracking.write(project, change)
        return found

    def _sign(self, run_id: str) -> Sign:
        run = self.tracking.known(run_id)
        beat = run.facts.tags.get(HEARTBEAT)
        mark = f"{beat or ''}/{run.logged}/{len(run.facts.params)}/{len(run.facts.tags)}"
        return Sign(run_id, mark, beat, run.started_ms, beat_ms(beat))


@dataclass
class MemoryLead:
    """The port `Leader`: whoever is told to lead."""

    leading: bool = True

    async def leads(self) -> bool:
        """Say whether it leads."""
        return self.leading

    async def who(self) -> str | None:
        """Return a name."""
        return "this one" if self.leading else None
