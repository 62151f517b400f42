# SPDX-License-Identifier: Apache-2.0
"""Launch: start a supervisor that outlives this terminal, watch it, and stop it, even one that was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlops.cli.errors import CliError
from mlops.cli.home import Home
from mlops.cli.supervisor import backoff, logs, processes
from mlops.cli.supervisor import state as told
from mlops.cli.supervisor.state import Status, Told

_POLL_S = 0.2
_FIRST_WORD_S = 30.0
_STOP_S = 120.0
_SWEEP_GRACE_S = 5.0

Watch = Callable[[Told], None]


def ignore(_: Told) -> None:
    """Watch nothing."""


@dataclass(frozen=True)
class Stopped:
    """What `stop` found and did."""

    was_running: bool
    swept: int


def supervisor_pid(home: Home) -> int | None:
    """Return the pid of the supervisor of this home, None when none runs: only a living one holds the lock."""
    try:
        lock = os.open(home.lock, os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        text = os.read(lock, 32).decode().strip()
        return int(text) if text.isdigit() else 0
    else:
        return None
    finally:
        os.close(lock)


def start(
    home: Home,
    only: Sequence[str] = (),
    without: Sequence[str] = (),
    installation: Home | None = None,
) -> None:
    """Start a detached supervisor; the caller has made sure that none runs. With an *installation* it is a node's."""
    home.logs.mkdir(parents=True, exist_ok=True)
    log = home.log("supervisor")
    logs.turn_over(log)
    command = [sys.executable, "-m", "mlops.cli.supervisor", "--home", str(home.root)]
    command += ["--installation", str(installation.root)] if installation else []
    command += [text for name in only for text in ("--only", name)]
    command += [text for name in without for text in ("--without", name)]
    with log.open("ab") as file:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd=home.root,
            start_new_session=True,
            # So that `down` also finds one that has not got as far as its lock.
            env={
                **os.environ,
                processes.HOME_MARK: str(home.root),
                processes.COMPONENT_MARK: "supervisor",
            },
        )
    _wait_for_first_word(home, child)


def wait_until_up(home: Home, watch: Watch = ignore) -> Told:
    """Wait until everything that is not optional is ready.

    Raises CliError, with the cause and the fix, when the supervisor ends or a component fails again and again.
    """
    while True:
        found = told.read(home)
        watch(found)
        if found.phase in {"running", "stopping", "stopped"}:
            return found
        hopeless = [status for status in found.components if _is_hopeless(status)]
        if hopeless:
            raise CliError("\n".join(describe(status) for status in hopeless), _FIX_HOPELESS)
        if supervisor_pid(home) is None:
            raise _died(home)
        time.sleep(_POLL_S)


def stop(home: Home, watch: Watch = ignore) -> Stopped:
    """Stop everything; whatever a killed supervisor left behind too. Afterwards no process of this home lives."""
    pid = supervisor_pid(home)
    if pid:
        os.kill(pid, signal.SIGTERM)
        _wait_for_end(home, pid, watch)
    swept, still = processes.end_all(lambda: left_by(home), _SWEEP_GRACE_S)
    if still:
        raise CliError(f"processes {still} cannot be ended", "end them by hand: kill -9 PID")
    with contextlib.suppress(OSError):
        told.forget(home)
    if not pid:
        with contextlib.suppress(OSError):
            home.endpoints.unlink(missing_ok=True)
    return Stopped(was_running=pid is not None, swept=len(swept))


def left_by(home: Home) -> set[int]:
    """Return the processes of a home of which no supervisor runs."""
    return processes.belonging(
        processes.scan(),
        home=str(home.root),
        roots=told.read(home).roots,
        markers=[str(home.short)],
    )


def describe(status: Status) -> str:
    """Return what is wrong with a component, and the fix."""
    lines = [f"{status.name}: {status.error or status.state}", f"  log: {status.log}"]
    return "\n".join([*lines, f"  fix: {status.fix}"] if status.fix else lines)


_FIX_HOPELESS = "the rest keeps running and this keeps being tried; `mlops status` tells, `mlops down` stops all"


def _is_hopeless(status: Status) -> bool:
    return (
        not status.optional
        and status.ready is None
        and status.state == told.BACKOFF
        and (status.failures >= backoff.HOPELESS_AFTER or "is missing" in status.error)
    )


def _wait_for_first_word(home: Home, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _FIRST_WORD_S
    while time.monotonic() < deadline:
        found = told.read(home)
        if found.pid == child.pid and found.phase == "failed":
            child.wait(5)
            raise CliError(found.error, f"the supervisor's log is {home.log('supervisor')}")
        if found.pid == child.pid and found.components:
            child.returncode = 0  # it is meant to outlive us: no warning when this object goes
            return
        if child.poll() is not None:
            raise _died(home)
        time.sleep(0.05)
    raise CliError(
        f"the supervisor says nothing after {_FIRST_WORD_S:g} s", f"see {home.log('supervisor')}"
    )


def _wait_for_end(home: Home, pid: int, watch: Watch) -> None:
    deadline = time.monotonic() + _STOP_S
    while supervisor_pid(home) is not None:
        watch(told.read(home))
        if time.monotonic() > deadline:
            processes.kill([pid])
        time.sleep(_POLL_S)


def _died(home: Home) -> CliError:
    lines = "\n  ".join(logs.last_lines(home.log("supervisor")))
    return CliError(
        f"the supervisor has ended; its log ends:\n  {lines}",
        "correct what it names, then `mlops up`",
    )
