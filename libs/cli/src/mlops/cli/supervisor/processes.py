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
_ROUNDS = 5
_KILLED_S = 5.0
_POLL_S = 0.05


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
    return with_descendants(found, machine) - _lineage(os.getpid(), machine)


def below(pid: int) -> set[int]:
    """Return every living descendant of a process."""
    return with_descendants([pid], scan()) - {pid}


def with_descendants(pids: Iterable[int], machine: Mapping[int, Seen]) -> set[int]:
    """Return *pids* and all that is below them."""
    below, family = children(machine), set(pids)
    new = list(family)
    while new:
        for child in below.get(new.pop(), ()):
            if child not in family:
                family.add(child)
                new.append(child)
    return family


def children(machine: Mapping[int, Seen]) -> dict[int, list[int]]:
    """Return the children of each process that has some."""
    found: dict[int, list[int]] = {}
    for seen in machine.values():
        found.setdefault(seen.parent, []).append(seen.pid)
    return found


def end_all(find: Callable[[], set[int]], grace_s: float) -> tuple[set[int], list[int]]:
    """End what *find* returns until it returns nothing, because the dying may start others.

    Return what was ended, and what could not be.
    """
    ended: set[int] = set()
    for _ in range(_ROUNDS):
        found = find()
        if not found:
            return ended, []
        ended |= found
        end(found, grace_s)
    return ended, sorted(find())


def end(pids: Iterable[int], grace_s: float) -> list[int]:
    """Ask processes to end, wait, then kill; return those that are still there (none, normally)."""
    alive = _existing(pids)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    alive = _alive_after(alive, grace_s)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    return [process.pid for process in _alive_after(alive, _KILLED_S)]


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


def first() -> float:
    """Return when the first process of this machine, or of this container, started; 0 where that is hidden."""
    try:
        return psutil.Process(1).create_time()
    except psutil.Error:
        return 0.0


def same_start(one: float, other: float) -> bool:
    """Return whether two start times of the same pid are those of the same process."""
    return abs(one - other) < _SAME_START_S


def alive(pid: int | None, started: float | None) -> bool:
    """Return whether this very process lives: a pid alone may have been given to another one."""
    if pid is None or started is None:
        return False
    try:
        process = psutil.Process(pid)
        return same_start(process.create_time(), started) and is_alive(process)
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
    return seen.pid in roots and same_start(seen.created, roots[seen.pid])


def _in(seen: Seen, roots: Mapping[int, float], machine: Mapping[int, Seen]) -> bool:
    if seen.session not in roots or seen.created < roots[seen.session] - _SAME_START_S:
        return False
    leader = machine.get(seen.session)
    return leader is None or _is(leader, roots)


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


def _alive_after(asked: list[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Return who lives when the time is over; the dead whom no parent waits for are dead all the same."""
    deadline = time.monotonic() + seconds
    while (left := [one for one in asked if is_alive(one)]) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return left


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process lives; one that has ended and is not waited for does not."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
