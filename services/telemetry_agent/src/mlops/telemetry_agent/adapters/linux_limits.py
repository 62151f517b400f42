# SPDX-License-Identifier: Apache-2.0
"""What a container may take: its cgroup's limits are the machine's size, and busy is measured against them.

Read is the root of the mounted hierarchy only: inside a container that is the container; on a host it has no limits,
and the limits of the agent's own unit must not pass for the machine's.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path

from mlops.telemetry_agent.adapters.files import FileReader, parse_files, whole
from mlops.telemetry_agent.adapters.parsed import ParsedProbe
from mlops.telemetry_agent.model.reading import STALE, Partial, Value

LIMITS = "linux_limits"
_V2, _MEMORY, _CPU, _ACCT = (
    "sys/fs/cgroup/",
    "sys/fs/cgroup/memory/",
    "sys/fs/cgroup/cpu/",
    "sys/fs/cgroup/cpuacct/",
)
_MEMINFO = "proc/meminfo"

_Files = Mapping[str, str | None]


def limits_probe(root: Path) -> ParsedProbe:
    """Return the probe of the container's limits below *root*; it gives nothing where there are none."""
    return ParsedProbe(
        LIMITS,
        FileReader(
            root,
            moving=[
                *(f"{_V2}{name}" for name in ("memory.current", "memory.stat", "cpu.stat")),
                *(f"{_V2}{name}" for name in ("memory.max", "cpu.max")),
                *(
                    f"{_MEMORY}memory.{name}"
                    for name in ("limit_in_bytes", "usage_in_bytes", "stat")
                ),
                *(f"{_CPU}cpu.cfs_{name}_us" for name in ("quota", "period")),
                f"{_ACCT}cpuacct.usage",
            ],
            steady=[_MEMINFO],
        ),
        LimitsParser(),
    )


class LimitsParser:
    """Memory and processors of a container; the busy share is over the time since the reading before."""

    def __init__(self) -> None:
        self._used_s: float | None = None
        self._at_s = 0.0

    def __call__(self, raw: bytes, at_s: float) -> Partial:
        """Parse one reading."""
        files = parse_files(raw)
        values, missing = _memory(files), dict[str, str]()
        cores = _cores(files)
        if cores is not None:
            values["chip.cores"] = max(1, math.ceil(cores))
            used_s = _used_s(files)
            seconds = at_s - self._at_s
            if (
                used_s is not None
                and self._used_s is not None
                and seconds > 0
                and used_s >= self._used_s
            ):
                values["cpu_busy_ratio"] = min(1.0, (used_s - self._used_s) / seconds / cores)
            else:
                missing["cpu_busy_ratio"] = STALE
            self._used_s, self._at_s = used_s, at_s
        return Partial(LIMITS, values, missing)


def _memory(files: _Files) -> dict[str, Value]:
    limit = whole(files.get(f"{_V2}memory.max")) or whole(
        files.get(f"{_MEMORY}memory.limit_in_bytes")
    )
    installed = _installed(files)
    if limit is None or installed is None or not 0 < limit < installed:
        return {}
    values: dict[str, Value] = {"memory.total_bytes": limit, "chip.memory_bytes": limit}
    used = whole(files.get(f"{_V2}memory.current")) or whole(
        files.get(f"{_MEMORY}memory.usage_in_bytes")
    )
    if used is not None:
        # Pages of files that nobody uses are given back before anything is killed.
        taken = max(0, used - _reclaimable(files))
        values |= {"memory.used_bytes": taken, "memory.available_bytes": max(0, limit - taken)}
    return values


def _installed(files: _Files) -> int | None:
    found = re.search(r"^MemTotal:\s*(\d{1,15}) kB", files.get(_MEMINFO) or "", re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _reclaimable(files: _Files) -> int:
    stat = files.get(f"{_V2}memory.stat") or files.get(f"{_MEMORY}memory.stat") or ""
    found = re.search(r"^(?:total_)?inactive_file (\d{1,18})$", stat, re.MULTILINE)
    return int(found[1]) if found else 0


def _cores(files: _Files) -> float | None:
    quota, _, period = (files.get(f"{_V2}cpu.max") or "").partition(" ")
    if not period:
        quota = files.get(f"{_CPU}cpu.cfs_quota_us") or ""
        period = files.get(f"{_CPU}cpu.cfs_period_us") or ""
    allowed, each = whole(quota), whole(period)
    return allowed / each if allowed and each and allowed > 0 and each > 0 else None


def _used_s(files: _Files) -> float | None:
    found = re.search(r"^usage_usec (\d{1,18})$", files.get(f"{_V2}cpu.stat") or "", re.MULTILINE)
    if found:
        return int(found[1]) / 1e6
    nanoseconds = whole(files.get(f"{_ACCT}cpuacct.usage"))
    return None if nanoseconds is None else nanoseconds / 1e9
