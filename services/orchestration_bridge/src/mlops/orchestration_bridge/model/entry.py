# SPDX-License-Identifier: Apache-2.0
"""Entry: one workflow, how far it is, and when it ran over all its attempts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from mlops.orchestration_bridge.model.accounts import rate
from mlops.orchestration_bridge.model.attempts import Asked, Forced, Stint, Stretch
from mlops.orchestration_bridge.model.energy import Used
from mlops.orchestration_bridge.model.findings import Finding
from mlops.orchestration_bridge.model.placement import Needs
from mlops.orchestration_bridge.model.usage import Usage

SHORT_REASON = 300
MOST_FINDINGS = 3


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
class Entry:
    """One workflow. `told` is the last of its states that the bus knows; `stopped`, that a cancelled one runs no more.

    `node` is the machine it is meant for, then the one it runs on; `moved_from` where it was meant for before; `nodes`
    are all it runs on, where they are several.
    `expected_at` is the first word about its start, which the start is compared with; `needs` what it took along.

    `attempt` counts its starts, `stints` are those that have parted, `parted_at` when the last of them did; `from_checkpoint`
    says whether this one goes on from what they saved. `asked` is what this one was asked, `requests` counts over all.
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
    nodes: tuple[str, ...] = ()
    moved_from: str = ""
    moved_why: str = ""
    not_before: datetime | None = None
    expected_at: datetime | None = None
    needs: Needs | None = None
    energy: Used | None = None
    hardware: tuple[Finding, ...] = ()
    suggestion: str = ""
    attempt: int = 1
    stints: tuple[Stint, ...] = ()
    parted_at: datetime | None = None
    from_checkpoint: bool | None = None
    asked: tuple[Asked, ...] = ()
    requests: int = 0
    told_requests: int = 0
    forced: Forced | None = None

    @property
    def active(self) -> bool:
        """Return whether it still waits or runs."""
        return self.state not in ENDED

    @property
    def energy_j(self) -> float | None:
        """Return the joules it took, None before its end and where nobody knows."""
        return self.energy.joules if self.energy else None

    @property
    def waits_from(self) -> datetime:
        """Return since when it waits for its present start."""
        return self.parted_at or self.queued_at

    @property
    def past(self) -> tuple[Stretch, ...]:
        """Return when it ran in attempts that have parted."""
        return tuple(Stretch(s.started_at, s.ended_at, s.needs or Needs()) for s in self.stints)

    @property
    def saved_s(self) -> float:
        """Return how much of the attempts that have parted was saved, in seconds."""
        return sum(one.length_s for s, one in zip(self.stints, self.past, strict=True) if s.saved)

    def stretches(self, now: datetime) -> tuple[Stretch, ...]:
        """Return when it ran, over all its attempts; what runs has run until *now*."""
        return (*self.past, *self._present(now))

    def ran_s(self, now: datetime) -> float:
        """Return how long it ran in all, in seconds."""
        return sum(stretch.length_s for stretch in self.stretches(now))

    def worked_s(self, now: datetime) -> float:
        """Return how much of that brought its end nearer: what was saved, and the present attempt."""
        return self.saved_s + sum(stretch.length_s for stretch in self._present(now))

    def _present(self, now: datetime) -> tuple[Stretch, ...]:
        if self.started_at is None:
            return ()
        return (Stretch(self.started_at, self.ended_at or now, self.needs or Needs()),)


def told(entry: Entry) -> Entry:
    """Return the workflow after the bus has heard of its present state; a long diagnosis is not kept."""
    heard = replace(entry, told=entry.state, reason=entry.reason[:SHORT_REASON])
    return replace(heard, hardware=entry.hardware[:MOST_FINDINGS])


def took(usage: Usage, entry: Entry) -> Usage:
    """Return the usage with what a workflow took besides, in all attempts that are over; none took nothing."""
    over = entry.stretches(entry.ended_at) if entry.ended_at else entry.past
    energy_w = (entry.energy_j or 0.0) / (sum(one.length_s for one in over) or 1.0)
    for one in over:
        used = replace(rate(one.needs), energy=energy_w)
        usage = usage.took(used, one.since.timestamp(), one.until.timestamp())
    return usage
