# SPDX-License-Identifier: Apache-2.0
"""This process and, where no agent tells of it, the machine; by the standard library, and psutil where it is installed."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_KIB = 1024
_STATM, _STAT, _MEMINFO = (Path("/proc") / name for name in ("self/statm", "stat", "meminfo"))


@dataclass(frozen=True)
class Usage:
    """What the process has used: seconds of processor time, memory now, and the most it ever had."""

    cpu_s: float
    rss_bytes: int | None
    peak_bytes: int | None


@dataclass(frozen=True)
class Machine:
    """The machine by the kernel's own words: processor ticks since it started, and memory."""

    busy_ticks: int
    all_ticks: int
    used_bytes: int | None

    @property
    def busy_s(self) -> float:
        """Return the processor seconds that were busy since the machine started."""
        return self.busy_ticks / os.sysconf("SC_CLK_TCK")


def usage() -> Usage:
    """Return what this process has used so far."""
    return Usage(time.process_time(), _rss(), _peak())


def machine() -> Machine | None:
    """Return the machine's counters; None where there is no `/proc`."""
    try:
        stat, meminfo = _STAT.read_text(), _MEMINFO.read_text()
    except OSError:
        return None
    busy, total = ticks(stat)
    return Machine(busy, total, used_memory(meminfo))


def ticks(stat: str) -> tuple[int, int]:
    """Return busy and all ticks of the first line of `/proc/stat`; waiting for a disk is not busy."""
    # Guests are counted in user already.
    values = [int(one) for one in stat.split("\n", 1)[0].split()[1:9]]
    idle = sum(values[3:5])
    return sum(values) - idle, sum(values)


def used_memory(meminfo: str) -> int | None:
    """Return the bytes that a new process could not get, by `/proc/meminfo`."""
    sizes = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    try:
        total, free = (int(sizes[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    except (KeyError, ValueError, IndexError):
        return None
    return (total - free) * _KIB


def machine_metrics(before: Machine | None, now: Machine | None) -> Mapping[str, float]:
    """Return what two looks at the machine show."""
    found: dict[str, float] = {}
    if now is None:
        return found
    if now.used_bytes is not None:
        found["system/memory_used_gb"] = now.used_bytes / 2**30
    if before is not None and now.all_ticks > before.all_ticks:
        busy = (now.busy_ticks - before.busy_ticks) / (now.all_ticks - before.all_ticks)
        found["system/cpu_utilization_percentage"] = 100 * busy
    return found


def _rss() -> int | None:
    try:
        return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        pass
    with suppress(ImportError, OSError):
        import psutil  # noqa: PLC0415 - only where there is no /proc, and only if it is there

        return int(psutil.Process().memory_info().rss)
    return None


def _peak() -> int | None:
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return None
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * _KIB
