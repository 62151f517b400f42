# SPDX-License-Identifier: Apache-2.0
"""Vitals: what the living replicas say of themselves: load, memory, answer times; kept in memory only."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from mlops.chassis.clock import Clock
from mlops.contracts.latency import Latencies
from mlops.serving.ports import Figures, Report

# Replicas speak every two seconds.
_LIVES = timedelta(seconds=7)
_FORGOTTEN = timedelta(hours=1)
_LATELY = timedelta(seconds=30)
_KEPT = 256


@dataclass(frozen=True)
class _Word:
    app: str
    report: Report
    at: datetime


class Vitals:
    """Adds up what replicas count, so that nothing is lost with one that dies."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._words: dict[str, _Word] = {}
        self._totals: dict[str, Figures] = {}
        self._used_at: dict[str, datetime] = {}
        self._history: dict[str, deque[tuple[datetime, int]]] = {}

    def hear(self, app: str, report: Report) -> None:
        """Take in the word of a replica."""
        now = self._clock()
        before = self._words.get(report.reading.replica)
        last = before.report if before else Report(replace(report.reading, answered=0, busy_s=0.0))
        self._words[report.reading.replica] = _Word(app, report, now)
        total = self._totals.get(app, Figures())
        self._totals[app] = _added(total, last, report)
        self._history.setdefault(app, deque(maxlen=_KEPT)).append((now, self._totals[app].requests))
        if before is None or _was_used(last, report):
            self._used_at[app] = now
        self._words = {n: one for n, one in self._words.items() if now - one.at < _FORGOTTEN}

    def replicas(self, app: str) -> frozenset[str]:
        """Return the names of the replicas that speak."""
        return frozenset(one.report.reading.replica for one in self._living(app))

    def used_at(self, app: str) -> datetime | None:
        """Return when a replica last told of a request, or began; None when none has spoken."""
        return self._used_at.get(app)

    def ongoing(self, app: str) -> float | None:
        """Return how many requests wait now at the replicas, None when none speaks."""
        living = self._living(app)
        return float(sum(one.report.waiting for one in living)) if living else None

    def memory(self, app: str) -> int | None:
        """Return the bytes of the biggest replica now, None where nobody can tell."""
        known = [one.report.memory_bytes for one in self._living(app)]
        return max((size for size in known if size is not None), default=None)

    def figures(self, app: str) -> Figures | None:
        """Return what was counted of an application since this process began; None when nothing was."""
        total = self._totals.get(app)
        if total is None:
            return None
        living = self._living(app)
        sizes = [size for one in living if (size := one.report.memory_bytes) is not None]
        return replace(
            total,
            waiting=sum(one.report.waiting for one in living),
            memory_bytes=sum(sizes) if sizes else None,
            replicas=len(living),
            rate=self._rate(app),
        )

    def _rate(self, app: str) -> float | None:
        """Return the requests per second of the last half minute; None before two reports."""
        now = self._clock()
        lately = [one for one in self._history.get(app, ()) if now - one[0] <= _LATELY]
        lasted_s = (lately[-1][0] - lately[0][0]).total_seconds() if lately else 0.0
        return (lately[-1][1] - lately[0][1]) / lasted_s if lasted_s > 0 else None

    def _living(self, app: str) -> list[_Word]:
        now = self._clock()
        return [one for one in self._words.values() if one.app == app and now - one.at <= _LIVES]


def _added(total: Figures, last: Report, now: Report) -> Figures:
    return replace(
        total,
        requests=total.requests + max(0, now.requests - last.requests),
        errors=total.errors + max(0, now.errors - last.errors),
        shed=total.shed + max(0, now.shed - last.shed),
        dropped=total.dropped + max(0, now.dropped - last.dropped),
        answered=total.answered + max(0, now.reading.answered - last.reading.answered),
        latencies=total.latencies.plus(
            Latencies.read(now.latencies).since(Latencies.read(last.latencies))
        ),
    )


def _was_used(last: Report, now: Report) -> bool:
    counts = (now.requests, now.shed, now.reading.answered, now.reading.busy_s)
    return now.waiting > 0 or counts > (
        last.requests,
        last.shed,
        last.reading.answered,
        last.reading.busy_s,
    )
