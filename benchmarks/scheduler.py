# SPDX-License-Identifier: Apache-2.0
"""What one decision of the scheduler takes, and how fair a day of them is.

    python benchmarks/scheduler.py [--rounds 300]

10 000 workflows wait, of 100 projects, on 200 machines with two slots each, all of them taken. A round is what happens
live: a run ends, a workflow comes, a machine tells its heat, and it is decided what starts. The peer does the same by
ranking and sorting everything that waits in each round, with the same rules; both are asked in turns and must give
the same answer. Times are of the processor, so that a busy machine does not blur them. Fairness: a day of an
overloaded trace against the ideal (weighted max-min) share of every project; its peer is first come, first served.
"""

from __future__ import annotations

import argparse
import gc
import heapq
import random
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from results_file import Figure, compare, write

from mlops.orchestration_bridge.model import admission
from mlops.orchestration_bridge.model.accounts import Account, Quota, Run, over_quota
from mlops.orchestration_bridge.model.line import Line, Start, rank
from mlops.orchestration_bridge.model.nodes import Node, Reading
from mlops.orchestration_bridge.model.placement import GIB, Gate, Host, Needs, best, taken
from mlops.orchestration_bridge.model.queue import Entry, Policy, Queue, State
from mlops.orchestration_bridge.model.standing import World
from mlops.orchestration_bridge.model.usage import Amount, Capacity, Usage
from mlops.orchestration_bridge.model.waiting import Job

WAITING, PROJECTS, NODES, SLOTS = 10_000, 100, 200, 2
CAPACITY = Capacity(runs=NODES * SLOTS, memory=NODES * 32.0)
NOW = 1_700_000_000.0
DAY_S, DAY_SLOTS = 86_400.0, 8
_ALL = "all"
_SIZES = (1, 2, 4, 8)
_CHIPS = (("mlx", "mps"), ("cuda",), ())


@dataclass
class Yard:
    """The same installation for everybody who decides."""

    rng: random.Random
    hosts: dict[str, Host]
    accounts: dict[str, Account]
    jobs: dict[str, Job]

    @staticmethod
    def full(seed: int = 1) -> Yard:
        """Return the installation, empty, and everything that waits."""
        rng = random.Random(seed)  # noqa: S311 - a trace, not a secret
        hosts = {
            (name := f"node-{i:03}"): Host(
                name,
                SLOTS,
                SLOTS,
                0,
                memory_total=32 * GIB,
                memory_free=32 * GIB,
                accelerators=_CHIPS[i % 3],
            )
            for i in range(NODES)
        }
        accounts = {
            (name := f"project-{i:02}"): Account(
                name,
                weight=rng.choice((1.0, 1.0, 2.0, 5.0)),
                priority=rng.choice(("low", "normal", "high")),
                quota=Quota(parallel=20),
                usage=Usage(Amount(runs=rng.uniform(0, 2e5), memory=rng.uniform(0, 8e5)), NOW),
            )
            for i in range(PROJECTS)
        }
        yard = Yard(rng, hosts, accounts, {})
        for number in range(WAITING + NODES * SLOTS):
            yard.comes(number, NOW - rng.uniform(0, 7200))
        return yard

    def comes(self, number: int, queued_s: float) -> Job:
        """Let one more workflow wait."""
        needs = Needs(
            cpu=1.0,
            memory_bytes=self.rng.choice(_SIZES) * GIB,
            accelerator=self.rng.choice(("any", "any", "any", "mlx", "cuda", "none")),
        )
        project = f"project-{self.rng.randrange(PROJECTS):02}"
        lasts_s = self.rng.choice((120.0, 600.0, 1800.0))
        job = Job(f"w{number:06}", project, needs, queued_s, lasts_s, 6 * 3600.0)
        self.jobs[job.key] = job
        return job

    def line(self) -> Line:
        """Return the standing line of it."""
        line = Line(CAPACITY, self.hosts)
        for account in self.accounts.values():
            line.account(account)
        for job in self.jobs.values():
            line.join(job)
        return line


