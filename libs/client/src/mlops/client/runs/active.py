# SPDX-License-Identifier: Apache-2.0
"""Active: which run a call without a run means: the innermost of this context, or the newest of the process."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol


class Open(Protocol):
    """A run that is not over."""

    @property
    def project(self) -> str:
        """Return its project."""

    def end(self, status: str = "FINISHED", *, flush: bool = True) -> None:
        """End it."""


_inner: ContextVar[tuple[Open, ...]] = ContextVar("mlops_runs", default=())
# Worker threads begin with an empty context; they mean the run that the process is in.
_open: list[Open] = []


def push(run: Open) -> None:
    """Make this the innermost run."""
    enter(run)
    _open.append(run)


def enter(run: Open) -> None:
    """Make an open run the innermost one of this context too."""
    _inner.set((*_inner.get(), run))


def leave(run: Open) -> None:
    """It is no longer the innermost one of this context."""
    _inner.set(tuple(one for one in _inner.get() if one is not run))


def remove(run: Open) -> None:
    """It is no longer active."""
    leave(run)
    if run in _open:
        _open.remove(run)


def current(project: str) -> Open | None:
    """Return the active run of a project."""
    mine = [run for run in _inner.get() if run.project == project and run in _open]
    if not mine:
        mine = [run for run in _open if run.project == project]
    return mine[-1] if mine else None


def all_open() -> list[Open]:
    """Return every open run of the process, innermost first."""
    return list(reversed(_open))


def forget() -> None:
    """Know of no run: a forked child ends none of its parent's."""
    _inner.set(())
