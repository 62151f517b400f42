# SPDX-License-Identifier: Apache-2.0
"""Line: all that waits, kept in order so that one decision looks at the projects and never at every workflow.

The project with the lowest score goes first, within it who waited longest. The score is the project's dominant share
by its weight, a little less or more for its priority, less a credit for how long it was not served at all:

    score = share / weight + priority - max(0, unserved - GRACE) / PATIENCE, in steps of SAME_SHARE

So nobody starves, whatever the others send: once a project was unserved for GRACE + PATIENCE x (share / weight +
2 x PRIORITY_SHARE + SAME_SHARE), every other project is served at most once before it.
The first workflow that no machine can take gets a reservation, and others pass it only where they do not delay it.
Workflows wait by kind (the same needs, the same limit): when one of a kind finds no machine, nobody asks again for
the others of that kind in the same decision. All times are seconds since any one epoch.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from mlops.orchestration_bridge.model.accounts import Account, Run, over_quota, share
from mlops.orchestration_bridge.model.backfill import Reservation, Wanted, reserved
from mlops.orchestration_bridge.model.cohort import chosen
from mlops.orchestration_bridge.model.placement import Gate, Host, taken
from mlops.orchestration_bridge.model.usage import Capacity
from mlops.orchestration_bridge.model.waiting import Job, Kind, Waiting

GRACE_S = 3600.0
PATIENCE_S = 24 * 3600.0
PRIORITY_SHARE = 0.02
# About a minute of everything there is: who is no further apart goes by who waited longest.
SAME_SHARE = 0.0005
MOST_STARTS = 16
_PRIORITIES = {"high": -PRIORITY_SHARE, "low": PRIORITY_SHARE}

Rank = tuple[int, float, str]


@dataclass(frozen=True)
class Start:
    """A workflow that starts now, and where; `others` are its further machines, where it takes several."""

    key: str
    project: str
    host: str
    others: tuple[str, ...] = ()

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return all its machines."""
        return (self.host, *self.others)


