# SPDX-License-Identifier: Apache-2.0
"""A rollout: one version on its way to all of the traffic, step by step, and when it goes back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from mlops.serving.model.evidence import Comparison, Counts, Seen
from mlops.serving.model.judging import NOTHING_YET
from mlops.serving.model.plan import Kind, Plan

HELD = "held"
COMPARED = "compared"
_REPORTS_BEFORE_THE_END = 3
_REPORTS = 10


class Phase(StrEnum):
    """Where a rollout stands. The last three are final; what is told at STARTING is "packed".

    A SHADOW runs and gets copies of requests, and its answers go to nobody.
    """

    DESIRED = "desired"
    PACKING = "packing"
    STARTING = "starting"
    WARM = "warm"
    SHADOW = "shadow"
    CANARY = "canary"
    COMPLETED = "completed"
    REVERTED = "reverted"
    FAILED = "failed"


FINAL = frozenset({Phase.COMPLETED, Phase.REVERTED, Phase.FAILED})
RUNNING = frozenset({Phase.STARTING, Phase.WARM, Phase.SHADOW, Phase.CANARY})
_AFTER = {
    Phase.DESIRED: Phase.PACKING,
    Phase.PACKING: Phase.STARTING,
    Phase.STARTING: Phase.WARM,
    Phase.WARM: Phase.CANARY,
    Phase.SHADOW: Phase.CANARY,
}


@dataclass(frozen=True)
class Cause:
    """The message that wanted something, as its follow-ups name it."""

    id: str
    story_id: str
    traceparent: str | None = None


@dataclass(frozen=True)
class Mark:
    """Something that became true in a rollout and is to be told; *cause* when it is not the rollout's own."""

    phase: Phase
    at: datetime
    traffic_ratio: float = 0.0
    error_ratio: float | None = None
    latency_ms: float | None = None
    replicas: int = 1
    reason: str = ""
    stage: str = ""
    cause: Cause | None = None
    comparison: Comparison | None = None


@dataclass(frozen=True)
class Rollout:
    """One version on its way; `marks[:told]` have been told.

    *baseline* is what its version had counted before it got traffic, *at_step* what each had when the step began.
    *approved* is who wants a shadow to go on.
    """

    deployment_id: str
    version: int
    previous_version: int | None
    cause: Cause
    plan: Plan
    wanted_at: datetime
    since: datetime
    why: str = ""
    metric: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    phase: Phase = Phase.DESIRED
    step: int = 0
    baseline: Counts = field(default_factory=Counts)
    marks: tuple[Mark, ...] = ()
    told: int = 0
    at_step: dict[int, Counts] = field(default_factory=dict)
    approved: Cause | None = None

    @property
    def is_final(self) -> bool:
        """Return whether nothing can happen to it any more."""
        return self.phase in FINAL

    @property
    def tells_its_start(self) -> bool:
        """Return whether that it has started is a mark of its own, because no message does it."""
        return _start(self) is not None

    @property
    def began_at(self) -> datetime:
        """Return when it started: a promotion may have been told long before its project served the model."""
        start = _start(self)
        return start.at if start else self.wanted_at

    @property
    def traffic_ratio(self) -> float:
        """Return the share of the traffic that the version gets now."""
        if self.phase is Phase.COMPLETED:
            return 1.0
        return self.plan.steps[self.step] if self.phase is Phase.CANARY else 0.0


def held(rollout: Rollout, at: datetime, reason: str) -> Rollout:
    """Return the rollout with a mark that something holds it up; one is enough until it has moved.

    But a shadow that had nothing to be compared with says what it waits for once there is something.
    """
    if rollout.is_final or (is_held(rollout) and not _is_news(rollout, reason)):
        return rollout
    mark = Mark(rollout.phase, at, rollout.traffic_ratio, reason=reason, stage=HELD)
    return replace(rollout, marks=(*rollout.marks, mark))


def is_held(rollout: Rollout) -> bool:
    """Return whether it was said already that something holds the rollout up where it is."""
    moves = [one for one in rollout.marks if one.stage != COMPARED]
    return bool(moves) and moves[-1].stage == HELD


def _is_news(rollout: Rollout, reason: str) -> bool:
    said = [one.reason for one in rollout.marks if one.stage == HELD]
    return said[-1] == NOTHING_YET != reason


def report_due(rollout: Rollout, at: datetime) -> bool:
    """Return whether a shadow's comparison is to be told: at an eighth of its time, then whenever that has doubled.

    Ten times at most, so that one which waits for a person for weeks does not fill the stream.
    """
    told = [one.at for one in rollout.marks if one.comparison is not None]
    before = _report(rollout, told[-1]) if told else -1
    return _report(rollout, at) > before


def with_comparison(rollout: Rollout, at: datetime, found: Comparison) -> Rollout:
    """Return the rollout with a mark of how its shadow compares."""
    mark = Mark(rollout.phase, at, stage=COMPARED, comparison=found)
    return replace(rollout, marks=(*rollout.marks, mark))


def advanced(rollout: Rollout, at: datetime, seen: Seen | None = None, reason: str = "") -> Rollout:
    """Return the rollout one step further: the next phase, the next share, or completed."""
    if rollout.is_final:
        return rollout
    seen = seen or Seen()
    if rollout.phase is not Phase.CANARY:
        return _entered(rollout, _after(rollout), 0, at, seen, reason)
    if rollout.step == len(rollout.plan.steps) - 1:
        return _entered(rollout, Phase.COMPLETED, rollout.step, at, seen, reason)
    return _entered(rollout, Phase.CANARY, rollout.step + 1, at, seen, reason)


def ended(
    rollout: Rollout,
    phase: Phase,
    at: datetime,
    reason: str,
    *,
    counts: Counts | None = None,
    cause: Cause | None = None,
) -> Rollout:
    """Return the rollout failed or reverted; what is final already stays as it is."""
    if rollout.is_final:
        return rollout
    mark = Mark(
        phase=phase,
        at=at,
        error_ratio=counts.error_ratio if counts else None,
        reason=reason,
        stage=rollout.phase.value,
        cause=cause,
    )
    return replace(rollout, phase=phase, since=at, marks=(*rollout.marks, mark))


def _start(rollout: Rollout) -> Mark | None:
    told = (one for one in rollout.marks if one.phase is Phase.DESIRED and not one.stage)
    return next(told, None)


def _after(rollout: Rollout) -> Phase:
    is_shadow = rollout.plan.kind is Kind.SHADOW and rollout.phase is Phase.WARM
    return Phase.SHADOW if is_shadow else _AFTER[rollout.phase]


def _report(rollout: Rollout, at: datetime) -> int:
    elapsed = (at - rollout.since).total_seconds() / max(1.0, rollout.plan.shadow_for_s)
    if elapsed <= 0:
        return -1
    place = math.floor(math.log2(elapsed)) + _REPORTS_BEFORE_THE_END
    return min(place, _REPORTS - 1)


def _entered(
    rollout: Rollout, phase: Phase, step: int, at: datetime, seen: Seen, reason: str
) -> Rollout:
    moved = replace(rollout, phase=phase, step=step, since=at)
    if phase is Phase.PACKING:
        return moved
    mark = Mark(
        phase=phase,
        at=at,
        traffic_ratio=moved.traffic_ratio,
        error_ratio=seen.counts.error_ratio if seen.counts else None,
        latency_ms=seen.counts.latency_ms if seen.counts else None,
        replicas=seen.replicas,
        reason=reason,
        cause=rollout.approved if rollout.phase is Phase.SHADOW else None,
    )
    return replace(moved, marks=(*rollout.marks, mark))
