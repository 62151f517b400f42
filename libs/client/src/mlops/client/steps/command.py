# SPDX-License-Identifier: Apache-2.0
"""Command: runs the project's own code in the project's own environment, and takes it along when it must stop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from enum import Enum
from pathlib import Path

from mlops.client.steps.errors import PermanentError

# Airflow kills a task 5 s after it was told to end.
_GRACE_S = 3.5
_ATTEND_S = 0.5
_LOOK_S = 0.05
_PLATFORM_ONLY = (
    "VIRTUAL_ENV",
    "VIRTUAL_ENV_PROMPT",
    "PYTHONPATH",
    "PYTHONHOME",
    "PYTHONSAFEPATH",
    "UV_PROJECT_ENVIRONMENT",
)
_PLATFORM_PREFIXES = ("AIRFLOW_", "_AIRFLOW", "__AIRFLOW", "SUPERVISOR__", "NATS_", "_MLFLOW")


def environment(own: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the project's command: without the platform's python, secrets and switches."""
    kept = {
        name: value
        for name, value in own.items()
        if name not in _PLATFORM_ONLY and not name.startswith(_PLATFORM_PREFIXES)
    }
    ours = {str(Path(sys.prefix) / "bin"), str(Path(sys.executable).parent)}
    if sys.prefix != sys.base_prefix:
        parts = kept.get("PATH", os.defpath).split(os.pathsep)
        kept["PATH"] = os.pathsep.join(part for part in parts if part.rstrip("/") not in ours)
    # Without it the last lines before a crash would stay in the command's own buffer.
    return {"PYTHONUNBUFFERED": "1", **kept, "MLOPS_PYTHON": sys.executable, **given}


class Ending(Enum):
    """How a command took it that it was told to end."""

    BY_ITSELF = "by itself"
    BY_SIGNAL = "by the signal"
    KILLED = "killed"


class Running:
    """A command while it runs, with all that it started."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        self._child = child

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to everybody in it; `listening` lets those live who do not know it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, number)

    @property
    def over(self) -> bool:
        """Return whether nobody in it lives any more."""
        return self._child.poll() is not None and not _anybody(self._child.pid)

    def end(self, grace_s: float = _GRACE_S) -> Ending:
        """Tell everybody in it to end, and kill who has not after *grace_s*."""
        self.signal(signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        # A shell ends at once while what it runs still saves: it is over when nobody is left.
        while time.monotonic() < deadline and not self.over:
            time.sleep(_LOOK_S)
        over = self.over
        self.signal(signal.SIGKILL)  # its children too, whatever they think of SIGTERM
        status = self._child.wait()
        if not over:
            return Ending.KILLED
        return Ending.BY_SIGNAL if status < 0 else Ending.BY_ITSELF


def listening(command: str, number: signal.Signals | None) -> str:
    """Return the command so that a signal harms nobody in it who does not catch it: shells, launchers, loaders."""
    return f"trap '' {number.name.removeprefix('SIG')}\n{command}" if number else command


def run(
    command: str,
    folder: Path,
    env: Mapping[str, str],
    limit: timedelta,
    attend: Callable[[Running], None] = lambda _: None,
    hears: signal.Signals | None = None,
) -> int:
    """Run a shell command to its end and return its exit status; *attend* is called twice a second meanwhile.

    The signal that it *hears* harms nobody in it who does not catch it.
    Raises PermanentError after *limit*, StoppedError when the step is told to end; both end the command first.
    """
    if not folder.is_dir():
        raise PermanentError(
            f"the project's folder {folder} is not there; register the project again from where it is"
        )
    sys.stdout.flush()
    sys.stderr.flush()
    with _later(signal.SIGTERM) as came:
        child = subprocess.Popen(  # noqa: S602 - the command is the project's own, a shell line by contract
            listening(command, hears), shell=True, cwd=folder, env=dict(env), start_new_session=True
        )
    running, until = Running(child), time.monotonic() + limit.total_seconds()
    try:
        if came:
            signal.raise_signal(signal.SIGTERM)
        while (left_s := until - time.monotonic()) > 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return child.wait(min(_ATTEND_S, left_s))
            attend(running)
    except BaseException:
        running.end()
        raise
    running.end()
    raise PermanentError(
        f"`{command}` ran longer than {limit} and was ended; raise `timeout` or make it shorter"
    )


def _anybody(group: int) -> bool:
    """Return whether anybody of a process group lives; who has only not been buried yet does not."""
    if not Path("/proc/self/stat").exists():
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):  # macOS: the latter where all are dead
            return False
        return True
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, found = stat.read_text().rpartition(")")[2].split()[:3]
            if int(found) == group and state not in "ZX":
                return True
    return False


@contextlib.contextmanager
def _later(number: signal.Signals) -> Iterator[list[int]]:
    """Note the signal instead of acting on it: a child that is lost while it begins would never be ended."""
    came: list[int] = []
    before = signal.signal(number, lambda told, _: came.append(told))
    try:
        yield came
    finally:
        signal.signal(number, before)
