# SPDX-License-Identifier: Apache-2.0
"""Looking: one reading of all probes, with what no single probe can tell: doubt, hidden slow-down, joules that grow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from mlops.telemetry_agent.model import energy, slowdown
from mlops.telemetry_agent.model.doubt import doubted
from mlops.telemetry_agent.model.energy import Meter
from mlops.telemetry_agent.model.reading import Reading, compose
from mlops.telemetry_agent.model.slowdown import Runs
from mlops.telemetry_agent.model.window import aggregate
from mlops.telemetry_agent.ports import Askable, TelemetryProbe


class Looking:
    """The probes of a machine in the order of their priority, and what is known from one reading to the next."""

    def __init__(self, probes: Sequence[TelemetryProbe], monotonic: Callable[[], float]) -> None:
        self._probes = probes
        self._monotonic = monotonic
        self._runs = Runs()
        self._meter = Meter()
        self._at_s: float | None = None
        self._took_s: list[float] = []
        self._turn = threading.Lock()
        self.dropped = 0

    def look(self, at_s: float) -> Reading:
        """Read every probe once; a look goes on when its task is cancelled, and the next one waits for it."""
        with self._turn:
            return self._look(at_s)

    def _look(self, at_s: float) -> Reading:
        began = self._monotonic()
        for probe in self._probes:
            if isinstance(probe, Askable):
                probe.ask(at_s)
        reading = doubted(compose([probe.read(at_s) for probe in self._probes]))
        self.dropped += reading.dropped
        self._meter = energy.count(
            self._meter, reading, 0.0 if self._at_s is None else at_s - self._at_s
        )
        self._at_s = at_s
        self._runs, slow = slowdown.watch(self._runs, reading, at_s)
        self._took_s.append(self._monotonic() - began)
        return slowdown.marked(reading, slow)

    def sum_up(self, readings: Sequence[Reading]) -> Reading:
        """Return a window's readings as one; its joules are those since the start of the agent."""
        window = aggregate(readings)
        kept = {name: v for name, v in window.values.items() if not name.startswith("energy.")}
        counted, by = energy.fields(self._meter)
        provenance = {n: p for n, p in window.provenance.items() if not n.startswith("energy.")}
        return replace(window, values={**kept, **counted}, provenance={**provenance, **by})

    def mean_ms(self) -> float | None:
        """Return the mean time of the readings since this was asked before."""
        took, self._took_s = self._took_s, []
        return sum(took) / len(took) * 1000 if took else None
