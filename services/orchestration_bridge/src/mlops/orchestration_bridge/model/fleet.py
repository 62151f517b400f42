# SPDX-License-Identifier: Apache-2.0
"""Fleet: the machines as they stand at one moment, with what runs on them and what is kept for serving taken off."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from mlops.orchestration_bridge.model import heat, nodes, workers
from mlops.orchestration_bridge.model.forecast import LONGEST_S, forecast
from mlops.orchestration_bridge.model.nodes import Node
from mlops.orchestration_bridge.model.placement import ANYWHERE, GIB, Gate, Host, Needs
from mlops.orchestration_bridge.model.usage import Capacity
from mlops.orchestration_bridge.model.workers import Worker

# How long a new workflow may take to hold the memory it asked for; until then a sample does not show it.
SETTLING = timedelta(seconds=60)


@dataclass(frozen=True)
class Load:
    """One workflow that is under way. `host` is empty where nobody knows the machine: then it counts on each."""

    host: str
    needs: Needs
    since: datetime


@dataclass(frozen=True)
class Fleet:
    """Which machines take work, how many workflows each, and how much memory serving is promised on each.

    `workers` are the machines that run steps beside the orchestrator's own, which is `local`. Unless `several` may, the
    orchestrator runs everything on its own machine, whichever it is.
    """

    nodes: Mapping[str, Node]
    slots_each: int
    named: tuple[str, ...] = ()
    serving_bytes: int = 0
    workers: Mapping[str, Worker] = field(default_factory=dict)
    local: str = ""
    several: bool = False
    pace: timedelta = heat.GROW_EVERY

    def names(self, now: datetime) -> tuple[str, ...]:
        """Return the machines that take work: those that were named, else all that were heard of lately."""
        if self.named:
            return self.named
        heard = {n for n, node in self.nodes.items() if not nodes.forgotten(node, now)}
        work = {n for n, one in self.workers.items() if one.alive}
        return tuple(sorted(heard | work)) or (ANYWHERE,)

    def hosts(self, loads: Iterable[Load], now: datetime) -> dict[str, Host]:
        """Return each machine as the scheduler sees it now."""
        under_way = tuple(loads)
        names = self.names(now)
        found = {}
        for name in names:
            here = [load for load in under_way if load.host in ("", name) or load.host not in names]
            found[name] = self._host(name, here, now)
        return found

    def host(self, name: str, now: datetime) -> Host:
        """Return a machine as the scheduler sees it now, with nothing running on it."""
        return self._host(name, (), now)

    def slots(self, name: str, now: datetime) -> int:
        """Return how many workflows a machine may run at once, hot or not; a worker may have fewer than others."""
        node, worker = self.nodes.get(name), self.workers.get(name)
        most = min(self.slots_each, worker.slots or self.slots_each) if worker else self.slots_each
        if node is None:
            return most
        return heat.controlled(node.slots, node.level, most, now, name, self.pace).now or most

    def too_hot(self, name: str, now: datetime) -> str:
        """Return why a machine takes no new work, heat or silence; empty when it does, or was never heard of."""
        node = self.nodes.get(name)
        return self._shut(name, node, now)[1] if node else ""

    def _host(self, name: str, here: Sequence[Load], now: datetime) -> Host:
        node, of = self.nodes.get(name), self.slots(name, now)
        free = max(0, of - len(here))
        if node is None:
            if not self.named and name not in self.workers:
                return Host(name, free, of)
            why = f"{name} has never said anything"
            return Host(name, free, of, shut=Gate.UNKNOWN_NODE, why_shut=why)
        shut, why = self._shut(name, node, now)
        said = node.reading
        expected = forecast(node.fit, now.timestamp())
        return Host(
            name=name,
            slots=free,
            of=of,
            level=node.level,
            shut=shut,
            why_shut=why,
            memory_total=None
            if said.memory_total is None
            else said.memory_total - self.serving_bytes,
            memory_free=self._free(node, here),
            accelerators=said.accelerators,
            throttle_s=LONGEST_S if expected.never else expected.throttle_s,
            cool_s=expected.cool_s,
            quiet=shut is Gate.UNKNOWN_NODE,
            slowed=shut is Gate.HEAT and self._is_merely_slowed(name, node, now),
        )

    def _is_merely_slowed(self, name: str, node: Node, now: datetime) -> bool:
        speaks = not nodes.unknown(name, node, now)
        return node.level == heat.SHRINKS and speaks and self._staffed(name)[0] is Gate.NONE

    def _shut(self, name: str, node: Node, now: datetime) -> tuple[Gate, str]:
        shut, why = _shut(name, node, now)
        return (shut, why) if shut is not Gate.NONE else self._staffed(name)

    def _staffed(self, name: str) -> tuple[Gate, str]:
        """Return why nothing runs steps on a machine, whatever its heat."""
        if not self.several or name == self.local:
            return Gate.NONE, ""
        worker = self.workers.get(name)
        if worker is None:
            return Gate.UNKNOWN_NODE, f"{name} has no worker; `mlops node start` on it makes one"
        why = workers.closed(worker)
        if not why:
            return Gate.NONE, ""
        return (Gate.HEAT if worker.ours else Gate.UNKNOWN_NODE), why

    def _free(self, node: Node, here: Sequence[Load]) -> int | None:
        """Return what new work may take: what the machine says is left, and what was promised to nobody."""
        said, since = node.reading, node.seen_at - SETTLING
        free = []
        if said.memory_total is not None:
            promised = sum(load.needs.memory_bytes for load in here)
            free.append(said.memory_total - promised)
        if said.memory_available is not None:
            unseen = sum(load.needs.memory_bytes for load in here if load.since > since)
            free.append(said.memory_available - unseen)
        if said.memory_pressure == "critical":
            free.append(self.serving_bytes)
        return max(0, min(free) - self.serving_bytes) if free else None


def capacity(fleet: Fleet, now: datetime) -> Capacity:
    """Return what all machines that take work have together; None where not one of them says."""
    names = fleet.names(now)
    known = [fleet.nodes[name] for name in names if name in fleet.nodes]
    memory = [n.reading.memory_total / GIB for n in known if n.reading.memory_total]
    cores = [float(n.reading.cores) for n in known if n.reading.cores]
    gpus = [1.0 for n in known if n.reading.accelerators]
    watts = [n.peak_w for n in known if n.peak_w]
    return Capacity(
        runs=float(fleet.slots_each * len(names)),
        cpu=sum(cores) or None,
        memory=sum(memory) or None,
        gpu=sum(gpus) or None,
        energy=sum(watts) or None,
    )


def _shut(name: str, node: Node, now: datetime) -> tuple[Gate, str]:
    if nodes.forgotten(node, now):
        return Gate.UNKNOWN_NODE, f"{name} is gone: it has said nothing for more than 10 min"
    # Heat that was told counts until it is told to be over, also of a machine that then falls silent.
    if not heat.admits(node.level, latency_critical=False):
        why = f": {node.reason}" if node.reason else ""
        return Gate.HEAT, f"{name} is at heat level {node.level}{why}"
    unknown = nodes.unknown(name, node, now)
    return (Gate.UNKNOWN_NODE, unknown) if unknown else (Gate.NONE, "")
