# SPDX-License-Identifier: Apache-2.0
"""Standing: the queues of all projects and the machines, as the line that is decided by."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import MappingProxyType

from mlops.orchestration_bridge.model import cohort, heat
from mlops.orchestration_bridge.model.accounts import Account, Quota, Run, rate
from mlops.orchestration_bridge.model.energy import remembered, within_day
from mlops.orchestration_bridge.model.fleet import Fleet, Load, capacity
from mlops.orchestration_bridge.model.forecast import Errors
from mlops.orchestration_bridge.model.line import Line
from mlops.orchestration_bridge.model.nodes import Node
from mlops.orchestration_bridge.model.placement import Host, Needs
from mlops.orchestration_bridge.model.queue import DAY, UNDER_WAY, Entry, Queue, State, took
from mlops.orchestration_bridge.model.waiting import Job
from mlops.orchestration_bridge.model.workers import Worker

NOTHING_YET: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True)
class World:
    """Everything admission looks at. `max_parallel` counts for each machine; `hosts` are those that take work.

    `workers` are the machines that run steps beside `local`, the orchestrator's own, where `several` may; `energy_j` is what each workflow
    has taken that has not ended. `heat_rules` are what the installation sets of heat.
    """

    queues: Mapping[str, Queue]
    nodes: Mapping[str, Node]
    max_parallel: int
    away: str = ""
    hosts: tuple[str, ...] = ()
    workers: Mapping[str, Worker] = field(default_factory=dict)
    local: str = ""
    energy_j: Mapping[str, float] = field(default_factory=dict)
    several: bool = False
    heat_rules: heat.Rules = heat.USUAL

    @property
    def fleet(self) -> Fleet:
        """Return the machines, with what serving is promised on each."""
        serving = sum(q.policy.serving_bytes for q in self.queues.values() if not q.archived)
        return Fleet(
            self.nodes,
            self.max_parallel,
            self.hosts,
            serving,
            self.workers,
            self.local,
            self.several,
            self.heat_rules.pace,
        )

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
        line.account(account(queue, now, lasts, world.energy_j))
        for entry in queue.in_state(State.WAITING):
            waiting = job(queue, entry, lasts, line.hosts.values())
            line.join(_patient(waiting, entry, world.heat_rules.patience, now))
    return line


def account(
    queue: Queue,
    now: datetime,
    lasts: timedelta | None,
    so_far: Mapping[str, float] = NOTHING_YET,
) -> Account:
    """Return a project's rights and what it has taken up to now; *so_far* are the joules of what has not ended."""
    usage, energy_j, policy = queue.past, remembered(queue.drawn, now), queue.policy
    for entry in queue.entries:
        usage = took(usage, entry)
        if entry.energy is not None or entry.key in so_far:
            energy_j += _energy_j(entry, so_far.get(entry.key, 0.0), now)
    under_way = queue.in_state(*UNDER_WAY)
    return Account(
        project=queue.project,
        weight=policy.weight,
        priority=policy.priority,
        quota=Quota(
            policy.max_parallel, policy.most_memory_bytes, policy.most_gpu_s, policy.most_energy_j
        ),
        usage=usage,
        runs=tuple(_run(queue, entry, lasts, so_far, now) for entry in under_way),
        gpu_s=sum(_gpu_s(entry, now) for entry in queue.entries),
        energy_j=energy_j,
        served_s=queue.served_at.timestamp() if queue.served_at else float("-inf"),
    )


def job(queue: Queue, entry: Entry, lasts: timedelta | None, hosts: Collection[Host] = ()) -> Job:
    """Return a waiting workflow as the line sees it."""
    ran_on = [e.node for e in queue.entries if e.model == entry.model and e.node and e.started_at]
    ran_on += [stint.node for stint in entry.stints]
    return Job(
        key=entry.key,
        project=queue.project,
        needs=needs(queue, entry, hosts),
        queued_s=entry.queued_at.timestamp(),
        lasts_s=_left_s(entry, lasts),
        limit_s=limit_s(queue, entry),
        near=tuple(ran_on[-1:]),
        back_s=entry.parted_at.timestamp() if entry.parted_at else None,
    )


