# SPDX-License-Identifier: Apache-2.0
"""Clock: milliseconds that never go back within a process, whatever is done to the machine's clock."""

from __future__ import annotations

import time
from collections.abc import Callable


class Clock:
    """The machine's time, or the last one told while the machine's is behind it."""

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._now_ns = now_ns
        self._last = 0

    def __call__(self) -> int:
        """Return milliseconds since 1970."""
        now = self._now_ns() // 1_000_000
        if now < self._last:
            return self._last
        self._last = now
        return now
