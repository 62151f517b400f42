# SPDX-License-Identifier: Apache-2.0
"""Leftovers: processes that tests started and that still run fail the run, are named, and are ended.

On Linux every orphan comes back to this process, so its descendants are all there is to know: a session of its own, a
new title or an emptied environment hides nobody. Elsewhere orphans are known by a mark in their environment.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import psutil
import pytest

from mlops.cli.supervisor import orphans, processes

MARK = "MLOPS_TEST_RUN"
_PATIENCE_S = 10.0
_GRACE_S = 5.0


@dataclass
class Leftovers:
    """What this test run has left; `ended` names it after `end`."""

    run: str
    ended: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls) -> Leftovers:
        """Take responsibility for everything that is started from now on."""
        orphans.adopt()
        os.environ[MARK] = uuid.uuid4().hex
        return cls(os.environ[MARK])

    def end(self) -> list[str]:
        """Give what is ending its time, end the rest, and return its names."""
        left = patiently(self._living)
        self.ended += [_name(pid) for pid in sorted(left)]
        processes.end_all(self._living, _GRACE_S)
        return self.ended

    def _living(self) -> set[int]:
        return processes.below(os.getpid()) | _marked(self.run)


_LEFT = pytest.StashKey[Leftovers]()
_TOLD = "left_running"


def pytest_configure(config: pytest.Config) -> None:
    """Begin to look."""
    config.stash[_LEFT] = Leftovers.begin()
    # Told to end, a run ends its servers as after Ctrl-C; by default it would die and leave them.
    signal.signal(signal.SIGTERM, _interrupt)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run when something is left, by a worker of it or by itself; fixtures have ended theirs by now."""
    config = session.config
    left = config.stash[_LEFT]
    left.end()
    if hasattr(config, "workeroutput"):
        config.workeroutput[_TOLD] = left.ended
    if left.ended:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take in what a worker has left."""
    left = node.config.stash[_LEFT]
    left.ended += getattr(node, "workeroutput", {}).get(_TOLD, [])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Name what was left."""
    if left := config.stash[_LEFT].ended:
        terminalreporter.section("processes that tests left running")
        for line in left:
            terminalreporter.write_line(line, red=True)


@pytest.fixture
def leaves_nothing() -> Iterator[None]:
    """Fail a test that leaves a process: for those that start a whole platform."""
    with nothing_left():
        yield


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """Fail when something that was started inside outlives it; servers that ran before may go on and change."""
    before = {child.pid for child in psutil.Process().children()}
    yield
    left = patiently(lambda: descendants(before))
    named = [_name(pid) for pid in sorted(left)]
    processes.end_all(lambda: descendants(before), _GRACE_S)
    assert named == []


def descendants(without: Iterable[int]) -> set[int]:
    """Return what runs below this process, but not the families of the children *without*."""
    machine, me = processes.scan(), os.getpid()
    mine = set(processes.children(machine).get(me, ())) - set(without)
    return processes.with_descendants(mine, machine)


def patiently(find: Callable[[], set[int]]) -> set[int]:
    """Return what is still found when what is about to end had time to."""
    deadline = time.monotonic() + _PATIENCE_S
    while (found := find()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return found


def _marked(run: str) -> set[int]:
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == run:
                found.add(process.pid)
    return found


def _name(pid: int) -> str:
    try:
        process = psutil.Process(pid)
        started = time.strftime("%H:%M:%S", time.localtime(process.create_time()))
        words = " ".join(process.cmdline()) or process.name()
    except psutil.Error:
        return f"{pid} (gone)"
    return f"{pid} since {started}: {words[:300]}"
