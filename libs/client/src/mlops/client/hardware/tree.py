# SPDX-License-Identifier: Apache-2.0
"""The processes of a run: this one and all that it has started, and the processor time they took together."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

_MOST = 2000
_FIELDS = slice(11, 15)  # utime, stime, cutime and cstime of proc(5)'s stat, after the name
_PROC = Path("/proc")


def processes() -> list[int]:
    """Return this process and everything below it that runs; this one alone where nobody tells of the others."""
    found, at = [os.getpid()], 0
    while at < len(found) < _MOST:
        found += [child for child in _children(found[at]) if child not in found]
        at += 1
    return found


def tree_s(ours: list[int] | None = None) -> float:
    """Return the processor seconds of *ours* (default: `processes()`), and of the children they have waited for.

    A child's time moves to its parent when it is waited for, so the sum does not fall when one ends. What a process
    that detached itself takes is not in it; where `/proc` and psutil are missing, neither is that of children that run.
    """
    others = [one for one in (ours or processes()) if one != os.getpid()]
    waited = os.times()
    own_s = time.process_time() + waited.children_user + waited.children_system
    return own_s + sum(_seconds(one) for one in others)


def _children(process: int) -> Iterator[int]:
    for file in _PROC.glob(f"{process}/task/*/children"):
        with suppress(OSError, ValueError):
            yield from map(int, file.read_text().split())
    if not _PROC.is_dir():
        yield from _told_by_psutil(process)


def _seconds(process: int) -> float:
    try:
        stat = (_PROC / str(process) / "stat").read_text()
        # The name may hold anything, a bracket too.
        fields = stat.rpartition(")")[2].split()[_FIELDS]
        return sum(map(int, fields)) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return _seconds_by_psutil(process)


def _told_by_psutil(process: int) -> list[int]:
    psutil = _psutil()
    if psutil is None or process != os.getpid():
        return []
    try:
        return [child.pid for child in psutil.Process().children(recursive=True)]
    except psutil.Error:
        return []


def _seconds_by_psutil(process: int) -> float:
    psutil = _psutil()
    if psutil is None:
        return 0.0
    try:
        times = psutil.Process(process).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _psutil() -> Any:
    try:
        import psutil  # noqa: PLC0415 - only where there is no /proc, and only if it is there
    except ImportError:
        return None
    return psutil
