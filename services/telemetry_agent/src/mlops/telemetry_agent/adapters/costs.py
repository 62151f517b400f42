# SPDX-License-Identifier: Apache-2.0
"""ProcessCosts: processor time and memory of the agent itself, with the children that it reads through."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import psutil


class ProcessCosts:
    """*children_s* tell the processor time of children that still run; of ended ones the system keeps count."""

    def __init__(self, children_s: Sequence[Callable[[], float]] = ()) -> None:
        self._process = psutil.Process()
        self._children_s = children_s

    def cpu_s(self) -> float:
        """Return the processor time so far, in seconds."""
        own = os.times()
        ended = own.children_user + own.children_system
        return own.user + own.system + ended + sum(child() for child in self._children_s)

    def rss_bytes(self) -> int | None:
        """Return the memory it holds."""
        try:
            return int(self._process.memory_info().rss)
        except psutil.Error:
            return None
