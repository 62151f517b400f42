# SPDX-License-Identifier: Apache-2.0
"""Crowd: several runs of one process share what it takes; of nested runs the innermost, so that nothing counts twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Crowd:
    """For each open run, the seconds that the process was its own: time is parted evenly among the innermost runs.

    An outer run has the time in which no run was open within it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._outer: dict[str, str] = {}
        self._own_s: dict[str, float] = {}
        self._at_s = clock()

    def join(self, name: str, outer: str = "") -> None:
        """Let a run begin, within *outer* where that is open."""
        with self._lock:
            self._pass()
            self._outer[name] = outer
            self._own_s[name] = 0.0

    def leave(self, name: str) -> None:
        """Let a run end; one that has ended stays so."""
        with self._lock:
            self._pass()
            self._outer.pop(name, None)
            self._own_s.pop(name, None)

    def forget(self) -> None:
        """Know of no run: a forked child has none of its parent's, and not its lock either."""
        self._lock = threading.Lock()
        self._outer, self._own_s, self._at_s = {}, {}, self._clock()

    def own_s(self, name: str) -> float:
        """Return for how many seconds the process was this run's own, since it joined."""
        with self._lock:
            self._pass()
            return self._own_s.get(name, 0.0)

    def _pass(self) -> None:
        now_s = self._clock()
        passed_s, self._at_s = max(0.0, now_s - self._at_s), now_s
        within = set(self._outer.values())
        innermost = [name for name in self._outer if name not in within]
        for name in innermost:
            self._own_s[name] += passed_s / len(innermost)
