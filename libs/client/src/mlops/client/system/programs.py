# SPDX-License-Identifier: Apache-2.0
"""answer(): what a small program says, or None; it is never waited for beyond the given moment."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

_LONGEST_S = 0.8


def answer(command: Sequence[str], until: float, folder: Path | None = None) -> str | None:
    """Return the output of *command*, or None when it fails, is not there, or is not done by *until* (monotonic)."""
    left = min(until - time.monotonic(), _LONGEST_S)
    if left <= 0:
        return None
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env={
                **os.environ,
                "LC_ALL": "C",
                "GIT_OPTIONAL_LOCKS": "0",
                "GIT_TERMINAL_PROMPT": "0",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=left,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    # `sysctl` fails when one of several names is unknown, and tells the others.
    return done.stdout.decode(errors="replace") if done.returncode == 0 or done.stdout else None


def text(file: Path, limit: int = 2**20) -> str:
    """Return the beginning of a file, empty when it cannot be read."""
    try:
        with file.open("rb") as opened:
            return opened.read(limit).decode(errors="replace")
    except OSError:
        return ""