def _patient(waiting: Job, entry: Entry, longest: timedelta | None, now: datetime) -> Job:
    """Return the workflow with the time from which it bears a throttled machine; work that must be quick never does.

    With *longest* None nothing ever does. A throttled machine runs at half speed at worst, which costs a workflow as long again as it usually takes: waiting longer than that for a
    cooler one cannot pay.
    """
    if waiting.needs.latency_critical or longest is None:
        return waiting
    lasts = timedelta.max if waiting.lasts_s is None else timedelta(seconds=waiting.lasts_s)
    patience = min(longest, lasts)
    free_from = max(entry.waits_from, entry.approved_at or entry.waits_from)
    bears = replace(waiting.needs, bears_heat=now - free_from >= patience)
    return replace(waiting, needs=bears, bears_from_s=(free_from + patience).timestamp())


def needs(queue: Queue, entry: Entry, hosts: Collection[Host] = ()) -> Needs:
    """Return what a workflow takes: of one machine, or of a cohort of them."""
    policy = queue.policy
    if entry.kind != cohort.FEDERATED or policy.cohort is None:
        return policy.needs
    return cohort.needs(policy.needs, policy.cohort, hosts)


def limit_s(queue: Queue, entry: Entry) -> float:
    """Return the longest a workflow can last; of a cohort each round has two steps of which each may last so long."""
    one_s, together = queue.timeout.total_seconds(), queue.policy.cohort
    return one_s * 2 * together.rounds if together and entry.kind == cohort.FEDERATED else one_s


def usual(queue: Queue) -> timedelta | None:
    """Return how long its workflows usually take, None before the first has completed."""
    times = _times(queue)
    return times[len(times) // 2] if times else None


def _loads(world: World) -> Iterator[Load]:
    for queue in world.queues.values():
        for entry in queue.in_state(*UNDER_WAY):
            since = entry.started_at or entry.admitted_at or entry.queued_at
            for node in entry.nodes or (entry.node,):
                yield Load(node, entry.needs or queue.policy.needs, since)


def _run(
    queue: Queue,
    entry: Entry,
    lasts: timedelta | None,
    so_far: Mapping[str, float],
    now: datetime,
) -> Run:
    since = entry.started_at or entry.admitted_at or entry.queued_at
    takes = entry.needs or queue.policy.needs
    lasts_s = _left_s(entry, lasts)
    began_s, others, most_s = since.timestamp(), entry.nodes[1:], limit_s(queue, entry)
    run = Run.of(entry.key, entry.node, takes, began_s, lasts_s, most_s, others)
    joules, ran_s = so_far.get(entry.key, 0.0), entry.ran_s(now)
    if not joules or ran_s <= 0:
        return run
    return replace(run, takes=replace(run.takes, energy=joules / ran_s))


def _energy_j(entry: Entry, so_far_j: float, now: datetime) -> float:
    """Return the joules of the last 24 hours: of an ended workflow, or so far; a cancelled one has only the latter."""
    joules = so_far_j if entry.energy_j is None else entry.energy_j
    if not joules:
        return 0.0
    spans = [(one.since, one.until) for one in entry.stretches(now)]
    return within_day(joules, spans, now)


def _left_s(entry: Entry, lasts: timedelta | None) -> float | None:
    """Return how long an attempt usually lasts from its start: less than others by what was saved before."""
    if lasts is None:
        return None
    return max(0.0, lasts.total_seconds() - entry.saved_s)


def _gpu_s(entry: Entry, now: datetime) -> float:
    stretches = (one for one in entry.stretches(now) if rate(one.needs).gpu)
    return sum(one.within_s(now - DAY) for one in stretches)


def _times(queue: Queue) -> list[timedelta]:
    return sorted(
        timedelta(seconds=entry.worked_s(entry.ended_at))
        for entry in queue.in_state(State.COMPLETED)
        if entry.ended_at and entry.started_at
    )
