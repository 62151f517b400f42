# SPDX-License-Identifier: Apache-2.0
"""Accounts: each project's rights, what it has taken, and which of its own limits holds a workflow back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from mlops.orchestration_bridge.model.placement import ACCELERATORS, GIB, Gate, Needs
from mlops.orchestration_bridge.model.usage import (
    NOTHING,
    Amount,
    Capacity,
    Usage,
    counted_s,
    dominant,
)

USUAL_S = 600.0


@dataclass(frozen=True)
class Run:
    """A workflow that is under way. `lasts_s` is how long such a one usually takes, `limit_s` the longest it can.

    `others` are its further machines, where it has several; it holds `memory_bytes` on each.
    """

    key: str
    host: str
    takes: Amount
    memory_bytes: int
    since_s: float
    lasts_s: float | None = None
    limit_s: float | None = None
    others: tuple[str, ...] = ()

    @staticmethod
    def of(
        key: str,
        host: str,
        needs: Needs,
        since_s: float,
        lasts_s: float | None,
        limit_s: float | None = None,
        others: tuple[str, ...] = (),
    ) -> Run:
        """Return the run of a workflow with these needs."""
        return Run(key, host, rate(needs), needs.memory_bytes, since_s, lasts_s, limit_s, others)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return all its machines."""
        return (self.host, *self.others)


@dataclass(frozen=True)
class Quota:
    """What a project may take; None is no limit. GPU time and energy are of any 24 hours."""

    parallel: int = 1
    memory_bytes: int | None = None
    gpu_s: float | None = None
    energy_j: float | None = None


@dataclass(frozen=True)
class Account:
    """A project: its rights, and what it has taken. `gpu_s` and `energy_j` are those of the last 24 hours."""

    project: str
    weight: float = 1.0
    priority: str = "normal"
    quota: Quota = field(default_factory=Quota)
    usage: Usage = field(default_factory=Usage)
    runs: tuple[Run, ...] = ()
    gpu_s: float = 0.0
    energy_j: float = 0.0
    served_s: float = float("-inf")

    def started(self, run: Run, now_s: float) -> Account:
        """Return the account with one more run."""
        return replace(self, runs=(*self.runs, run), served_s=now_s)

    def ended(self, key: str, now_s: float) -> Account:
        """Return the account charged for what a run took, whether it was known or not."""
        usage = self.usage
        for run in self.runs:
            if run.key == key:
                usage = usage.took(run.takes, run.since_s, now_s)
        return replace(self, usage=usage, runs=tuple(run for run in self.runs if run.key != key))

    def charged(self, needs: Needs, lasts_s: float | None, now_s: float) -> Account:
        """Return the account as if such a workflow had been served and paid for in advance."""
        usage = self.usage.at(now_s)
        paid = usage.amount.plus(rate(needs), USUAL_S if lasts_s is None else lasts_s)
        return replace(self, usage=Usage(paid, now_s), served_s=now_s)


def rate(needs: Needs) -> Amount:
    """Return what a workflow takes while it runs, on all its machines; its energy is counted once it is known."""
    gpu = 1.0 if needs.accelerator in ACCELERATORS else 0.0
    one = Amount(1.0, needs.cpu, needs.memory_bytes / GIB, gpu)
    return one if needs.nodes == 1 else NOTHING.plus(one, needs.nodes)


def share(account: Account, capacity: Capacity, now_s: float) -> float:
    """Return the project's dominant share of everything since ever, 0 to about 1; what runs counts to its usual end."""
    used = account.usage.at(now_s).amount
    runs, cpu, memory, gpu, energy = used.runs, used.cpu, used.memory, used.gpu, used.energy
    for run in account.runs:  # plain sums: this is done for every project in every decision
        gone_s = max(0.0, now_s - run.since_s)
        left_s = max(0.0, (USUAL_S if run.lasts_s is None else run.lasts_s) - gone_s)
        seconds, takes = counted_s(0.0, gone_s, gone_s) + left_s, run.takes
        runs += takes.runs * seconds
        cpu += takes.cpu * seconds
        memory += takes.memory * seconds
        gpu += takes.gpu * seconds
        energy += takes.energy * seconds
    return dominant(Amount(runs, cpu, memory, gpu, energy), capacity)


def over_quota(account: Account, needs: Needs) -> tuple[Gate, str] | None:
    """Return which of the project's own limits keeps a workflow from starting now, and its figures."""
    quota, running = account.quota, len(account.runs)
    if running >= quota.parallel:
        return Gate.PARALLEL, f"the project runs {running} of at most {quota.parallel} at once"
    held = sum(run.memory_bytes * len(run.hosts) for run in account.runs)
    more = needs.memory_bytes * needs.nodes
    if quota.memory_bytes is not None and held + more > quota.memory_bytes:
        took = f"{held / GIB:g} GiB of at most {quota.memory_bytes / GIB:g} GiB"
        return Gate.QUOTA, f"the project holds {took} of memory ([share].memory_gb)"
    if quota.gpu_s is not None and rate(needs).gpu > 0 and account.gpu_s >= quota.gpu_s:
        took = f"{account.gpu_s / 3600:.2g} of {quota.gpu_s / 3600:g} GPU hours"
        return Gate.QUOTA, f"the project has used {took} of 24 hours ([share].gpu_hours_per_day)"
    if quota.energy_j is not None and account.energy_j >= quota.energy_j:
        took = f"{account.energy_j / 3600:.3g} of {quota.energy_j / 3600:g} Wh"
        return Gate.QUOTA, f"the project has used {took} of 24 hours ([share].energy_wh_per_day)"
    return None
