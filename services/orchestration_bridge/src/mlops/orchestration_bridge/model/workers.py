# SPDX-License-Identifier: Apache-2.0
"""Workers: the machines that run steps for the orchestrator beside its own, and which of them heat drains.

A worker is drained by putting it into maintenance: what runs goes on, nothing new begins. Only heat that drains (level 3)
does so, and only a maintenance with our mark in its comment is ever ended by us: a person's stays until a person ends it.
The comment stands at the orchestrator, so a bridge that starts anew knows which are its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mlops.orchestration_bridge.model import heat
from mlops.orchestration_bridge.model.nodes import Node

MARK = "[heat]"
_LONGEST = 400


class Work(StrEnum):
    """What a worker does, in one word; one that returns from maintenance takes work from its next heartbeat on."""

    READY = "ready"
    RETURNING = "returning"
    DRAINING = "draining"
    DRAINED = "drained"
    STOPPING = "stopping"
    STOPPED = "stopped"
    GONE = "gone"


@dataclass(frozen=True)
class Worker:
    """A machine that runs steps; named like its telemetry agent. `why` is the comment of its maintenance."""

    name: str
    work: Work
    jobs: int = 0
    slots: int | None = None
    why: str = ""
    seen_at: datetime | None = None

    @property
    def alive(self) -> bool:
        """Return whether it is heard of, taking work or not."""
        return self.work not in (Work.STOPPED, Work.GONE)

    @property
    def takes_work(self) -> bool:
        """Return whether what is put into its queue is done."""
        return self.work in (Work.READY, Work.RETURNING)

    @property
    def in_maintenance(self) -> bool:
        """Return whether it takes no new work because somebody, or heat, wants it so."""
        return self.work in (Work.DRAINING, Work.DRAINED)

    @property
    def ours(self) -> bool:
        """Return whether its maintenance is the heat's, not a person's."""
        return self.in_maintenance and self.why.startswith(MARK)


class Step(StrEnum):
    """What to do with a worker."""

    NOTHING = "nothing"
    DRAIN = "drain"
    UNDRAIN = "undrain"


def step(
    worker: Worker, node: Node | None, now: datetime, pace: timedelta = heat.GROW_EVERY
) -> Step:
    """Return what heat asks of a worker now; asking again once it is done asks for nothing.

    One that returns is not drained before it is back: until then it repeats the comment of the maintenance that ended,
    and a person's would hide ours.
    """
    if node is None:
        return Step.NOTHING
    if (node.level or 0) >= heat.DRAINS:
        return Step.DRAIN if worker.work is Work.READY else Step.NOTHING
    if worker.ours and heat.rested(node.slots, node.level, now, worker.name, pace):
        return Step.UNDRAIN
    return Step.NOTHING


def comment(name: str, node: Node) -> str:
    """Return why a machine is drained, with the mark by which its end is known to be ours."""
    why = f": {node.reason}" if node.reason else ""
    return f"{MARK} {name} is at heat level {node.level}{why}"[:_LONGEST]


def closed(worker: Worker) -> str:
    """Return why a worker takes no new work, empty when it does."""
    if worker.takes_work:
        return ""
    if worker.in_maintenance:
        told = worker.why.removeprefix(MARK).strip()
        return f"{worker.name} is drained{f': {told}' if told else ''}"
    if worker.work in (Work.STOPPING, Work.STOPPED):
        return f"the worker of {worker.name} is {worker.work.value}"
    since = f" since {worker.seen_at:%H:%M:%S} UTC" if worker.seen_at else ""
    return f"the worker of {worker.name} has not been heard{since}; nobody knows whether it works"
