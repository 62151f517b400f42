# SPDX-License-Identifier: Apache-2.0
"""Attempts: the starts of one workflow, what its work was asked while it ran, and how each start but the last parted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mlops.orchestration_bridge.model.placement import Needs


class Ask(StrEnum):
    """What running work is asked to do, the mildest first: save and go on, save and leave, or end at once."""

    SAVE = "save"
    LEAVE = "leave"
    STOP = "stop"

    @property
    def force(self) -> int:
        """Return its place among the asks; a milder one is never made after a stronger one of the same heat."""
        return list(Ask).index(self)


class Parting(StrEnum):
    """How an attempt parted from its machine, to be started again."""

    LEFT = "left"
    EVICTED = "evicted"
    LOST = "lost"


@dataclass(frozen=True)
class Asked:
    """A request to running work; `number` counts over all attempts, `to` is the machine it was meant for next."""

    ask: Ask
    number: int
    reason: str
    at: datetime
    node: str = ""
    episode: str = ""
    to: str = ""


@dataclass(frozen=True)
class Forced:
    """Why the orchestrator is told to end an attempt: it did not end by itself, or nobody can tell whether it runs."""

    parting: Parting
    reason: str
    at: datetime


@dataclass(frozen=True)
class Parted:
    """The end of an attempt whose workflow goes on; `saved` when its checkpoint is kept, `to` where it is meant for."""

    parting: Parting
    at: datetime
    reason: str
    saved: bool = False
    to: str = ""


@dataclass(frozen=True)
class Stint:
    """One attempt that has parted: where and when it ran, what it took, and the last that it was asked."""

    node: str
    started_at: datetime
    ended_at: datetime
    parting: Parting
    saved: bool = False
    needs: Needs | None = None
    asked: Ask | None = None


def latest(asked: tuple[Asked, ...], request: Asked) -> tuple[Asked, ...]:
    """Return the requests of an attempt with one more: of each kind only the newest is kept, the newest of all last."""
    return (*(one for one in asked if one.ask is not request.ask), request)


@dataclass(frozen=True)
class Stretch:
    """A time in which a workflow ran, and what it took meanwhile."""

    since: datetime
    until: datetime
    needs: Needs

    @property
    def length_s(self) -> float:
        """Return how long it was, in seconds; one that ends before it begins was none."""
        return max(0.0, (self.until - self.since).total_seconds())

    def within_s(self, since: datetime) -> float:
        """Return how much of it lies after *since*, in seconds."""
        return max(0.0, (self.until - max(self.since, since)).total_seconds())
