# SPDX-License-Identifier: Apache-2.0
"""Sampler: looks every few seconds, logs what it sees, and says at the end what it came to; it never raises."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from mlops.client.hardware import arithmetic, energy, process
from mlops.client.hardware.arithmetic import Totals
from mlops.client.hardware.crowd import Crowd
from mlops.client.hardware.effort import Effort
from mlops.client.hardware.energy import Drawn, Work
from mlops.client.hardware.neighbours import Neighbours

_HELD = 3.0  # a reading stands for as many pauses; after that the machine is unknown
_JOIN_S = 2.0

Metrics = dict[str, float]


class Counts(Protocol):
    """What the run's processes do."""

    def since_last(self) -> Work:
        """Return what was done since this was asked before."""

    def end(self) -> None:
        """Count no more."""


class Sampler:
    """Samples this process and its machine during a run; use `start` and `stop`, or call `tick` yourself.

    *read_node* returns the newest sample of the node (`telemetry.sampled`), or None; *log* gets the metrics
    `system/*`; both are called by the sampler's own thread, and may block it. *effort* tells the run's part of what the
    machine takes; without one it is that of a process with one run.
    """

    def __init__(
        self,
        read_node: Callable[[], Mapping[str, Any] | None],
        log: Callable[[Metrics], None],
        every_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        effort: Counts | None = None,
    ) -> None:
        self._read_node = read_node
        self._log = log
        self._every_s = every_s
        self._clock = clock
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._thread: threading.Thread | None = None
        self._totals = Totals(clock())
        self._drawn = Drawn()
        self._effort = effort or Effort("run", "", Crowd(clock), Neighbours(), clock)
        self._sample: Mapping[str, Any] | None = None
        self._seen: tuple[Any, ...] = ()
        self._usage = process.usage()
        self._usage_at = clock()
        self._machine = process.machine()
        self._first_peak = self._usage.peak_bytes or 0
        self._peak = self._usage.rss_bytes or 0
        self._gpu_busy: float | None = None

    @property
    def gpu_busy_percentage(self) -> float | None:
        """How busy the GPU was in the newest sample, 0 to 100; None when nothing tells."""
        return self._gpu_busy

    def start(self) -> None:
        """Sample every few seconds in a thread that does not keep the program alive."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._loop, name="mlops-hardware", daemon=True)
            self._thread.start()

    def observe_memory(self, peak_bytes: int) -> None:
        """Take note of a peak that the process itself does not show, such as what Metal has allocated."""
        with self._lock:
            self._peak = max(self._peak, peak_bytes)

    def tick(self) -> None:
        """Look once, and log what was seen."""
        try:
            sample = self._read_node()
        except Exception:  # noqa: BLE001 - whatever goes wrong here must not disturb a training
            sample = None
        with self._lock:
            if self._done.is_set():  # asked too late; the sums are made
                return
            metrics = self._process() | self._node(sample)
        with suppress(Exception):  # the same
            self._log(metrics)

    def stop(self) -> dict[str, str]:
        """End the thread; return the tags `hw.*`, with a reason for each that is not known."""
        self._done.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S)
        with self._lock:
            self._process()
            now = self._clock()
            ended = arithmetic.close(self._totals, now, self._held_s)
            drawn = energy.closed(self._drawn, self._effort.since_last())
            self._effort.end()
            lasted_s = now - ended.began_s
            return arithmetic.summary(ended, drawn, lasted_s, self._peak or None, self._sample)

    @property
    def _held_s(self) -> float:
        # The agent's own samples may be further apart than ours.
        return _HELD * max(self._every_s, 10.0)

    def _loop(self) -> None:
        # The first look comes early, so that a short run has one.
        pause = min(1.0, self._every_s)
        while not self._done.wait(pause):
            self.tick()
            pause = self._every_s

    def _process(self) -> Metrics:
        now, at_s = process.usage(), self._clock()
        found: Metrics = {}
        passed_s = at_s - self._usage_at
        if passed_s > 0:
            busy = (now.cpu_s - self._usage.cpu_s) / passed_s
            found["system/process_cpu_percentage"] = 100 * busy
        if now.rss_bytes is not None:
            found["system/process_memory_gb"] = now.rss_bytes / 2**30
        # The most it ever had is the run's when it grew during the run.
        grown = now.peak_bytes if (now.peak_bytes or 0) > self._first_peak else None
        self._peak = max(self._peak, now.rss_bytes or 0, grown or 0)
        self._usage, self._usage_at = now, at_s
        return found

    def _node(self, sample: Mapping[str, Any] | None) -> Metrics:
        machine = process.machine()
        found = dict(process.machine_metrics(self._machine, machine))
        self._machine = machine
        self._gpu_busy = None
        if sample is None:
            return found
        found |= arithmetic.metrics(sample)
        self._gpu_busy = found.get("system/gpu_utilization_percentage")
        seen = arithmetic.identity(sample)
        if seen != self._seen:
            read = arithmetic.reading(sample, self._clock())
            self._totals = arithmetic.add(self._totals, read, self._held_s)
            self._drawn = energy.drawn(self._drawn, sample, self._effort.since_last())
            self._seen, self._sample = seen, sample
        if self._drawn.covered_s > 0:
            found["system/energy_j"] = self._drawn.taken.joules
        return found
