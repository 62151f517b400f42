# SPDX-License-Identifier: Apache-2.0
"""How often the agent looks and tells: fast while the machine works or is warm, slowly while it rests.

Who listens takes a node for silent after three times its last `window_s`. So a window never grows to more than twice
the one before, and ends at once when the machine gets to work.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from mlops.telemetry_agent.model.episodes import Rule
from mlops.telemetry_agent.model.reading import Reading

_CPU_BUSY, _GPU_BUSY = 0.25, 0.10
_GROWTH = 2.0
_IDLE_READS = 2.5


@dataclass(frozen=True)
class Pace:
    """How often the agent looks and tells, and how patient it is; `idle_every` is for a machine at rest."""

    read_every: timedelta
    sample_every: timedelta
    idle_every: timedelta | None = None
    rule: Rule = field(default_factory=Rule)


def is_idle(reading: Reading, level: int) -> bool:
    """Return whether a machine rests: cool, and known to do little. What cannot be told is not idle."""
    busy = reading.number("cpu_busy_ratio")
    gpus = [gpu.busy_ratio or 0.0 for gpu in reading.gpus]
    return (
        level == 0 and busy is not None and busy < _CPU_BUSY and max(gpus, default=0.0) < _GPU_BUSY
    )


def window_s(pace: Pace, *, idle: bool, last_s: float | None, factor: int) -> float:
    """Return how long the window that is open may last; *last_s* is the length of the one before, None at the start."""
    usual = pace.sample_every.total_seconds()
    busy = usual * factor
    rest = pace.idle_every.total_seconds() if pace.idle_every is not None else busy
    wanted = max(busy, rest) if idle else busy
    return usual if last_s is None else min(wanted, max(last_s, usual) * _GROWTH)


def read_s(pace: Pace, *, idle: bool, last_s: float | None, factor: int) -> float:
    """Return the pause between two readings; at most half a window, or the window would end too late."""
    often = pace.read_every.total_seconds() * factor
    wanted = often * _IDLE_READS if idle and pace.idle_every is not None else often
    usual = pace.sample_every.total_seconds()
    return min(wanted, max(usual, last_s or 0.0, 2 * pace.read_every.total_seconds()) / 2)