class Sorting:
    """The peer: everything that waits is ranked and sorted in each round, and every machine is looked at."""

    def __init__(self, yard: Yard) -> None:
        self._hosts, self._accounts, self._jobs = (
            dict(yard.hosts),
            dict(yard.accounts),
            dict(yard.jobs),
        )

    def join(self, job: Job) -> None:
        """Let a workflow wait."""
        self._jobs[job.key] = job

    def host(self, host: Host) -> None:
        """Take in a machine."""
        self._hosts[host.name] = host

    @property
    def hosts(self) -> Mapping[str, Host]:
        """Return the machines."""
        return self._hosts

    @property
    def accounts(self) -> Mapping[str, Account]:
        """Return the projects."""
        return self._accounts

    def ended(self, project: str, key: str, now_s: float) -> None:
        """Give back what a run held."""
        account = self._accounts[project]
        run = next(run for run in account.runs if run.key == key)
        self._accounts[project] = account.ended(key, now_s)
        self._hosts[run.host] = _with(self._hosts[run.host], run.memory_bytes, -1)

    def decide(self, now_s: float, most: int = 16) -> list[Start]:
        """Return what starts now."""
        found: list[Start] = []
        while len(found) < most:
            start = self._one(now_s)
            if start is None:
                return found
            found.append(start)
        return found

    def _one(self, now_s: float) -> Start | None:
        if not any(host.slots > 0 and host.shut is Gate.NONE for host in self._hosts.values()):
            return None
        oldest: dict[str, float] = {}
        for job in self._jobs.values():
            oldest[job.project] = min(job.queued_s, oldest.get(job.project, job.queued_s))
        ranks = {
            project: rank(self._accounts[project], CAPACITY, queued_s, now_s)
            for project, queued_s in oldest.items()
        }
        order = sorted(
            self._jobs.values(), key=lambda job: (ranks[job.project], job.queued_s, job.key)
        )
        for job in order:
            if over_quota(self._accounts[job.project], job.needs) is None:
                host = best(self._hosts.values(), job.needs, job.near, job.lasts_s)
                if host is not None:
                    return self._begin(job, host, now_s)
        return None

    def _begin(self, job: Job, host: Host, now_s: float) -> Start:
        del self._jobs[job.key]
        run = Run.of(job.key, host.name, taken(job.needs, host), now_s, job.lasts_s)
        self._accounts[job.project] = self._accounts[job.project].started(run, now_s)
        self._hosts[host.name] = _with(host, job.needs.memory_bytes, 1)
        return Start(job.key, job.project, host.name)


def _with(host: Host, memory_bytes: int, more: int) -> Host:
    free = None if host.memory_free is None else host.memory_free - more * memory_bytes
    return replace(host, slots=host.slots - more, memory_free=free)


class Rounds:
    """One side of the comparison: what starts also ends, in the order of its usual length."""

    def __init__(self, side: Line | Sorting, jobs: dict[str, Job], now_s: float) -> None:
        self.side, self.now_s, self._jobs = side, now_s, jobs
        self._ends: list[tuple[float, str, str]] = []

    def fill(self) -> float:
        """Fill every slot; return the seconds that took."""
        began = time.process_time()
        starts = self.side.decide(self.now_s, NODES * SLOTS)
        took_s = time.process_time() - began
        self._note(starts)
        return took_s

    def round(self, job: Job, level: int) -> tuple[float, list[Start]]:
        """Do what happens live, and return the seconds of the decision with all that it has to take in."""
        end_s, project, key = heapq.heappop(self._ends)
        self.now_s = max(self.now_s, end_s)
        host = self.side.hosts[f"node-{int(job.key[1:]) % NODES:03}"]
        began = time.process_time()
        self.side.ended(project, key, self.now_s)
        self.side.join(job)
        self.side.host(replace(self.side.hosts[host.name], level=level))
        starts = self.side.decide(self.now_s)
        took_s = time.process_time() - began
        self._note(starts)
        return took_s, starts

    def _note(self, starts: list[Start]) -> None:
        for start in starts:
            lasts_s = self._jobs[start.key].lasts_s or 600.0
            heapq.heappush(self._ends, (self.now_s + lasts_s, start.project, start.key))


