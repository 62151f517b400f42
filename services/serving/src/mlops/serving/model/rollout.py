# SPDX-License-Identifier: Apache-2.0
"""A rollout: one version on its way to all of the traffic, step by step, and when it goes back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

UNREADY_PATIENCE_S = 20.0
HELD = "held"


class Phase(StrEnum):
    """Where a rollout stands. The last three are final; what is told at STARTING is "packed"."""

    DESIRED = "desired"
    PACKING = "packing"
    STARTING = "starting"
    WARM = "warm"
    CANARY = "canary"
    COMPLETED = "completed"
    REVERTED = "reverted"
    FAILED = "failed"


FINAL = frozenset({Phase.COMPLETED, Phase.REVERTED, Phase.FAILED})
RUNNING = frozenset({Phase.STARTING, Phase.WARM, Phase.CANARY})
_AFTER = {
    Phase.DESIRED: Phase.PACKING,
    Phase.PACKING: Phase.STARTING,
    Phase.STARTING: Phase.WARM,
    Phase.WARM: Phase.CANARY,
}


@dataclass(frozen=True)
class Cause:
    """The message that wanted something, as its follow-ups name it."""

    id: str
    story_id: str
    traceparent: str | None = None


@dataclass(frozen=True)
class Plan:
    """How a version takes over: rising shares of the traffic, each held for a while; and what may run it.

    An *urgent* one waits for no machine to cool.
    """

    steps: tuple[float, ...] = (1.0,)
    hold_s: float = 0.0
    max_error_ratio: float = 0.02
    backend: str = "auto"
    urgent: bool = False


@dataclass(frozen=True)
class Counts:
    """Requests of one version as the gateway counts them since it started."""

    requests: int = 0
    errors: int = 0
    latency_ms: float | None = None

    def since(self, before: Counts) -> Counts:
        """Return what was added; a gateway that began again counts from zero."""
        requests, errors = self.requests - before.requests, self.errors - before.errors
        if not 0 <= errors <= requests:
            return self
        return replace(self, requests=requests, errors=errors)

    @property
    def error_ratio(self) -> float | None:
        """Return the share of failed requests, or None when there were none at all."""
        return min(1.0, self.errors / self.requests) if self.requests else None


@dataclass(frozen=True)
class Seen:
    """What is known of the new version now: its answers, and whether it and the one before are ready."""

    counts: Counts | None = None
    unready_s: float = 0.0
    other_ready: bool = False
    replicas: int = 1


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


@dataclass(frozen=True)
class Rollout:
    """One version on its way; `marks[:told]` have been told."""

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
    baseline: Counts = Counts()
    marks: tuple[Mark, ...] = ()
    told: int = 0

    @property
    def is_final(self) -> bool:
        """Return whether nothing can happen to it any more."""
        return self.phase in FINAL

    @property
    def traffic_ratio(self) -> float:
        """Return the share of the traffic that the version gets now."""
        if self.phase is Phase.COMPLETED:
            return 1.0
        return self.plan.steps[self.step] if self.phase is Phase.CANARY else 0.0


class Verdict(StrEnum):
    """What to do with a rollout in its canary phase."""

    HOLD = "hold"
    ADVANCE = "advance"
    REVERT = "revert"


def judge(plan: Plan, seen: Seen, held_s: float) -> tuple[Verdict, str]:
    """Decide over the step that was begun *held_s* ago, and say why when it goes back."""
    counts = seen.counts or Counts()
    if too_many_errors(plan.max_error_ratio, counts):
        ratio = counts.errors / counts.requests
        return Verdict.REVERT, (
            f"{counts.errors} of {counts.requests} requests failed ({ratio:.1%}), "
            f"{plan.max_error_ratio:.1%} are allowed"
        )
    if seen.unready_s > 0:
        # While nothing else is ready either, the fault is not the version's (a restart of all of serving).
        if seen.unready_s >= UNREADY_PATIENCE_S and seen.other_ready:
            return Verdict.REVERT, f"not ready for {seen.unready_s:.0f} s"
        return Verdict.HOLD, ""
    return (Verdict.ADVANCE if held_s >= plan.hold_s else Verdict.HOLD), ""


def too_many_errors(most: float, counts: Counts) -> bool:
    """Return whether more failed than allowed; one failure alone proves nothing unless none is allowed."""
    least = 1 if most == 0 else 2
    return counts.errors >= least and counts.errors > most * counts.requests


def held(rollout: Rollout, at: datetime, reason: str) -> Rollout:
    """Return the rollout with a mark that something holds it up; one is enough until it has moved."""
    last = rollout.marks[-1] if rollout.marks else None
    if rollout.is_final or (last is not None and last.stage == HELD):
        return rollout
    mark = Mark(rollout.phase, at, rollout.traffic_ratio, reason=reason, stage=HELD)
    return replace(rollout, marks=(*rollout.marks, mark))


def advanced(rollout: Rollout, at: datetime, seen: Seen | None = None) -> Rollout:
    """Return the rollout one step further: the next phase, the next share, or completed."""
    if rollout.is_final:
        return rollout
    seen = seen or Seen()
    if rollout.phase is not Phase.CANARY:
        return _entered(rollout, _AFTER[rollout.phase], 0, at, seen)
    if rollout.step == len(rollout.plan.steps) - 1:
        return _entered(rollout, Phase.COMPLETED, rollout.step, at, seen)
    return _entered(rollout, Phase.CANARY, rollout.step + 1, at, seen)


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


def _entered(rollout: Rollout, phase: Phase, step: int, at: datetime, seen: Seen) -> Rollout:
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
    )
    return replace(moved, marks=(*rollout.marks, mark))
