# SPDX-License-Identifier: Apache-2.0
"""Metering: what each served version answered and computed, window by window, from counters that its replicas tell.

The counters only grow, so a lost report loses nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

EVERY = timedelta(minutes=10)
IDLE_EVERY = timedelta(hours=1)


@dataclass(frozen=True)
class Reading:
    """What a replica tells of itself, counted since its start; *node* is empty where it does not know its machine."""

    replica: str
    node: str = ""
    answered: int = 0
    busy_s: float = 0.0
    cpu_s: float = 0.0
    accelerated: bool = False


@dataclass(frozen=True)
class Window:
    """What is counted of one version since *since*; it runs since *began*.

    *replicas* holds the last counters of each, *cpu_s* by machine the processor seconds of no sample yet.
    """

    project: str
    model: str
    version: int
    deployment_id: str
    began: datetime
    since: datetime
    predictions: int = 0
    replicas: Mapping[str, Reading] = field(default_factory=dict)
    heard_at: Mapping[str, datetime] = field(default_factory=dict)
    cpu_s: Mapping[str, float] = field(default_factory=dict)


def heard(window: Window, reading: Reading, at: datetime) -> Window:
    """Return the window after a replica has told its counters."""
    last = window.replicas.get(reading.replica, Reading(reading.replica))
    spent = max(0.0, reading.cpu_s - last.cpu_s)
    return replace(
        window,
        predictions=window.predictions + max(0, reading.answered - last.answered),
        replicas={**window.replicas, reading.replica: reading},
        heard_at={**window.heard_at, reading.replica: at},
        cpu_s={**window.cpu_s, reading.node: window.cpu_s.get(reading.node, 0.0) + spent},
    )


def charged(window: Window, node: str) -> Window:
    """Return the window after the processor seconds on a machine were put into its account."""
    return replace(window, cpu_s={**window.cpu_s, node: 0.0}) if node in window.cpu_s else window


def is_due(window: Window, now: datetime, every: timedelta, idle: timedelta) -> bool:
    """Return whether a window is to end: one without predictions goes on longer."""
    return now - window.since >= (every if window.predictions else max(every, idle))


def renewed(window: Window, deployment_id: str, at: datetime) -> Window:
    """Return the next window: replicas that were heard in this one go on counting from where they are."""
    alive = {name for name, heard_at in window.heard_at.items() if heard_at >= window.since}
    return replace(
        window,
        deployment_id=deployment_id,
        since=at,
        predictions=0,
        replicas={name: one for name, one in window.replicas.items() if name in alive},
        heard_at={name: when for name, when in window.heard_at.items() if name in alive},
    )


def node_of(window: Window) -> str | None:
    """Return the machine of the version's replicas, None where they run on several, or nobody knows."""
    nodes = {one.node for one in window.replicas.values()}
    return next(iter(nodes)) or None if len(nodes) == 1 else None


def accelerates(window: Window, node: str) -> bool:
    """Return whether a replica on that machine uses its GPU."""
    return any(one.accelerated and one.node == node for one in window.replicas.values())
