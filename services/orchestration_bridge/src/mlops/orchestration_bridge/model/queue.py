# SPDX-License-Identifier: Apache-2.0
"""Queue: everything one project has asked for, and how far each of it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from mlops.orchestration_bridge.model.cohort import Cohort
from mlops.orchestration_bridge.model.energy import Drawn, noted
from mlops.orchestration_bridge.model.entry import ENDED, UNDER_WAY, Entry, State, told, took
from mlops.orchestration_bridge.model.forecast import Errors
from mlops.orchestration_bridge.model.placement import Needs
from mlops.orchestration_bridge.model.usage import Usage

__all__ = [
    "DAY",
    "ENDED",
    "UNDER_WAY",
    "Declined",
    "Entry",
    "FollowUp",
    "Policy",
    "Queue",
    "Seen",
    "State",
    "Trigger",
    "told",
    "took",
]

DAY = timedelta(hours=24)
MOST_ENDED = 60
MOST_REMEMBERED = 120


@dataclass(frozen=True)
class Policy:
    """What a project says about training and retraining.

    `saves_within` is how long its training takes to save and end; None where it cannot save.
    """

    model: str = ""
    can_train: bool = False
    mode: str = "auto"
    on: tuple[str, ...] = ()
    cooldown: timedelta = timedelta(0)
    max_per_day: int = 0
    max_depth: int = 1
    follow_up_windows: int = 0
    weight: float = 1.0
    priority: str = "normal"
    max_parallel: int = 1
    needs: Needs = field(default_factory=Needs)
    cohort: Cohort | None = None
    saves_within: timedelta | None = None
    most_memory_bytes: int | None = None
    most_gpu_s: float | None = None
    most_energy_j: float | None = None
    serving_bytes: int = 0


@dataclass(frozen=True)
class Seen:
    """The window a model was found degraded in: windows after it are news."""

    version: int
    index: int
    last_at: datetime


@dataclass(frozen=True)
class Trigger:
    """A message that asks for a workflow.

    *automatic* when no person does; *follows* names the retraining that it repeats with newer data.
    """

    id: str
    type: str
    kind: str
    model: str
    why: str
    story_id: str
    at: datetime
    automatic: bool = True
    traceparent: str | None = None
    seen: Seen | None = None
    follows: str = ""


@dataclass(frozen=True)
class Declined:
    """A trigger that started nothing."""

    trigger_id: str
    trigger_type: str
    kind: str
    model: str
    reason: str
    at: datetime
    retry_at: datetime | None = None


@dataclass(frozen=True)
class FollowUp:
    """A retraining that wants one more, once enough windows show the changed world."""

    key: str
    model: str
    after: Seen
    windows: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Queue:
    """The state of one project, as one document."""

    project: str
    policy: Policy = Policy()
    path: str | None = None
    timeout: timedelta = timedelta(hours=6)
    revision: int = 0
    archived: bool = False
    settings_at: datetime | None = None
    entries: tuple[Entry, ...] = ()
    declined: tuple[Declined, ...] = ()
    follow_ups: tuple[FollowUp, ...] = ()
    spent: tuple[datetime, ...] = ()
    past: Usage = field(default_factory=Usage)
    drawn: tuple[Drawn, ...] = ()
    served_at: datetime | None = None
    expected_off: Errors = field(default_factory=Errors)

    def entry(self, key: str) -> Entry | None:
        """Return the workflow of that key."""
        return next((entry for entry in self.entries if entry.key == key), None)

    def entry_of(self, trigger_id: str) -> Entry | None:
        """Return the workflow that a trigger made."""
        return next((entry for entry in self.entries if entry.trigger_id == trigger_id), None)

    def refusal_of(self, trigger_id: str) -> Declined | None:
        """Return why a trigger made none."""
        return next((found for found in self.declined if found.trigger_id == trigger_id), None)

    def in_state(self, *states: State) -> tuple[Entry, ...]:
        """Return the workflows in these states, oldest first."""
        return tuple(entry for entry in self.entries if entry.state in states)

    def used_today(self, now: datetime) -> int:
        """Return the automatic retrainings of the last 24 hours."""
        return sum(1 for at in self.spent if at > now - DAY)

    def put(self, entry: Entry) -> Queue:
        """Return the queue with this state of a workflow, known or new; forgets what ended long ago."""
        if self.entry(entry.key) is None:
            return self._trimmed((*self.entries, entry))
        return self._trimmed(tuple(entry if e.key == entry.key else e for e in self.entries))

    def _trimmed(self, entries: tuple[Entry, ...]) -> Queue:
        ended = [
            entry.key for entry in entries if entry.state in ENDED and entry.told == entry.state
        ]
        gone = set(ended[:-MOST_ENDED])
        kept = tuple(entry for entry in entries if entry.key not in gone)
        past, drawn = self.past, self.drawn
        for entry in entries:
            if entry.key in gone:
                past = took(past, entry)
            if entry.key in gone and entry.energy_j and entry.ended_at:
                drawn = noted(drawn, entry.energy_j, entry.ended_at)
        return replace(self, entries=kept, past=past, drawn=drawn)
