# SPDX-License-Identifier: Apache-2.0
"""Recorded: what really happened: which trigger was decided how, how each workflow went on, and what such a one takes."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from mlops.contracts.message import Message
from mlops.contracts.monitoring import DriftDetected, PerformanceDegraded, PerformanceMeasured
from mlops.contracts.orchestration_bridge import (
    WorkflowApproved,
    WorkflowCancelled,
    WorkflowCompleted,
    WorkflowDeclined,
    WorkflowFailed,
    WorkflowKind,
    WorkflowQueued,
    WorkflowStarted,
)
from mlops.contracts.workspaces import ProjectArchived, ProjectRegistered, ProjectUpdated
from mlops.orchestration_bridge.model.queue import State

NOTHING_RECORDED = timedelta(minutes=10)
"""How long a retraining is taken to last where no recorded one says it."""

TRIGGERS = (DriftDetected, PerformanceDegraded, PerformanceMeasured)
_FEW = 2
_TRAININGS = (WorkflowKind.TRAIN.value, WorkflowKind.RETRAIN.value)
_RAN = (State.RUNNING, State.COMPLETED, State.FAILED)


@dataclass(frozen=True)
class Decision:
    """What the service decided of one trigger."""

    trigger_id: str
    trigger_type: str
    kind: str
    model: str
    story_id: str
    at: datetime
    accepted: bool
    reason: str
    key: str = ""
    awaits_approval: bool = False

    @property
    def by_person(self) -> bool:
        """Return whether a person asked for it."""
        return self.trigger_type.startswith("cmd.")


@dataclass
class Course:
    """How one workflow went on."""

    key: str
    kind: str
    model: str
    queued_at: datetime | None = None
    awaited: bool = False
    started_at: datetime | None = None
    ended_at: datetime | None = None
    state: State = State.WAITING
    waited_s: float = 0.0
    ran_s: float | None = None
    joules: float | None = None

    @property
    def trained(self) -> bool:
        """Return whether it is a training that ran: what an evaluation takes says nothing of one."""
        return self.kind in _TRAININGS and self.state in _RAN


@dataclass(frozen=True)
class Spread:
    """The middle of some figures, and the quartiles beside it."""

    median: float
    low: float
    high: float
    count: int


@dataclass
class Recorded:
    """What a replay asks of one history again and again. `heard` are the triggers that came before their decision."""

    decisions: dict[str, Decision] = field(default_factory=dict)
    courses: dict[str, Course] = field(default_factory=dict)
    heard: set[str] = field(default_factory=set)
    settings: ProjectRegistered | ProjectUpdated | None = None
    archived_at: datetime | None = None
    first_at: datetime | None = None
    last_at: datetime | None = None

    @property
    def lasts(self) -> Spread | None:
        """Return the seconds from queue to end of the retrainings that completed, a person's thinking left out."""
        return spread([_whole_s(one) for one in self._completed()])

    @property
    def runs(self) -> Spread | None:
        """Return the seconds that completed retrainings ran."""
        return spread([one.ran_s for one in self._completed() if one.ran_s is not None])

    @property
    def joules(self) -> Spread | None:
        """Return what completed retrainings took of their machines, where that was measured or estimated."""
        return spread([one.joules for one in self._completed() if one.joules is not None])

    def busy(self, model: str, at: datetime) -> bool:
        """Return whether a workflow of the model waited or ran."""
        return any(
            one.model == model
            and one.queued_at is not None
            and one.queued_at <= at < (one.ended_at or datetime.max.replace(tzinfo=at.tzinfo))
            for one in self.courses.values()
        )

    def _completed(self) -> list[Course]:
        return [
            one
            for one in self.courses.values()
            if one.trained and one.state is State.COMPLETED and one.queued_at and one.ended_at
        ]


def recorded_in(messages: Iterable[Message]) -> Recorded:
    """Return what a history tells of decisions and workflows."""
    found = Recorded()
    for message in messages:
        found.first_at = min(found.first_at or message.time, message.time)
        found.last_at = max(found.last_at or message.time, message.time)
        _taken(found, message)
    found.heard &= found.decisions.keys()
    return found


def spread(figures: Sequence[float]) -> Spread | None:
    """Return median and quartiles; of one figure all are the same."""
    if not figures:
        return None
    middle = statistics.median(figures)
    if len(figures) < _FEW:
        return Spread(middle, middle, middle, 1)
    low, _, high = statistics.quantiles(figures, n=4, method="inclusive")
    return Spread(middle, low, high, len(figures))


def _taken(found: Recorded, message: Message) -> None:
    if isinstance(message, TRIGGERS):
        found.heard.add(message.id)
    elif isinstance(message, WorkflowQueued | WorkflowDeclined):
        _decided(found, message)
    elif isinstance(message, ProjectRegistered | ProjectUpdated):
        found.settings = found.settings or message
        found.archived_at = None
    elif isinstance(message, ProjectArchived):
        found.archived_at = message.time
    else:
        _went_on(found, message)


def _decided(found: Recorded, told: WorkflowQueued | WorkflowDeclined) -> None:
    decision = Decision(
        trigger_id=told.trigger_id,
        trigger_type=told.trigger_type,
        kind=told.kind.value,
        model=told.model or "",
        story_id=told.story_id,
        at=told.time,
        accepted=isinstance(told, WorkflowQueued),
        reason=told.why if isinstance(told, WorkflowQueued) else told.reason,
    )
    if isinstance(told, WorkflowQueued):
        decision = replace(decision, key=told.workflow_key, awaits_approval=told.awaits_approval)
        course = Course(told.workflow_key, told.kind.value, told.model or "")
        course = found.courses.setdefault(told.workflow_key, course)
        course.queued_at, course.awaited = told.time, told.awaits_approval
    found.decisions.setdefault(told.trigger_id, decision)


def _went_on(found: Recorded, message: Message) -> None:
    if not isinstance(
        message,
        WorkflowStarted | WorkflowApproved | WorkflowCompleted | WorkflowFailed | WorkflowCancelled,
    ):
        return
    key = message.workflow_key
    course = Course(key, message.kind.value, message.model or "")
    course = found.courses.setdefault(key, course)
    if isinstance(message, WorkflowApproved):
        course.waited_s = message.waited_s
        return
    if isinstance(message, WorkflowStarted):
        course.started_at, course.state = course.started_at or message.time, State.RUNNING
        return
    _ended(course, message)


def _ended(course: Course, told: WorkflowCompleted | WorkflowFailed | WorkflowCancelled) -> None:
    course.ended_at = told.time
    if isinstance(told, WorkflowCancelled):
        course.state = State.CANCELLED
        return
    course.state = State.COMPLETED if isinstance(told, WorkflowCompleted) else State.FAILED
    course.ran_s = told.duration_s
    course.joules = told.energy.joules if told.energy else None


def _whole_s(one: Course) -> float:
    if one.queued_at is None or one.ended_at is None:
        raise ValueError(f"workflow {one.key} has no beginning or no end")
    return max(0.0, (one.ended_at - one.queued_at).total_seconds() - one.waited_s)
