# SPDX-License-Identifier: Apache-2.0
"""What the agent needs: probes that read, a memory that survives it, and a way out that may be closed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

from mlops.telemetry_agent.model.episodes import Edge, Watch
from mlops.telemetry_agent.model.reading import Partial


class TelemetryProbe(Protocol):
    """One way to look at the hardware.

    `read` never raises for what this machine cannot tell: the field is in `missing` with the reason
    (unsupported, denied, failed, stale), and never 0. It names no serial numbers, users or processes.
    """

    name: str

    def read(self, at_s: float) -> Partial:
        """Look once; *at_s* is a monotonic time in seconds, for what is measured between two looks."""

    def close(self) -> None:
        """Let go of what was opened."""


@runtime_checkable
class Askable(Protocol):
    """A probe that can begin to look before it is read."""

    def ask(self, at_s: float) -> None:
        """Begin to look, without waiting; `read` at the same time then returns what was seen."""


@dataclass(frozen=True)
class Kept:
    """What survives a restart: the open episode, and edges that may not have been told."""

    watch: Watch = field(default_factory=Watch)
    untold: tuple[Edge, ...] = ()


class Memory(Protocol):
    """The agent's own small state."""

    def load(self) -> Kept:
        """Return what was kept; the empty state when there is none or it cannot be read."""

    def save(self, kept: Kept) -> None:
        """Keep it, on disk when this returns; a crash leaves the old or the new state, never half of one."""


class Line(Protocol):
    """The way to the bus."""

    async def is_open(self) -> bool:
        """Return whether a message would reach the bus now, with nothing waiting before it."""


class Backlog(Protocol):
    """Samples that could not be told: one a minute, of the last hours only."""

    def put(self, at: datetime, payload: bytes) -> None:
        """Keep a sample in place of the one of the same minute; what is too old or too much is dropped and counted.

        A disk that refuses loses the sample, which is logged; it never raises.
        """

    def take(self, most: int) -> Sequence[tuple[int, bytes]]:
        """Return the oldest samples with their numbers."""

    def forget(self, numbers: Sequence[int]) -> None:
        """Remove samples that were told."""

    def __len__(self) -> int:
        """Return how many wait."""


class Costs(Protocol):
    """What the agent takes of the machine."""

    def cpu_s(self) -> float:
        """Return the processor time of the agent and its children so far, in seconds."""

    def rss_bytes(self) -> int | None:
        """Return the memory it holds."""
