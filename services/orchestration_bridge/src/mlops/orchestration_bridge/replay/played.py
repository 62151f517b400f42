# SPDX-License-Identifier: Apache-2.0
"""Played: one policy that hears a history, decides by the service's own code, and remembers what it decided.

A workflow that was also queued in reality goes on as it did there. One that was not lasts as long as such ones do, and
completes: nobody knows what it would have changed, so the windows after it stay those that were recorded.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mlops.contracts.message import Message, follow_up_id
from mlops.contracts.monitoring import DriftDetected, PerformanceDegraded, PerformanceMeasured
from mlops.contracts.orchestration_bridge import (
    WorkflowApproved,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowDeclined,
    WorkflowFailed,
    WorkflowQueued,
    WorkflowStarted,
)
from mlops.contracts.settings import ProjectSettings
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered, ProjectUpdated
from mlops.orchestration_bridge.handlers import asking
from mlops.orchestration_bridge.handlers.projects import told_settings
from mlops.orchestration_bridge.model import lifecycle, policy
from mlops.orchestration_bridge.model.lifecycle import End, Run, Wish
from mlops.orchestration_bridge.model.policy import Refused
from mlops.orchestration_bridge.model.queue import Entry, Queue, State, Trigger, told
from mlops.orchestration_bridge.replay.recorded import Decision, Recorded

Change = Callable[[ProjectSettings], ProjectSettings]
WorkflowTold = (
    WorkflowApproved | WorkflowStarted | WorkflowCompleted | WorkflowFailed | WorkflowCancelled
)


@dataclass(frozen=True)
class Terms:
    """What all policies of one replay share: the time that counts, and what is assumed of workflows that never were."""

    since: datetime
    lasts: timedelta
    approval: timedelta = timedelta(0)


@dataclass(frozen=True)
class Made:
    """One decision of a replayed policy. `active` says whether work of the model was under way after it.

    `ends_at` is when its workflow is assumed to end; None where it goes on as it did in reality, or where there is none.
    """

    trigger: Trigger
    at: datetime
    refused: Refused | None
    key: str = ""
    active: bool = False
    ends_at: datetime | None = None


class Played:
    """One policy. Tell it each message of the history in order, then read `made` and `queue`."""

    def __init__(self, recorded: Recorded, terms: Terms, change: Change, project: str) -> None:
        self.queue = Queue(project)
        self.made: list[Made] = []
        self.degraded = 0
        self._recorded = recorded
        self._terms = terms
        self._change = change
        self._changed = False
        self._settings: ProjectRegistered | ProjectUpdated | None = None
        self._held: dict[str, asking.Asking | PerformanceMeasured] = {}
        self._assumed: set[str] = set()
        self._ends: list[tuple[datetime, str]] = []

    def hear(self, message: Message) -> None:
        """Take in the next message of the history."""
        self.pass_to(message.time)
        if isinstance(message, DriftDetected | PerformanceDegraded | PerformanceMeasured):
            self._heard(message)
        elif isinstance(message, WorkflowQueued | WorkflowDeclined):
            self._decided(message)
        elif isinstance(message, WorkflowTold):
            self._went_on(message)
        elif isinstance(message, ProjectRegistered | ProjectUpdated):
            self._registered(message)
        elif isinstance(message, ProjectArchived):
            self._archived(message)

    def pass_to(self, now: datetime) -> None:
        """Let what is due by *now* happen: assumed workflows end, and the tried settings come into force."""
        while self._ends and self._ends[0][0] <= now:
            at, key = heapq.heappop(self._ends)
            self.queue = _completed(self.queue, key, at, self._terms.lasts)
        if not self._changed and now >= self._terms.since:
            self._changed = True
            if self._settings is not None and not self.queue.archived:
                self._in_force(self._settings)

    def _registered(self, event: ProjectRegistered | ProjectUpdated) -> None:
        if self.queue.settings_at is not None and self.queue.settings_at > event.time:
            return
        self._settings = event
        self._in_force(event)

    def _in_force(self, event: ProjectRegistered | ProjectUpdated) -> None:
        if self._changed:
            event = event.model_copy(update={"settings": self._change(event.settings)})
        self.queue = told_settings(self.queue, event)

    def _archived(self, event: ProjectArchived) -> None:
        if self.queue.settings_at is not None and self.queue.settings_at > event.time:
            return
        closed = lifecycle.archived(self.queue, Wish(event.id, "archived"), event.time)
        self.queue = replace(closed, settings_at=event.time)

    def _heard(self, event: asking.Asking | PerformanceMeasured) -> None:
        if isinstance(event, PerformanceDegraded) and asking.trigger_of(event) is not None:
            self.degraded += event.time >= self._terms.since
        if event.id in self._recorded.decisions:
            self._held[event.id] = event  # decided when, and on what, the service decided
            return
        self._ask(event, event.time)

    def _decided(self, event: WorkflowQueued | WorkflowDeclined) -> None:
        held = self._held.pop(event.trigger_id, None)
        if held is not None:
            self._ask(held, event.time)
            return
        decision = self._recorded.decisions[event.trigger_id]
        # What the history holds but this replay was not told has been taken back on purpose: no trigger any more.
        if event.trigger_id not in self._recorded.heard:
            self.queue = self._applied(self.queue, _trigger_again(decision), event.time)

    def _ask(self, event: asking.Asking | PerformanceMeasured, now: datetime) -> None:
        if self.queue.settings_at is None:
            return  # the project was not registered yet: the service refuses such a message
        if isinstance(event, PerformanceMeasured):
            self.queue = asking.after_window(
                self.queue, event, lambda queue, trigger: self._applied(queue, trigger, now)
            )
            return
        trigger = asking.trigger_of(event)
        if trigger is not None:
            self.queue = self._applied(self.queue, trigger, now)

    def _applied(self, queue: Queue, trigger: Trigger, now: datetime) -> Queue:
        known = self._recorded.decisions.get(trigger.id)
        key = (known.key if known else "") or asking.workflow_key(queue.project, trigger.id)
        verdict = policy.decide(queue, trigger, now)
        queued_id = follow_up_id(trigger.id, WorkflowQueued.type, 0)
        later = policy.apply(queue, trigger, key, queued_id, now)
        if later is queue:
            return queue  # asked before
        refused = verdict if isinstance(verdict, Refused) else None
        entry = later.entry(key)
        ends_at = None if entry is None else self._planned_end(entry, now)
        if now >= self._terms.since:
            active = any(one.active and one.model == trigger.model for one in later.entries)
            known_as = "" if refused else key
            self.made.append(Made(trigger, now, refused, known_as, active, ends_at))
        return later

    def _planned_end(self, entry: Entry, now: datetime) -> datetime | None:
        """Return when a workflow that never was would have ended; None for one that goes on as it did in reality."""
        awaits = entry.state is State.AWAITS_APPROVAL
        course = self._recorded.courses.get(entry.key)
        if course is not None and course.queued_at is not None and course.awaited == awaits:
            return None
        thinks = self._terms.approval if awaits else timedelta(0)
        at = now + thinks + self._terms.lasts
        self._assumed.add(entry.key)
        heapq.heappush(self._ends, (at, entry.key))
        return at

    def _went_on(self, event: WorkflowTold) -> None:
        key = event.workflow_key
        if key in self._assumed:
            return
        entry, course = self.queue.entry(key), self._recorded.courses[key]
        if entry is None and course.queued_at is None:  # queued before the history begins
            entry = _unknown_past(event)
            self.queue = self.queue.put(entry)
        if entry is not None:
            self.queue = _after(self.queue, event)


def _after(queue: Queue, event: WorkflowTold) -> Queue:
    key, at = event.workflow_key, event.time
    if isinstance(event, WorkflowApproved):
        return lifecycle.approved(queue, key, event.id, at)
    if isinstance(event, WorkflowCancelled):
        return lifecycle.cancelled(queue, key, Wish(event.id, event.reason), at)
    if isinstance(event, WorkflowStarted):
        return _running(queue, key, at)
    done = isinstance(event, WorkflowCompleted)
    return _ended(_running(queue, key, at), key, End(done, at))


def _running(queue: Queue, key: str, at: datetime) -> Queue:
    return lifecycle.started(lifecycle.admitted(queue, key, at), key, Run("", key), at)


def _completed(queue: Queue, key: str, at: datetime, lasts: timedelta) -> Queue:
    free = lifecycle.approved(queue, key, "assumed", at - lasts)
    return _ended(_running(free, key, at - lasts), key, End(completed=True, at=at))


def _ended(queue: Queue, key: str, end: End) -> Queue:
    later = lifecycle.ended(queue, key, end)
    entry = later.entry(key)
    return queue if entry is None else later.put(told(entry))


def _unknown_past(event: WorkflowTold) -> Entry:
    return Entry(
        key=event.workflow_key,
        kind=event.kind.value,
        model=event.model or "",
        why="queued before the history begins",
        trigger_id=f"before {event.workflow_key}",
        trigger_type="",
        queued_id=f"before {event.workflow_key}",
        story_id=event.story_id,
        queued_at=event.time,
        state=State.WAITING,
        told=State.WAITING,
    )


def _trigger_again(decision: Decision) -> Trigger:
    return Trigger(
        id=decision.trigger_id,
        type=decision.trigger_type,
        kind=decision.kind,
        model=decision.model,
        why=decision.reason,
        story_id=decision.story_id,
        at=decision.at,
        automatic=not decision.by_person,
    )
