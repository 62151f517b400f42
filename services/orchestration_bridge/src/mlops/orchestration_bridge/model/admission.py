# SPDX-License-Identifier: Apache-2.0
"""Admission: which waiting workflows may start now and where, and of each of the others what holds it and until when."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from mlops.orchestration_bridge.model import cohort, expectation
from mlops.orchestration_bridge.model.accounts import over_quota
from mlops.orchestration_bridge.model.line import Start
from mlops.orchestration_bridge.model.placement import (
    Gate,
    Host,
    Needs,
    Obstacle,
    obstacle,
    planned,
    taken,
)
from mlops.orchestration_bridge.model.queue import Entry, Queue, State
from mlops.orchestration_bridge.model.standing import World, line_of
from mlops.orchestration_bridge.model.waiting import Job

__all__ = ["Ruling", "World", "rulings"]

MOST_STARTS = 1000
MOST_AHEAD = 20
_MOST_NAMED = 3
_SHUT = (Gate.HEAT, Gate.UNKNOWN_NODE)
# Of several machines, the one that can soonest be of use says what is waited for.
_NEAREST = (Gate.SLOTS, Gate.MEMORY, Gate.HEAT, Gate.UNKNOWN_NODE, Gate.ACCELERATOR)


@dataclass(frozen=True)
class Ruling:
    """The decision record: why a workflow may start now, or what holds it, with the figures."""

    project: str
    key: str
    admitted: bool
    reason: str
    gate: Gate = Gate.NONE
    running: int = 0
    waiting: int = 0
    used_today: int = 0
    share_used_ratio: float | None = None
    thermal_level: int | None = None
    node: str | None = None
    memory_needed_bytes: int | None = None
    memory_free_bytes: int | None = None
    throttle_s: float | None = None
    cool_s: float | None = None
    expected_start_at: datetime | None = None
    expected_error_s: float | None = None
    place: int | None = None
    of: int = 0
    ahead: tuple[str, ...] = ()
    obstacles: tuple[Obstacle, ...] = ()
    needs: Needs | None = None
    nodes: tuple[str, ...] = ()
    hot: bool = False


def rulings(world: World, now: datetime) -> tuple[Ruling, ...]:
    """Return one ruling for each workflow that waits: first what starts, then the others in the order of the line."""
    return _Bench(world, now).rulings()


class _Bench:
    """One look at the world: what starts, and what everybody else is told of it."""

    def __init__(self, world: World, now: datetime) -> None:
        self._world, self._now, self._now_s = world, now, now.timestamp()
        self._line = line_of(world, now)
        self._before = dict(self._line.hosts)
        self._order = list(self._line.in_order(self._now_s))
        running = {name: len(one.runs) for name, one in self._line.accounts.items()}
        self._shares = {
            name: self._line.share_used(name, self._now_s)
            for name in {job.project for job in self._order} | _asking(world)
        }
        started = [] if world.away else self._line.decide(self._now_s, MOST_STARTS)
        self._starts = {start.key: start for start in started}
        self._running = running
        self._used = {name: queue.used_today(now) for name, queue in world.queues.items()}
        # Of many that wait most need the same: what the machines say of it is asked once.
        self._ways: dict[Needs, tuple[Obstacle, ...]] = {}
        self._free: dict[Needs, bool] = {}
        self._plans: dict[tuple[Needs, tuple[str, ...], float | None], str | None] = {}
        self._kept = world.expected_off.known_s

    def rulings(self) -> tuple[Ruling, ...]:
        by_key = {job.key: job for job in self._order}
        waiting = [job for job in self._order if job.key not in self._starts]
        held = {job.key: self._held(job) for job in waiting}
        due = expectation.starts(self._line, waiting, held, self._now_s)
        found = [self._started(by_key[key]) for key in self._starts]
        found += [self._waits(job, *held[job.key], due.get(job.key)) for job in waiting]
        return (*_in_places(found), *self._approvals())

    def _started(self, job: Job) -> Ruling:
        start: Start = self._starts[job.key]
        host, share = self._before[start.host], self._shares[job.project]
        reason = f"{_way_in(host)}; {share:.0%} of its share is used"
        ruling = self._of(job.project, job.key, host, job.needs)
        return replace(
            ruling,
            admitted=True,
            reason=reason,
            node=start.host or None,
            nodes=start.hosts if start.others else (),
            expected_start_at=self._now,
            needs=taken(job.needs, host),
        )

    def _waits(self, job: Job, gate: Gate, reason: str, due_s: float | None) -> Ruling:
        ways = self._obstacles(job.needs)
        if gate is Gate.HEAT:
            reason += self._until(job)
        host = self._meant(job, ways)
        at = None if due_s is None else datetime.fromtimestamp(due_s, tz=self._now.tzinfo)
        ruling = self._of(job.project, job.key, host, job.needs)
        return replace(
            ruling,
            reason=reason,
            gate=gate,
            expected_start_at=at,
            obstacles=ways[:_MOST_NAMED],
            hot=gate in _SHUT,
        )

    def _held(self, job: Job) -> tuple[Gate, str]:
        ways = self._obstacles(job.needs)
        hosts = self._line.hosts
        if ways and len(ways) == len(hosts) and all(way.gate in _SHUT for way in ways):
            return _nearest(ways).gate, f"new work is held: {_sum_up(ways)}"
        if self._world.away:
            return Gate.ORCHESTRATOR, f"the orchestrator is away: {self._world.away}"
        quota = over_quota(self._line.accounts[job.project], job.needs)
        return quota or self._room(job, ways)

    def _room(self, job: Job, ways: Sequence[Obstacle]) -> tuple[Gate, str]:
        hosts = self._line.hosts
        ordered = sorted(ways, key=lambda way: (_NEAREST.index(way.gate), way.host))
        lacking = cohort.short(job.needs, len(hosts), ordered)
        if lacking is not None:
            return lacking
        if len(ways) < len(hosts):
            return self._reserved()
        if self._starts and self._was_free(job.needs):
            first = " and ".join(list(self._starts)[:_MOST_NAMED])
            return Gate.SHARE, f"{_sum_up(ways)}; by fair share first: {first}"
        return _nearest(ways).gate, _sum_up(ways)

    def _until(self, job: Job) -> str:
        """Return until when it waits for a cooler machine, empty where none is merely throttled."""
        if job.bears_from_s is None or not any(host.slowed for host in self._line.hosts.values()):
            return ""
        at = datetime.fromtimestamp(job.bears_from_s, tz=self._now.tzinfo)
        return f"; from {at:%H:%M:%S} {at.tzname()} on a throttled one will do"

    def _reserved(self) -> tuple[Gate, str]:
        kept = self._line.reservation
        if kept is None:
            return Gate.SHARE, "others go first, by fair share"
        where = " and ".join(kept.hosts[:_MOST_NAMED]) or "the machine"
        return Gate.RESERVED, f"what is free of {where} is kept for {kept.key}"

    def _obstacles(self, needs: Needs) -> tuple[Obstacle, ...]:
        if needs not in self._ways:
            ways = (obstacle(host, needs) for host in self._line.hosts.values())
            self._ways[needs] = tuple(way for way in ways if way is not None)
        return self._ways[needs]

    def _was_free(self, needs: Needs) -> bool:
        if needs not in self._free:
            hosts = self._before.values()
            self._free[needs] = any(obstacle(host, needs) is None for host in hosts)
        return self._free[needs]

    def _meant(self, job: Job, ways: Sequence[Obstacle]) -> Host | None:
        asked = (job.needs, job.near, job.lasts_s)
        if asked not in self._plans:
            self._plans[asked] = planned(self._line.hosts.values(), *asked)
        found = self._plans[asked]
        name = found if found is not None else _nearest(ways).host if ways else None
        return None if name is None else self._line.hosts[name]

    def _of(self, project: str, key: str, host: Host | None, needs: Needs) -> Ruling:
        return Ruling(
            project=project,
            key=key,
            admitted=False,
            reason="",
            running=self._running[project],
            used_today=self._used[project],
            share_used_ratio=self._shares[project],
            thermal_level=host.level if host else None,
            node=(host.name or None) if host else None,
            memory_needed_bytes=needs.with_margin or None,
            memory_free_bytes=host.memory_free if host else None,
            throttle_s=host.throttle_s if host else None,
            cool_s=host.cool_s if host else None,
            expected_error_s=self._kept,
            needs=needs,
        )

    def _approvals(self) -> tuple[Ruling, ...]:
        asked = [
            (entry.queued_at, entry.key, queue, entry)
            for queue in self._world.queues.values()
            for entry in queue.in_state(State.AWAITS_APPROVAL)
        ]
        return tuple(
            self._awaits(queue, entry) for _, _, queue, entry in sorted(asked, key=lambda a: a[:2])
        )

    def _awaits(self, queue: Queue, entry: Entry) -> Ruling:
        name = planned(self._line.hosts.values(), queue.policy.needs)
        host = None if name is None else self._line.hosts[name]
        ruling = self._of(queue.project, entry.key, host, queue.policy.needs)
        reason = "a person must approve it: [retrain].mode is 'approve'"
        ahead = len(queue.in_state(State.WAITING))
        return replace(ruling, reason=reason, gate=Gate.APPROVAL, waiting=ahead)


def _way_in(host: Host) -> str:
    if host.slowed:
        return f"{host.name} is throttled, and it has waited for a cooler machine for long enough"
    return "nothing is in the way"


def _in_places(found: Sequence[Ruling]) -> list[Ruling]:
    line, before, told = [ruling.key for ruling in found], Counter[str](), []
    for place, ruling in enumerate(found):
        ahead = tuple(line[max(0, place - MOST_AHEAD) : place])
        told.append(
            replace(
                ruling, place=place + 1, of=len(line), ahead=ahead, waiting=before[ruling.project]
            )
        )
        before[ruling.project] += 1
    return told


def _asking(world: World) -> set[str]:
    return {q.project for q in world.queues.values() if q.in_state(State.AWAITS_APPROVAL)}


def _nearest(ways: Sequence[Obstacle]) -> Obstacle:
    return min(ways, key=lambda way: (_NEAREST.index(way.gate), way.host))


def _sum_up(ways: Sequence[Obstacle]) -> str:
    first = sorted(ways, key=lambda way: (_NEAREST.index(way.gate), way.host))
    told = "; ".join(way.reason for way in first[:_MOST_NAMED])
    more = f"; and {len(first) - _MOST_NAMED} machines more" if len(first) > _MOST_NAMED else ""
    return f"{told}{more}"
