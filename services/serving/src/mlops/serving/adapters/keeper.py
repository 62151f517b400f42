# SPDX-License-Identifier: Apache-2.0
"""The keeper: says when this replica must be replaced, and how much memory is its own.

Linux bounds the memory itself (`confinement.limit_memory`); elsewhere nothing does, so what grows beyond its bound
for some seconds is given up, and Ray starts it anew.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

_GIB = 2**30
_KIB = 1024
_FOR_S = 6.0
_ROLLUP = Path("/proc/self/smaps_rollup")


class StuckError(RuntimeError):
    """The replica cannot go on; Ray replaces it."""


class Keeper:
    """Looks at calls that do not come back and, where *watches*, at memory beyond *memory_gb* over that of now."""

    def __init__(
        self,
        stuck: Callable[[], str],
        memory_gb: float,
        *,
        watches: bool = sys.platform != "linux",
        resident: Callable[[], int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stuck = stuck
        self._resident = resident or _resident_bytes
        self._most = self._resident() + int(memory_gb * _GIB) if watches else None
        self._clock = clock
        self._over_since: float | None = None

    def check(self) -> None:
        """Raise StuckError where only a new process helps."""
        reason = self._stuck() or self._too_big()
        if reason:
            raise StuckError(reason)

    def _too_big(self) -> str:
        if self._most is None:
            return ""
        size, now = self._resident(), self._clock()
        if size <= self._most:
            self._over_since = None
            return ""
        if self._over_since is None:
            self._over_since = now
        if now - self._over_since < _FOR_S:
            return ""
        return f"it holds {size / _GIB:.2f} GiB; [serve].memory_gb allows {self._most / _GIB:.2f}"


def private_bytes(rollup: Path = _ROLLUP) -> int | None:
    """Return the memory of this process, of what is shared its part; None where nobody can tell."""
    try:
        for line in rollup.read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * _KIB
    except (OSError, ValueError, IndexError):
        pass
    return None if sys.platform == "linux" else _resident_bytes()


def _resident_bytes() -> int:
    return int(psutil.Process().memory_info().rss)
