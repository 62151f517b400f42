# SPDX-License-Identifier: Apache-2.0
"""What machines did within a period: heat, power and load by step, added up from their samples."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from mlops.monitoring.model.reports_entries import Sample
from mlops.monitoring.model.reports_period import Period

_THROTTLED = 2


@dataclass(frozen=True)
class MachineStep:
    """A step of a machine; means by time, the level and the temperature at their worst."""

    at: datetime
    level: int | None
    temp_c: float | None
    watts: float | None
    busy: float | None
    joules: float


@dataclass(frozen=True)
class Machine:
    """A machine over the whole period; seconds are those its samples cover."""

    node: str
    chip: str
    simulated: bool
    known_s: float
    throttled_s: float
    low_power_s: float
    pressed_s: float
    worst_level: int | None
    worst_temp_c: float | None
    joules: float
    watts: float | None
    steps: tuple[MachineStep, ...]


@dataclass
class _Sum:
    """Sums that a sample changes; a million copies would be the dearest part of a report."""

    level: int | None = None
    temp_c: float | None = None
    watt_s: float = 0.0
    watts_known_s: float = 0.0
    busy_s: float = 0.0
    busy_known_s: float = 0.0
    joules: float = 0.0
    known_s: float = 0.0
    throttled_s: float = 0.0
    low_power_s: float = 0.0
    pressed_s: float = 0.0

    def add(self, one: Sample) -> None:
        """Count a sample."""
        self.known_s += one.window_s
        self.joules += one.joules
        self.level = _worse(self.level, one.level)
        self.temp_c = _hotter(self.temp_c, one.temp_c)
        if one.watts is not None:
            self.watt_s += one.watts * one.window_s
            self.watts_known_s += one.window_s
        if one.busy is not None:
            self.busy_s += one.busy * one.window_s
            self.busy_known_s += one.window_s
        self.throttled_s += one.window_s if (one.level or 0) >= _THROTTLED else 0.0
        self.low_power_s += one.window_s if one.low_power else 0.0
        self.pressed_s += one.window_s if one.pressed else 0.0

    @property
    def watts(self) -> float | None:
        """Return the mean power; None where it was never known."""
        return self.watt_s / self.watts_known_s if self.watts_known_s else None

    @property
    def busy(self) -> float | None:
        """Return the mean load; None where it was never known."""
        return self.busy_s / self.busy_known_s if self.busy_known_s else None


@dataclass
class Machines:
    """Adds up the samples of all machines within a period."""

    period: Period
    _steps: dict[str, dict[datetime, _Sum]] = field(default_factory=dict)
    _whole: dict[str, _Sum] = field(default_factory=dict)
    _last: dict[str, Sample] = field(default_factory=dict)

    def add(self, one: Sample) -> None:
        """Count a sample of the period."""
        if not self.period.holds(one.at):
            return
        steps = self._steps.setdefault(one.node, {})
        steps.setdefault(self.period.place(one.at), _Sum()).add(one)
        self._whole.setdefault(one.node, _Sum()).add(one)
        self._last[one.node] = one

    def found(self) -> tuple[Machine, ...]:
        """Return every machine that spoke, by name."""
        return tuple(self._machine(node) for node in sorted(self._whole))

    def _machine(self, node: str) -> Machine:
        whole, last = self._whole[node], self._last[node]
        return Machine(
            node=node,
            chip=last.chip,
            simulated=last.simulated,
            known_s=whole.known_s,
            throttled_s=whole.throttled_s,
            low_power_s=whole.low_power_s,
            pressed_s=whole.pressed_s,
            worst_level=whole.level,
            worst_temp_c=whole.temp_c,
            joules=whole.joules,
            watts=whole.watts,
            steps=tuple(
                MachineStep(at, one.level, one.temp_c, one.watts, one.busy, one.joules)
                for at, one in sorted(self._steps[node].items())
            ),
        )


def _worse(one: int | None, other: int | None) -> int | None:
    return max((level for level in (one, other) if level is not None), default=None)


def _hotter(one: float | None, other: float | None) -> float | None:
    return max((degrees for degrees in (one, other) if degrees is not None), default=None)
