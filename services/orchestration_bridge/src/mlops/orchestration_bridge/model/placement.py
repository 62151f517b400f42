# SPDX-License-Identifier: Apache-2.0
"""Placement: which machine takes a workflow, and for each of the others what keeps it out.

A machine must be open (known, cool enough, a slot free), have the accelerator, and hold a fifth more memory than the
workflow says it needs. Among those: the better accelerator, the cooler level, the one that stays cool for the time the
work takes, the one that has the data already, the least loaded; the name decides between equals.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from mlops.orchestration_bridge.model import heat

MEMORY_MARGIN = 1.2
GIB = 2**30
# What stands for a machine that nobody knows: work runs where the orchestrator puts it.
ANYWHERE = ""
# Best first, where a workflow takes any.
ACCELERATORS = ("mlx", "cuda", "mps")
_COOL_STEP_S = 60.0


class Gate(StrEnum):
    """What holds a workflow back, in one word."""

    NONE = "none"
    APPROVAL = "approval"
    HEAT = "heat"
    UNKNOWN_NODE = "unknown_node"
    ORCHESTRATOR = "orchestrator"
    PARALLEL = "parallel"
    QUOTA = "quota"
    MEMORY = "memory"
    ACCELERATOR = "accelerator"
    SLOTS = "slots"
    SHARE = "share"
    RESERVED = "reserved"


@dataclass(frozen=True)
class Needs:
    """What one workflow takes of a machine while it runs, and of how many machines at once.

    `bears_heat` when a throttled machine will do, too: it has waited for a cooler one for long enough.
    """

    cpu: float = 1.0
    memory_bytes: int = 0
    accelerator: str = "any"
    latency_critical: bool = False
    nodes: int = 1
    bears_heat: bool = False

    @property
    def with_margin(self) -> int:
        """Return the memory that must be free before it starts."""
        return int(self.memory_bytes * MEMORY_MARGIN)


@dataclass(frozen=True)
class Host:
    """A machine as the scheduler sees it at one moment.

    `shut` is why it takes no new work at all, `accelerators` None when it does not say what it has, `memory_free` what
    new work may take (None: not known). `slots` of `of` are free. It is `slowed` when it is shut for a heat that work can
    bear: throttled and not worse, by its own word of now.
    """

    name: str
    slots: int
    of: int
    level: int | None = None
    shut: Gate = Gate.NONE
    why_shut: str = ""
    memory_total: int | None = None
    memory_free: int | None = None
    accelerators: tuple[str, ...] | None = None
    throttle_s: float | None = None
    cool_s: float | None = None
    quiet: bool = False
    slowed: bool = False

    @property
    def load(self) -> float:
        """Return which part of its slots is taken."""
        return 1.0 if self.of <= 0 else 1.0 - self.slots / self.of


@dataclass(frozen=True)
class Obstacle:
    """What keeps a workflow off one machine."""

    host: str
    gate: Gate
    reason: str


def obstacle(host: Host, needs: Needs) -> Obstacle | None:
    """Return what keeps the work off the machine, None when it may start there now."""
    bears = needs.bears_heat and host.slowed
    if host.shut is not Gate.NONE and not bears:
        return Obstacle(host.name, host.shut, host.why_shut)
    if not bears and not heat.admits(host.level, latency_critical=needs.latency_critical):
        why = f"{host.name} is at heat level {host.level}"
        return Obstacle(host.name, Gate.HEAT, f"{why}: too warm for latency-critical work")
    if not has(host.accelerators, needs.accelerator):
        lacks = "does not say whether it has" if host.accelerators is None else "has no"
        return Obstacle(host.name, Gate.ACCELERATOR, f"{host.name} {lacks} {needs.accelerator}")
    if host.memory_free is not None and host.memory_free < needs.with_margin:
        return Obstacle(host.name, Gate.MEMORY, _too_full(host, needs))
    if host.slots <= 0:
        name = host.name or "the machine"
        reason = f"{name} runs {host.of - host.slots} of at most {host.of} at once"
        return Obstacle(host.name, Gate.SLOTS, reason)
    return None


def best(
    hosts: Iterable[Host], needs: Needs, near: Collection[str] = (), lasts_s: float | None = None
) -> Host | None:
    """Return the machine to start on, None when none is fit.

    *near* are machines that have its data already, *lasts_s* how long it usually takes.
    """
    found, least = None, None
    for host in hosts:
        if obstacle(host, needs) is None:
            rank = _rank(host, needs, near, lasts_s)
            if least is None or rank < least:
                found, least = host, rank
    return found


def has(accelerators: tuple[str, ...] | None, wanted: str) -> bool:
    """Return whether a machine with these has what is wanted; a machine that does not say has only a processor."""
    return wanted in ("any", "none", "unknown", "") or wanted in (accelerators or ())


def taken(needs: Needs, host: Host) -> Needs:
    """Return what the work takes once it is there: of any accelerator, the best that the machine has."""
    needs = replace(needs, bears_heat=False) if needs.bears_heat else needs
    if needs.accelerator != "any":
        return needs
    there = host.accelerators or ()
    return replace(needs, accelerator=next((a for a in ACCELERATORS if a in there), "none"))


def planned(
    hosts: Iterable[Host], needs: Needs, near: Collection[str] = (), lasts_s: float | None = None
) -> str | None:
    """Return the machine that would take the work if nothing else ran there, None when all are hot or unfit."""
    free = (
        replace(host, slots=max(1, host.slots), memory_free=host.memory_total) for host in hosts
    )
    found = best(free, needs, near, lasts_s)
    return None if found is None else found.name


def _rank(
    host: Host, needs: Needs, near: Collection[str], lasts_s: float | None
) -> tuple[int, int, float, bool, float, str]:
    return (
        _fitness(host.accelerators, needs.accelerator),
        host.level or 0,
        -_cool_enough(host, lasts_s),
        host.name not in near,
        host.load,
        host.name,
    )


def _fitness(accelerators: tuple[str, ...] | None, wanted: str) -> int:
    if wanted != "any":
        return 0
    there = accelerators or ()
    return next(
        (place for place, name in enumerate(ACCELERATORS) if name in there), len(ACCELERATORS)
    )


def _cool_enough(host: Host, lasts_s: float | None) -> float:
    # In steps, and no more than the work needs: else seconds of forecast would outweigh where its data are.
    if host.throttle_s is None:
        return 0.0 if lasts_s is None else lasts_s // _COOL_STEP_S
    return min(host.throttle_s, lasts_s if lasts_s is not None else host.throttle_s) // _COOL_STEP_S


def _too_full(host: Host, needs: Needs) -> str:
    free, need = (host.memory_free or 0) / GIB, needs.with_margin / GIB
    name = host.name or "the machine"
    return f"{name} has {max(0.0, free):.1f} GiB of memory free, {need:.1f} GiB are needed"
