# SPDX-License-Identifier: Apache-2.0
"""Starts Ray's head and stays with it: ends when the head dies, ends the head when told to.

`ray start --block` does the same with ten times the memory and half a minute's farewell.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import psutil

from mlops.cli.supervisor.processes import is_alive

_LOOK_S = 0.5
_FAREWELL_S = 2.5
_VITAL = ("gcs_server", "raylet")


def main(ready: Path, command: Sequence[str]) -> int:
    """Run `ray start …`, make the file *ready*, then watch what it left running."""
    ready.unlink(missing_ok=True)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    started = subprocess.run(command, check=False)
    if started.returncode != 0:
        return started.returncode
    vital = _vital()
    if len(vital) < len(_VITAL):
        sys.stderr.write(f"ray: of {_VITAL} only {[one.name() for one in vital]} run\n")
        return 1
    sys.stderr.write(f"ray: watching {[one.pid for one in vital]}\n")
    ready.touch()
    while not stop.wait(_LOOK_S):
        dead = [one.pid for one in vital if not is_alive(one)]
        if dead:
            sys.stderr.write(f"ray: process {dead} of the head has died\n")
            return 1
    for one in reversed(vital):
        if is_alive(one):
            one.terminate()
    psutil.wait_procs(vital, timeout=_FAREWELL_S)
    return 0


def _vital() -> list[psutil.Process]:
    """Return the head's server and its raylet; they belong to this process's own session."""
    found = {}
    for process in psutil.process_iter(["name"]):
        name = process.info["name"]
        if name in _VITAL and _session_of(process.pid) == os.getsid(0):
            found[name] = process
    return [found[name] for name in _VITAL if name in found]


def _session_of(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
