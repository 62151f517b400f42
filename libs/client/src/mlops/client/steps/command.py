# SPDX-License-Identifier: Apache-2.0
"""Command: runs the project's own code in the project's own environment, and takes it along when it must stop."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from mlops.client.steps.errors import PermanentError, StoppedError

# Airflow kills a task 5 s after it was told to end.
_GRACE_S = 3.5
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


def run(command: str, folder: Path, env: Mapping[str, str], limit: timedelta) -> int:
    """Run a shell command to its end and return its exit status.

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
            command, shell=True, cwd=folder, env=dict(env), start_new_session=True
        )
    try:
        if came:
            signal.raise_signal(signal.SIGTERM)
        return child.wait(limit.total_seconds())
    except subprocess.TimeoutExpired as error:
        _end(child)
        raise PermanentError(
            f"`{command}` ran longer than {limit} and was ended; raise `timeout` or make it shorter"
        ) from error
    except StoppedError:
        _end(child)
        raise


@contextlib.contextmanager
def _later(number: signal.Signals) -> Iterator[list[int]]:
    """Note the signal instead of acting on it: a child that is lost while it begins would never be ended."""
    came: list[int] = []
    before = signal.signal(number, lambda told, _: came.append(told))
    try:
        yield came
    finally:
        signal.signal(number, before)


def _end(child: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(_GRACE_S)
    # Its children too, whatever they think of SIGTERM.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
