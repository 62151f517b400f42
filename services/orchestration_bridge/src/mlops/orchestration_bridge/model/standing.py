# SPDX-License-Identifier: Apache-2.0
"""Standing: the queues of all projects and the machines, as the line that is decided by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from mlops.orchestration_bridge.model.accounts import Account, Quota, Run, rate
from mlops.orchestration_bridge.model.fleet import Fleet, Load, capacity
from mlops.orchestration_bridge.model.forecast import Errors
from mlops.orchestration_bridge.model.line import Line
from mlops.orchestration_bridge.model.nodes import Node
from mlops.orchestration_bridge.model.placement import Needs
from mlops.orchestration_bridge.model.queue import DAY, UNDER_WAY, Entry, Queue, State, took
from mlops.orchestration_bridge.model.waiting import Job


@dataclass(frozen=True)
class World:
    """Everything admission looks at. `max_parallel` counts for each machine; `hosts` are those that take work."""

    queues: Mapping[str, Queue]
    nodes: Mapping[str, Node]
    max_parallel: int
    away: str = ""
    hosts: tuple[str, ...] = ()

    @property
    def fleet(self) -> Fleet:
        """Return the machines, with what serving is promised on each."""
        serving = sum(q.policy.serving_bytes for q in self.queues.values() if not q.archived)
        return Fleet(self.nodes, self.max_parallel, self.hosts, serving)

    @property
    def expected_off(self) -> Errors:
        """Return how far the first word about a start was off, over all projects."""
        known = [queue.expected_off for queue in self.queues.values() if queue.expected_off.count]
        count = sum(one.count for one in known)
        return (
            Errors(count, sum(one.mean_s * one.count for one in known) / count)
            if count
            else Errors()
        )


def line_of(world: World, now: datetime) -> Line:
    """Return the line of everything that waits for no person."""
    fleet = world.fleet
    line = Line(capacity(fleet, now), fleet.hosts(_loads(world), now))
    for queue in world.queues.values():
        lasts = usual(queue)
        line.account(account(queue, now, lasts))
        for entry in queue.in_state(State.WAITING):
            line.join(job(queue, entry, lasts))
    return line


def account(queue: Queue, now: datetime, lasts: timedelta | None) -> Account:
    """Return a project's rights and what it has taken up to now."""
    usage, energy_j, policy = queue.past, 0.0, queue.policy
    for entry in queue.entries:
        usage = took(usage, entry)
        if entry.energy_j and entry.ended_at and entry.ended_at > now - DAY:
            energy_j += entry.energy_j
    under_way = queue.in_state(*UNDER_WAY)
    return Account(
        project=queue.project,
        weight=policy.weight,
        priority=policy.priority,
        quota=Quota(
            policy.max_parallel, policy.most_memory_bytes, policy.most_gpu_s, policy.most_energy_j
        ),
        usage=usage,
        runs=tuple(_run(queue, entry, lasts) for entry in under_way),
        gpu_s=sum(_gpu_s(entry, now) for entry in queue.entries),
        energy_j=energy_j,
        served_s=queue.served_at.timestamp() if queue.served_at else float("-inf"),
    )


def job(queue: Queue, entry: Entry, lasts: timedelta | None) -> Job:
    """Return a waiting workflow as the line sees it."""
    ran_on = [e.node for e in queue.entries if e.model == entry.model and e.node and e.started_at]
    return Job(
        key=entry.key,
        project=queue.project,
        needs=queue.policy.needs,
        queued_s=entry.queued_at.timestamp(),
        lasts_s=lasts.total_seconds() if lasts else None,
        limit_s=queue.timeout.total_seconds(),
        near=tuple(ran_on[-1:]),
    )


def usual(queue: Queue) -> timedelta | None:
    """Return how long its workflows usually take, None before the first has completed."""
    times = _times(queue)
    return times[len(times) // 2] if times else None


def _loads(world: World) -> Iterator[Load]:
    for queue in world.queues.values():
        for entry in queue.in_state(*UNDER_WAY):
            since = entry.started_at or entry.admitted_at or entry.queued_at
            yield Load(entry.node, entry.needs or queue.policy.needs, since)


def _run(queue: Queue, entry: Entry, lasts: timedelta | None) -> Run:
    since = entry.started_at or entry.admitted_at or entry.queued_at
    needs = entry.needs or queue.policy.needs
    lasts_s = lasts.total_seconds() if lasts else None
    limit_s = queue.timeout.total_seconds()
    return Run.of(entry.key, entry.node, needs, since.timestamp(), lasts_s, limit_s)


def _gpu_s(entry: Entry, now: datetime) -> float:
    if entry.started_at is None or rate(entry.needs or Needs()).gpu == 0:
        return 0.0
    began = max(entry.started_at, now - DAY)
    return max(0.0, ((entry.ended_at or now) - began).total_seconds())


def _times(queue: Queue) -> list[timedelta]:
    return sorted(
        entry.ended_at - entry.started_at
        for entry in queue.in_state(State.COMPLETED)
        if entry.ended_at and entry.started_at
    )
