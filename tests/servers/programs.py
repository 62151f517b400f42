# SPDX-License-Identifier: Apache-2.0
"""Programs of this machine that tests start: finding them, free ports for them, waiting for them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest


def need(program: str, *folders: Path, fix: str = "") -> str:
    """Return the path of *program*: beside this Python, on PATH, or in *folders*; without it skip here, fail in CI."""
    beside = Path(sys.executable).parent / program
    if beside.exists():
        return str(beside)
    if found := shutil.which(program):
        return found
    for folder in folders:
        if (folder / program).exists():
            return str(folder / program)
    missing = f"{program} is not installed{fix and f'; {fix}'}"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


def children_running(word: str) -> list[psutil.Process]:
    """Return our children whose command line has *word*; one that has just ended, of whatever test, is none."""
    return [child for child in psutil.Process().children() if word in _said(child)]


def _said(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def free_port() -> int:
    """Return a port on loopback that nobody listens on now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def until(ready: Callable[[], bool], seconds: float, log: Callable[[], str]) -> None:
    """Return when *ready* says so; TimeoutError with the end of the *log* after so many *seconds*."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise TimeoutError(log()[-2000:])
        time.sleep(0.02)


def greets(port: int, ask: bytes, answer: bytes) -> bool:
    """Say whether a server on loopback begins with *answer* when it is sent *ask*."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as line:
            line.sendall(ask)
            return line.recv(64).startswith(answer)
    except OSError:
        return False


def end(process: subprocess.Popen[bytes], number: int = signal.SIGKILL) -> None:
    """Signal a child and wait for its end."""
    if process.poll() is None:
        process.send_signal(number)
    process.wait(30)
