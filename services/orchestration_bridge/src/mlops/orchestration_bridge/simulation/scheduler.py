# SPDX-License-Identifier: Apache-2.0
"""What decides: it hears what comes, ends and is told of machines, and says what starts where and what should leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

from mlops.orchestration_bridge.model.nodes import Reading
from mlops.orchestration_bridge.simulation.trace import Job

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
SLOTS = 2
SAVES_WITHIN = timedelta(seconds=60)


@dataclass(frozen=True)
class Told:
    """What a machine's agent says: a sample with a reading, or an edge with a level and the id of its episode."""

    machine: str
    at: datetime
    reading: Reading | None = None
    level: int = 0
    reason: str = ""
    episode: str = ""


@dataclass(frozen=True)
class Decision:
    """What is to be done now: jobs that start, by machine, and jobs that leave at their next checkpoint."""

    starts: Mapping[str, str] = field(default_factory=dict)
    leaves: Sequence[str] = ()


class Scheduler(Protocol):
    """One way to decide. It keeps its own books; nothing but these words tells it of the world."""

    name: str

    def arrived(self, job: Job, now: datetime) -> None:
        """Take in a job that waits from now on."""

    def told(self, said: Told, now: datetime) -> None:
        """Take in what a machine said, when it arrives."""

    def ended(self, key: str, now: datetime) -> None:
        """Take in that a job is done."""

    def left(self, key: str, now: datetime) -> None:
        """Take in that a job has left its machine and waits again."""

    def decide(self, now: datetime) -> Decision:
        """Return what is to be done now; from here on it counts as done."""


def moment(at_s: float) -> datetime:
    """Return a simulated second as a time."""
    return EPOCH + timedelta(seconds=at_s)
