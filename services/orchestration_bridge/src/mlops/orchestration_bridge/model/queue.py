# SPDX-License-Identifier: Apache-2.0
"""Queue: everything one project has asked for, and how far each of it is."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from mlops.orchestration_bridge.model.accounts import rate
from mlops.orchestration_bridge.model.forecast import Errors
from mlops.orchestration_bridge.model.placement import Needs
from mlops.orchestration_bridge.model.usage import Usage

DAY = timedelta(hours=24)
MOST_ENDED = 60
MOST_REMEMBERED = 120
SHORT_REASON = 300


class State(StrEnum):
    """How far a workflow is."""

    AWAITS_APPROVAL = "awaits_approval"
    WAITING = "waiting"
    ADMITTED = "admitted"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED = frozenset({State.COMPLETED, State.FAILED, State.CANCELLED})
UNDER_WAY = frozenset({State.ADMITTED, State.RUNNING})


@dataclass(frozen=True)
class Policy:
    """What a project says about training and retraining."""

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
class Entry:
    """One workflow. `told` is the last of its states that the bus knows; `stopped`, that a cancelled one runs no more.

    `node` is the machine it is meant for, then the one it runs on; `moved_from` where it was meant for before.
    `expected_at` is the first word about its start, which the start is compared with; `needs` what it took along.
    """

    key: str
    kind: str
    model: str
    why: str
    trigger_id: str
    trigger_type: str
    queued_id: str
    story_id: str
    queued_at: datetime
    state: State
    told: State
    traceparent: str | None = None
    depth: int = 1
    place: int = 1
    automatic: bool = True
    admitted_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    dag_id: str = ""
    run_id: str = ""
    url: str = ""
    step: str = ""
    reason: str = ""
    approved_by: str = ""
    approved_at: datetime | None = None
    cancelled_by: str = ""
    stopped: bool = False
    held: str = ""
    holds: int = 0
    told_holds: int = 0
    node: str = ""
    moved_from: str = ""
    moved_why: str = ""
    not_before: datetime | None = None
    expected_at: datetime | None = None
    needs: Needs | None = None
    energy_j: float | None = None

    @property
    def active(self) -> bool:
        """Return whether it still waits or runs."""
        return self.state not in ENDED


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

    def used_s(self, now: datetime) -> float:
        """Return how long its workflows ran within the last 24 hours, in seconds."""
        return sum(_ran_s(entry, now) for entry in self.entries)

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
        past = self.past
        for entry in entries:
            if entry.key in gone:
                past = took(past, entry)
        return replace(self, entries=kept, past=past)


def told(entry: Entry) -> Entry:
    """Return the workflow after the bus has heard of its present state; a long diagnosis is not kept."""
    return replace(entry, told=entry.state, reason=entry.reason[:SHORT_REASON])


def took(usage: Usage, entry: Entry) -> Usage:
    """Return the usage with what a workflow that has ended took besides; one that never started took nothing."""
    if entry.started_at is None or entry.ended_at is None:
        return usage
    since_s, until_s = entry.started_at.timestamp(), entry.ended_at.timestamp()
    used = rate(entry.needs or Needs())
    if entry.energy_j and until_s > since_s:
        used = replace(used, energy=entry.energy_j / (until_s - since_s))
    return usage.took(used, since_s, until_s)


def _ran_s(entry: Entry, now: datetime) -> float:
    if entry.started_at is None:
        return 0.0
    began = max(entry.started_at, now - DAY)
    return max(0.0, ((entry.ended_at or now) - began).total_seconds())
