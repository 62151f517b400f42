# SPDX-License-Identifier: Apache-2.0
"""What machines told, as a report counts it: each sample once, in whatever order samples came."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from mlops.contracts.metering import Meter, between, meter
from mlops.contracts.telemetry_agent import HardwareSample, SampleSource, TelemetrySampled
from mlops.monitoring.model.reports_entries import Sample

_PRESSED = ("warn", "critical")
_METERED = {"seq", "boot_id", "observed_at", "window_s", "source", "chip", "cpu_busy_ratio", "power", "energy", "provenance"}  # fmt: skip
_LOW_POWER = "low_power_mode"
# Of a start of an agent; where more is missing, what was missing first is taken as gone.
_MOST_GAPS = 1000


@dataclass
class _Start:
    """One start of an agent: its first number, its newest meter, and the numbers below it that have not come."""

    first: int
    newest: Meter
    missing: deque[range] = field(default_factory=lambda: deque(maxlen=_MOST_GAPS))

    def take(self, seq: int) -> bool:
        """Return whether an older number had not come yet; from now on it has."""
        gap = next((one for one in self.missing if seq in one), None)
        if gap is None:
            return False
        self.missing.remove(gap)
        self.missing.extend(rest for rest in _around(gap, seq) if rest)
        return True


class Samples:
    """Reads one sample after the other; one that comes twice has no length and no energy.

    Agents send what they kept while they had no bus after newer samples. Where the machine counts, the newer sample has
    brought the energy of the older already; where only watts are told it has not.
    """

    def __init__(self) -> None:
        self._starts: dict[tuple[str, str], _Start] = {}

    def read(self, event: TelemetrySampled) -> Sample:
        """Return the sample with what it adds."""
        one = event.sample
        now = meter(one.model_dump(mode="json", include=_METERED))
        window_s, joules = self._added((event.node, now.boot), now)
        return Sample(
            node=event.node,
            at=one.observed_at,
            window_s=window_s,
            chip=one.chip.name,
            simulated=one.source is not SampleSource.REAL,
            level=one.thermal.level,
            temp_c=_hottest(one),
            watts=sum(now.watts.values()) if now.watts else None,
            joules=joules,
            busy=one.cpu_busy_ratio,
            low_power=one.power.mode == "low" or _LOW_POWER in one.thermal.reasons,
            pressed=one.memory.pressure in _PRESSED,
        )

    def _added(self, key: tuple[str, str], now: Meter) -> tuple[float, float]:
        """Return the seconds and the joules that a sample adds to its machine."""
        start = self._starts.get(key)
        if start is None:
            self._starts[key] = start = _Start(now.seq, now)
            start.missing.append(range(now.seq))
            return now.window_s, _joules(None, now)
        before = start.newest
        if now.seq > before.seq:
            start.newest = now
            if now.seq > before.seq + 1:
                start.missing.append(range(before.seq + 1, now.seq))
            return now.window_s, _joules(before, now)
        if not start.take(now.seq):
            return 0.0, 0.0
        counted = bool(now.joules) and now.seq > start.first
        return now.window_s, 0.0 if counted else _joules(None, now)


def _joules(before: Meter | None, now: Meter) -> float:
    span = between(before, now)
    return 0.0 if span is None else span.joules


def _around(gap: range, seq: int) -> Iterator[range]:
    yield range(gap.start, seq)
    yield range(seq + 1, gap.stop)


def _hottest(sample: HardwareSample) -> float | None:
    known = (sample.thermal.cpu_temp_c, sample.thermal.gpu_temp_c)
    return max((degrees for degrees in known if degrees is not None), default=None)