def decisions(rounds: int) -> list[Figure]:
    """Return the time of a round on the standing line, against sorting everything, and of what is rare."""
    yard = Yard.full()
    ours, theirs = Rounds(yard.line(), yard.jobs, NOW), Rounds(Sorting(yard), yard.jobs, NOW)
    filled = [ours.fill()], [theirs.fill()]
    gc.freeze()
    mine: list[float] = []
    peers: list[float] = []
    for number in range(rounds):
        job = yard.comes(WAITING * 2 + number, max(ours.now_s, theirs.now_s))
        level = yard.rng.choice((0, 0, 0, 1))
        took_s, starts = ours.round(job, level)
        took_by_sorting_s, same = theirs.round(job, level)
        assert starts == same, (starts, same)
        mine.append(took_s * 1e3)
        peers.append(took_by_sorting_s * 1e3)
    mine.sort()
    peers.sort()
    at = round(rounds * 0.99) - 1
    sorting = "sort everything each round"
    return [
        compare("scheduler", "decision p50", "ms", mine, sorting, peers),
        compare("scheduler", "decision p99", "ms", [mine[at]], sorting, [peers[at]]),
        compare("scheduler", "400 starts at once", "s", filled[0], sorting, filled[1]),
    ]


def records() -> Figure:
    """Return the time of the whole record of everything that waits, from the documents, per workflow that waits."""
    at = datetime.fromtimestamp(NOW, tz=UTC)
    queues = {f"p{i:02}": _queue(f"p{i:02}", at) for i in range(PROJECTS)}
    reading = Reading(0, memory_total=32 * GIB, memory_available=30 * GIB, accelerators=("mlx",))
    nodes = {f"n{i:03}": Node(0, at, timedelta(seconds=10), reading=reading) for i in range(NODES)}
    all_of_them, one = [], []
    for _ in range(5):
        began = time.process_time()
        found = admission.rulings(World(queues, nodes, SLOTS), at)
        all_of_them.append((time.process_time() - began) * 1e3)
        assert len(found) == WAITING
        few = {"p00": queues["p00"]}
        began = time.process_time()
        admission.rulings(World(few, {"n000": nodes["n000"]}, SLOTS), at)
        one.append((time.process_time() - began) * 1e3)
    peer = "one project, one machine, 100 waiting"
    return compare("scheduler", "record of all 10 000, rebuilt", "ms", all_of_them, peer, one)


