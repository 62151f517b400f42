# SPDX-License-Identifier: Apache-2.0
"""Admission: which waiting workflows may start now, and why each of the others waits.

The project that has used least of its share comes first, then the higher priority, then who waited longest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mlops.orchestration_bridge.model import heat
from mlops.orchestration_bridge.model.heat import Hold, Node
from mlops.orchestration_bridge.model.queue import UNDER_WAY, Entry, Queue, State

_RANKS = {"high": 0, "normal": 1, "low": 2}
_SAME_USE_S = 60


@dataclass(frozen=True)
class Ruling:
    """Why a workflow may start now, or why it waits."""

    project: str
    key: str
    admitted: bool
    reason: str
    running: int = 0
    waiting: int = 0
    used_today: int = 0
    share_used_ratio: float | None = None
    thermal_level: int | None = None
    node: str | None = None
    expected_start_at: datetime | None = None
    hot: bool = False


@dataclass(frozen=True)
class World:
    """Everything admission looks at."""

    queues: Mapping[str, Queue]
    nodes: Mapping[str, Node]
    max_parallel: int
    away: str = ""


@dataclass(frozen=True)
class _Standing:
    reason: str | None
    hold: Hold | None
    place: int
    running: int


def rulings(world: World, now: datetime) -> tuple[Ruling, ...]:
    """Return one ruling for each workflow that waits, in the order of admission."""
    running = {name: len(queue.in_state(*UNDER_WAY)) for name, queue in world.queues.items()}
    hold = heat.hold(world.nodes, now)
    found: list[Ruling] = []
    for queue, entry in _in_order(world, now):
        reason = _why_not(world, queue, entry, running, hold)
        place = sum(1 for ruling in found if ruling.project == queue.project)
        standing = _Standing(reason, hold, place, running[queue.project])
        found.append(_ruling(world, queue, entry, standing, now))
        if reason is None:
            running[queue.project] += 1
    return tuple(found)


def _why_not(
    world: World, queue: Queue, entry: Entry, running: Mapping[str, int], hold: Hold | None
) -> str | None:
    if entry.state is State.AWAITS_APPROVAL:
        return "a person must approve it: [retrain].mode is 'approve'"
    if hold is not None:
        return f"new work is held: {hold.reason}"
    if world.away:
        return f"the orchestrator is away: {world.away}"
    if running[queue.project] >= queue.policy.max_parallel:
        return f"the project runs {running[queue.project]} of at most {queue.policy.max_parallel} at once"
    if sum(running.values()) >= world.max_parallel:
        return f"the machine runs {sum(running.values())} of at most {world.max_parallel} at once"
    return None


def _ruling(world: World, queue: Queue, entry: Entry, standing: _Standing, now: datetime) -> Ruling:
    reason, hold = standing.reason, standing.hold
    where = (hold.node, hold.level) if hold else heat.coolest(world.nodes, now) or (None, None)
    share = share_used(world.queues, queue, now)
    return Ruling(
        project=queue.project,
        key=entry.key,
        admitted=reason is None,
        reason=reason or f"nothing is in the way; {share:.0%} of its share is used",
        running=standing.running,
        waiting=standing.place,
        used_today=queue.used_today(now),
        share_used_ratio=share,
        thermal_level=where[1],
        node=where[0],
        expected_start_at=now if reason is None else _expected(world.queues, entry, hold, now),
        hot=hold is not None and entry.state is State.WAITING,
    )


def _in_order(world: World, now: datetime) -> Sequence[tuple[Queue, Entry]]:
    waiting = [
        (queue, entry)
        for queue in world.queues.values()
        for entry in queue.in_state(State.WAITING, State.AWAITS_APPROVAL)
    ]
    return sorted(waiting, key=lambda found: _rank(found[0], found[1], now))


def _rank(queue: Queue, entry: Entry, now: datetime) -> tuple[float, int, datetime, str]:
    # Minutes, so that priority decides between projects that have used about the same.
    used = round(queue.used_s(now) / queue.policy.weight / _SAME_USE_S)
    return used, _RANKS.get(queue.policy.priority, 1), entry.queued_at, entry.key


def share_used(queues: Mapping[str, Queue], queue: Queue, now: datetime) -> float:
    """Return which part of its share of the last 24 hours a project has used: 1 is all of it, or more."""
    used = {name: found.used_s(now) for name, found in queues.items()}
    total = sum(used.values())
    weights = sum(found.policy.weight for found in queues.values())
    if total <= 0 or weights <= 0:
        return 0.0
    entitled = queue.policy.weight / weights
    return round(min(1.0, used.get(queue.project, 0.0) / total / entitled), 4)


def _expected(
    queues: Mapping[str, Queue], entry: Entry, hold: Hold | None, now: datetime
) -> datetime | None:
    # A guess is only made where one can be: heat and people keep no timetable.
    if hold is not None or entry.state is State.AWAITS_APPROVAL:
        return None
    ends = [
        began + took
        for queue in queues.values()
        if (took := _usual(queue)) is not None
        for began in (e.started_at for e in queue.in_state(State.RUNNING))
        if began is not None
    ]
    return max(now, min(ends)) if ends else None


def _usual(queue: Queue) -> timedelta | None:
    times = sorted(
        entry.ended_at - entry.started_at
        for entry in queue.in_state(State.COMPLETED)
        if entry.ended_at and entry.started_at
    )
    return times[len(times) // 2] if times else None
