# SPDX-License-Identifier: Apache-2.0
"""Processes: which of this machine's belong to an installation, however they were orphaned, and how they end."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import psutil

HOME_MARK = "MLOPS_SUPERVISED_HOME"
COMPONENT_MARK = "MLOPS_COMPONENT"

# Start times are told relative to a clock that may be set; a pid comes round again much later than this.
_SAME_START_S = 10.0


@dataclass(frozen=True)
class Seen:
    """One process of the machine, as far as it may be looked at."""

    pid: int
    parent: int
    session: int
    created: float
    command: str
    home: str = ""
    component: str = ""


def scan() -> dict[int, Seen]:
    """Return every living process that this user may see."""
    found = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            seen = _look(process)
            if seen is not None:
                found[seen.pid] = seen
    return found


def belonging(
    machine: Mapping[int, Seen],
    *,
    home: str = "",
    roots: Mapping[int, float] | None = None,
    component: str = "",
    markers: Iterable[str] = (),
) -> set[int]:
    """Return the processes of an installation or of one component of it.

    Four signs, because each fails for somebody: the mark in the environment (a process title may overwrite it),
    the session of a recorded process (a child may leave it), a path on the command line, the family tree.
    """
    known = dict(roots or {})
    signs: list[Callable[[Seen], bool]] = [
        lambda seen: _is(seen, known),
        lambda seen: _in(seen, known, machine),
    ]
    if home:
        signs.append(lambda seen: seen.home == home and component in {"", seen.component})
    marks = [marker for marker in markers if marker]
    if marks:
        signs.append(lambda seen: any(marker in seen.command for marker in marks))
    found = {seen.pid for seen in machine.values() if any(sign(seen) for sign in signs)}
    return _with_descendants(found, machine) - _lineage(os.getpid(), machine)


def end(pids: Iterable[int], grace_s: float) -> list[int]:
    """Ask processes to end, wait, then kill; return those that are still there (none, normally)."""
    alive = _existing(pids)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(alive, timeout=grace_s)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    _, alive = psutil.wait_procs(alive, timeout=5)
    return [process.pid for process in alive if _is_alive(process)]


def kill(pids: Iterable[int]) -> None:
    """Kill at once."""
    for process in _existing(pids):
        with contextlib.suppress(psutil.Error):
            process.kill()


def created(pid: int) -> float:
    """Return when a process started; now, when it is already gone."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.Error:
        return time.time()


def alive(pid: int | None, started: float | None) -> bool:
    """Return whether this very process lives: a pid alone may have been given to another one."""
    if pid is None or started is None:
        return False
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - started) < _SAME_START_S and _is_alive(process)
    except psutil.Error:
        return False


def memory_bytes(pid: int) -> int:
    """Return the proportional share of memory (Linux), elsewhere what the process has for itself; 0 if gone."""
    try:
        found = psutil.Process(pid).memory_full_info()
    except (psutil.Error, OSError):
        return 0
    return int(getattr(found, "pss", 0) or found.uss)


def _look(process: psutil.Process) -> Seen | None:
    with process.oneshot():
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        marks: dict[str, str] = {}
        with contextlib.suppress(psutil.Error, OSError):
            marks = process.environ()
        return Seen(
            pid=process.pid,
            parent=process.ppid(),
            session=os.getsid(process.pid),
            created=process.create_time(),
            command=" ".join(process.cmdline()),
            home=marks.get(HOME_MARK, ""),
            component=marks.get(COMPONENT_MARK, ""),
        )


def _is(seen: Seen, roots: Mapping[int, float]) -> bool:
    return seen.pid in roots and abs(seen.created - roots[seen.pid]) < _SAME_START_S


def _in(seen: Seen, roots: Mapping[int, float], machine: Mapping[int, Seen]) -> bool:
    if seen.session not in roots or seen.created < roots[seen.session] - _SAME_START_S:
        return False
    leader = machine.get(seen.session)
    return leader is None or _is(leader, roots)


def _with_descendants(found: set[int], machine: Mapping[int, Seen]) -> set[int]:
    children: dict[int, list[int]] = {}
    for seen in machine.values():
        children.setdefault(seen.parent, []).append(seen.pid)
    family, new = set(found), list(found)
    while new:
        for child in children.get(new.pop(), []):
            if child not in family:
                family.add(child)
                new.append(child)
    return family


def _lineage(pid: int, machine: Mapping[int, Seen]) -> set[int]:
    line: set[int] = set()
    while pid in machine and pid not in line:
        line.add(pid)
        pid = machine[pid].parent
    return line


def _existing(pids: Iterable[int]) -> list[psutil.Process]:
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.Error):
            found.append(psutil.Process(pid))
    return found


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
