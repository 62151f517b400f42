# SPDX-License-Identifier: Apache-2.0
"""Heat: what is known of each machine, and whether it holds new work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

HOLDS_FROM = 2
SILENT_INTERVALS = 3
SHORTEST_SILENCE = timedelta(seconds=30)
FORGOTTEN_AFTER = timedelta(minutes=10)
REFRESH = timedelta(seconds=10)


@dataclass(frozen=True)
class Node:
    """The last word of one machine."""

    level: int | None
    seen_at: datetime
    interval: timedelta = timedelta(0)
    reason: str = ""


@dataclass(frozen=True)
class Hold:
    """Why new work waits."""

    node: str
    level: int | None
    reason: str


def newer(known: Node | None, said: Node) -> Node:
    """Return what is now known: an older message never wins, a sample keeps the reason of an episode."""
    if known is None:
        return said
    if said.seen_at < known.seen_at:
        return known
    same = said.level == known.level
    interval = said.interval or known.interval
    reason = said.reason or (known.reason if same else "")
    return Node(said.level, said.seen_at, interval, reason)


def worth_keeping(known: Node | None, said: Node) -> bool:
    """Return whether a sample tells enough to be stored: a new level, or a sign of life after a while."""
    return known is None or said.level != known.level or said.seen_at >= known.seen_at + REFRESH


def hold(nodes: Mapping[str, Node], now: datetime) -> Hold | None:
    """Return why new work waits, or None: the hottest machine decides, a silent one counts as hot.

    A machine that never spoke, or that nobody has heard for long, holds nothing.
    """
    for name, node in sorted(nodes.items(), key=lambda item: (-(item[1].level or 0), item[0])):
        silence = now - node.seen_at
        if silence > FORGOTTEN_AFTER:
            continue
        if (node.level or 0) >= HOLDS_FROM:
            why = f": {node.reason}" if node.reason else ""
            return Hold(name, node.level, f"{name} is at heat level {node.level}{why}")
        if silence > _patience(node):
            said = f"{name} has said nothing for {silence.total_seconds():.0f} s"
            return Hold(name, None, f"{said}, its heat is unknown")
    return None


def coolest(nodes: Mapping[str, Node], now: datetime) -> tuple[str, int | None] | None:
    """Return the machine that new work is thought to run on, and its level."""
    alive = {name: node for name, node in nodes.items() if now - node.seen_at <= _patience(node)}
    if not alive:
        return None
    name = min(alive, key=lambda found: (alive[found].level or 0, found))
    return name, alive[name].level


def _patience(node: Node) -> timedelta:
    return max(SILENT_INTERVALS * node.interval, SHORTEST_SILENCE)