def _queue(name: str, at: datetime) -> Queue:
    entries = tuple(
        Entry(
            key=f"{name}-{i}",
            kind="train",
            model=f"m{i}",
            why="",
            trigger_id=f"{name}-{i}",
            trigger_type="cmd.workflow.start",
            queued_id=f"{name}-{i}",
            story_id="",
            queued_at=at - timedelta(seconds=i),
            state=State.WAITING,
            told=State.WAITING,
        )
        for i in range(WAITING // PROJECTS)
    )
    return Queue(
        name, Policy(can_train=True, max_parallel=2, needs=Needs(memory_bytes=GIB)), entries=entries
    )


def fairness(seed: int) -> tuple[float, float]:
    """Return the error of a day's trace: the part of all that was given which should have been somebody else's.

    Ours first, then first come, first served. Ten projects of weights 1 to 10 ask for 30 % more than there is; those
    of low weight ask most. The ideal is weighted max-min: nobody gets more than it asked for.
    """
    weights = {f"p{i}": float(i + 1) for i in range(10)}
    jobs = _trace(random.Random(seed), weights)  # noqa: S311 - a trace, not a secret
    asked = dict.fromkeys(weights, 0.0)
    for job in jobs:
        asked[job.project] += job.lasts_s or 0.0
    found = []
    for fair in (True, False):
        got = _day(jobs, weights, fair=fair)
        ideal = _water(asked, weights, sum(got.values()))
        found.append(sum(abs(got[p] - ideal[p]) for p in weights) / 2 / sum(got.values()))
    return found[0], found[1]


def _trace(rng: random.Random, weights: Mapping[str, float]) -> list[Job]:
    found: list[Job] = []
    for name, weight in weights.items():
        part = 1.3 * DAY_SLOTS * DAY_S * (1 / weight) / sum(1 / w for w in weights.values())
        asked = at_s = 0.0
        mean_s = 900.0
        while asked < part:
            lasts_s = min(3600.0, max(60.0, rng.expovariate(1 / mean_s)))
            at_s = rng.uniform(0, DAY_S)
            asked += lasts_s
            found.append(
                Job(f"{name}-{len(found)}", name, Needs(), NOW + at_s, lasts_s, 6 * 3600.0)
            )
    return sorted(found, key=lambda job: job.queued_s)


def _day(jobs: list[Job], weights: Mapping[str, float], *, fair: bool) -> dict[str, float]:
    """Return the seconds that each project got within the day, by the line or in the order of arrival."""
    by_key = {job.key: job for job in jobs}
    weigh = weights if fair else dict.fromkeys(weights, 1.0)
    line = Line(Capacity(runs=DAY_SLOTS), {"n": Host("n", DAY_SLOTS, DAY_SLOTS)})
    for name, weight in weigh.items():
        line.account(Account(name if fair else _ALL, weight, quota=Quota(DAY_SLOTS)))
    got, ends = dict.fromkeys(weights, 0.0), list[tuple[float, str, str]]()
    arrivals = [(job.queued_s, "", job.key) for job in jobs]
    for now_s, project, key in _merged(arrivals, ends):
        if project:
            line.ended(project, key, now_s)
        else:
            job = by_key[key]
            line.join(job if fair else replace(job, project=_ALL))
        for start in line.decide(now_s):
            lasts_s = by_key[start.key].lasts_s or 0.0
            heapq.heappush(ends, (now_s + lasts_s, start.project, start.key))
            got[by_key[start.key].project] += min(lasts_s, NOW + DAY_S - now_s)
    return got


def _merged(
    arrivals: list[tuple[float, str, str]], ends: list[tuple[float, str, str]]
) -> Iterator[tuple[float, str, str]]:
    waiting = deque(arrivals)
    while waiting or ends:
        first = ends and (not waiting or ends[0][0] <= waiting[0][0])
        found = heapq.heappop(ends) if first else waiting.popleft()
        if found[0] >= NOW + DAY_S:
            return
        yield found


def _water(
    asked: Mapping[str, float], weights: Mapping[str, float], given: float
) -> dict[str, float]:
    found: dict[str, float] = {}
    left, thirsty = given, dict(asked)
    while thirsty:
        level = left / sum(weights[p] for p in thirsty)
        full = [p for p in thirsty if thirsty[p] <= level * weights[p]]
        if not full:
            return found | {p: level * weights[p] for p in thirsty}
        for project in full:
            found[project] = thirsty.pop(project)
            left -= found[project]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=300)
    rounds = parser.parse_args().rounds
    figures = [*decisions(rounds), records()]
    days = [fairness(seed) for seed in range(10)]
    ours, theirs = [day[0] * 100 for day in days], [day[1] * 100 for day in days]
    figures.append(
        compare(
            "scheduler", "fairness error of a day", "%", ours, "first come, first served", theirs
        )
    )
    write("scheduler", figures)


if __name__ == "__main__":
    main()
