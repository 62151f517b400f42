# SPDX-License-Identifier: Apache-2.0
"""What the agent needs: probes that read, and a memory that survives it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

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
