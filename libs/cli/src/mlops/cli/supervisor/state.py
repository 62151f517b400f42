# SPDX-License-Identifier: Apache-2.0
"""State: what the supervisor tells about each component, in a file that survives it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from mlops.cli.home import Home, read_json, write_json
from mlops.cli.supervisor import processes

WAITING, STARTING, READY, BACKOFF = "waiting", "starting", "ready", "backoff"
STOPPING, STOPPED, DONE = "stopping", "stopped", "done"


@dataclass(frozen=True)
class Status:
    """One component as last told; times are seconds since 1970."""

    name: str
    state: str = WAITING
    pid: int | None = None
    created: float | None = (
        None  # the process's own start, so that a reused pid is not taken for it
    )
    since: float = 0.0
    started: float | None = None
    ready: float | None = None
    took_s: float | None = None
    restarts: int = 0
    failures: int = 0
    retry_at: float | None = None
    address: str = ""
    log: str = ""
    error: str = ""
    fix: str = ""
    gate_url: str = ""
    optional: bool = False

    @property
    def up(self) -> bool:
        """Return whether it does its work."""
        return self.state in {READY, DONE}


@dataclass(frozen=True)
class Told:
    """The whole file: who supervises, and every component; `past` are all other processes that may still live.

    `first` is when the machine's (or the container's) first process started: after another start pids say nothing.
    """

    pid: int | None = None
    created: float | None = None
    phase: str = ""
    started: float = 0.0
    error: str = ""
    components: tuple[Status, ...] = ()
    past: tuple[tuple[int, float], ...] = ()
    first: float = 0.0

    @property
    def roots(self) -> dict[int, float]:
        """Return every process that was started and may still live, with its start time."""
        if not processes.same_start(self.first, processes.first()):
            return {}
        now = [(status.pid, status.created) for status in self.components]
        return {pid: created for pid, created in [*self.past, *now] if pid and created}


def read(home: Home) -> Told:
    """Return what the file says; nothing when it is missing or damaged."""
    found = read_json(home.state)
    with contextlib.suppress(KeyError, TypeError, ValueError):
        return Told(
            pid=_number(found, "pid"),
            created=_float(found, "created"),
            phase=str(found.get("phase", "")),
            started=float(found.get("started", 0.0)),
            error=str(found.get("error", "")),
            components=tuple(_status(item) for item in found.get("components", ())),
            past=tuple((int(pid), float(created)) for pid, created in found.get("past", ())),
            first=float(found.get("first", 0.0)),
        )
    return Told()


def write(home: Home, told: Told) -> None:
    """Replace the file; raises OSError."""
    write_json(home.state, asdict(told))


def forget(home: Home) -> None:
    """Tell of no process any more: none lives, and later their pids will be somebody else's; raises OSError."""
    told = read(home)
    if told.roots:
        gone = tuple(replace(one, pid=None, created=None) for one in told.components)
        write(home, replace(told, pid=None, created=None, components=gone, past=()))


def _status(item: Mapping[str, Any]) -> Status:
    known = {field.name for field in fields(Status)}
    return Status(**{name: value for name, value in item.items() if name in known})


def _number(found: Mapping[str, Any], name: str) -> int | None:
    return None if found.get(name) is None else int(found[name])


def _float(found: Mapping[str, Any], name: str) -> float | None:
    return None if found.get(name) is None else float(found[name])