class Line:
    """The standing order of everything that waits. It changes in place: a change costs that change alone."""

    def __init__(self, capacity: Capacity, hosts: Mapping[str, Host]) -> None:
        self.reservation: Reservation | None = None
        self._capacity = capacity
        self._hosts: dict[str, Host] = {}
        self._open: dict[str, Host] = {}
        self._accounts: dict[str, Account] = {}
        self._waiting: dict[str, Waiting] = {}
        for host in hosts.values():
            self.host(host)

    @property
    def hosts(self) -> Mapping[str, Host]:
        """Return the machines as they stand."""
        return self._hosts

    @property
    def accounts(self) -> Mapping[str, Account]:
        """Return the projects as they stand."""
        return self._accounts

    def account(self, account: Account) -> None:
        """Take in what is now known of a project."""
        self._accounts[account.project] = account

    def host(self, host: Host) -> None:
        """Take in what is now known of a machine."""
        self._hosts[host.name] = host
        if (host.shut is Gate.NONE or host.slowed) and host.slots > 0:
            self._open[host.name] = host
        else:
            self._open.pop(host.name, None)

    def join(self, job: Job) -> None:
        """Let a workflow wait; the same key again changes nothing. Its project must be known."""
        self._waiting.setdefault(job.project, Waiting()).join(job)

    def leave(self, project: str, key: str) -> None:
        """Take a workflow out of the line."""
        waiting = self._waiting.get(project)
        if waiting is not None:
            waiting.leave(key)

    def ended(self, project: str, key: str, now_s: float) -> None:
        """Charge a run for what it took, and give back its slot and its memory."""
        account = self._accounts[project]
        self._accounts[project] = account.ended(key, now_s)
        for run in account.runs:
            for name in run.hosts if run.key == key else ():
                if name in self._hosts:
                    self.host(_with(self._hosts[name], run.memory_bytes, -1))

    def decide(self, now_s: float, most: int = MOST_STARTS) -> list[Start]:
        """Return what starts now, at most so many; from here on they count as started."""
        self.reservation = None
        starts: list[Start] = []
        blocked: set[Kind] = set()
        order = [self.rank(project, now_s) for project in self._queued()]
        heapq.heapify(order)
        while order and self._open and len(starts) < most:
            _, _, project = heapq.heappop(order)
            start = self._next(project, blocked, now_s)
            if start is not None:
                starts.append(start)
                if self._waiting[project].jobs:
                    heapq.heappush(order, self.rank(project, now_s))
        return starts

    def rank(self, project: str, now_s: float) -> Rank:
        """Return the place of a project among the others."""
        first_s = self._waiting[project].since_s()
        since_s = now_s if first_s is None else first_s
        return rank(self._accounts[project], self._capacity, since_s, now_s)

    def in_order(self, now_s: float) -> Iterator[Job]:
        """Yield all that waits in the order in which it would be served, each paid for in advance."""
        ghost = Line(self._capacity, {})
        ghost._accounts = dict(self._accounts)
        ghost._waiting = {name: self._waiting[name].copy() for name in self._queued()}
        order = [ghost.rank(project, now_s) for project in ghost._waiting]
        heapq.heapify(order)
        while order:
            _, _, project = heapq.heappop(order)
            job = ghost._waiting[project].heads()[0]
            yield job
            ghost.leave(project, job.key)
            paid = ghost._accounts[project].charged(job.needs, job.lasts_s, now_s)
            ghost._accounts[project] = paid
            if ghost._waiting[project].jobs:
                heapq.heappush(order, ghost.rank(project, now_s))

    def share_used(self, project: str, now_s: float) -> float:
        """Return which part of its share of all that is in use the project has: 1 is all of it, or more."""
        parts = {name: share(one, self._capacity, now_s) for name, one in self._accounts.items()}
        total, weights = sum(parts.values()), sum(one.weight for one in self._accounts.values())
        if total <= 0:
            return 0.0
        entitled = self._accounts[project].weight / weights
        return round(min(1.0, parts[project] / total / entitled), 4)

    def _queued(self) -> list[str]:
        return [project for project, waiting in self._waiting.items() if waiting.jobs]

    def _next(self, project: str, blocked: set[Kind], now_s: float) -> Start | None:
        """Start the oldest workflow of the project that may and can; None when there is none."""
        account = self._accounts[project]
        for job in self._waiting[project].heads():
            kind = (job.needs, job.limit_s)
            if kind in blocked or over_quota(account, job.needs) is not None:
                continue
            hosts = chosen(self._let(job, now_s), job.needs, job.near, job.lasts_s)
            if hosts:
                return self._begin(job, hosts, now_s)
            blocked.add(kind)
            if self.reservation is None:
                wanted = Wanted(job.key, job.needs, job.since_s)
                self.reservation = reserved(wanted, self._hosts.values(), self._runs(), now_s)
        return None

    def _let(self, job: Job, now_s: float) -> Iterator[Host]:
        kept = self.reservation
        for host in self._open.values():
            if kept is None or kept.lets(host.name, job.needs, job.limit_s, now_s):
                yield host

    def _begin(self, job: Job, hosts: tuple[Host, ...], now_s: float) -> Start:
        self.leave(job.project, job.key)
        first, *others = (host.name for host in hosts)
        needs = taken(job.needs, hosts[0])
        run = Run.of(job.key, first, needs, now_s, job.lasts_s, job.limit_s, tuple(others))
        self._accounts[job.project] = self._accounts[job.project].started(run, now_s)
        for host in hosts:
            self.host(_with(host, job.needs.memory_bytes, 1))
            if self.reservation is not None:
                kept = self.reservation.beside(host.name, job.needs, job.limit_s, now_s)
                self.reservation = kept
        return Start(job.key, job.project, first, tuple(others))

    def _runs(self) -> dict[str, list[Run]]:
        found: dict[str, list[Run]] = {}
        for account in self._accounts.values():
            for run in account.runs:
                for host in run.hosts:
                    found.setdefault(host, []).append(run)
        return found


def rank(account: Account, capacity: Capacity, first_s: float, now_s: float) -> Rank:
    """Return the place of a project among the others: its score, then since when its oldest waits, then its name."""
    unserved_s = now_s - max(account.served_s, first_s)
    credit = max(0.0, unserved_s - GRACE_S) / PATIENCE_S
    own = share(account, capacity, now_s) / account.weight
    score = own + _PRIORITIES.get(account.priority, 0.0) - credit
    return round(score / SAME_SHARE), first_s, account.project


def _with(host: Host, memory_bytes: int, more: int) -> Host:
    free = None if host.memory_free is None else host.memory_free - more * memory_bytes
    return replace(host, slots=host.slots - more, memory_free=free)
