# SPDX-License-Identifier: Apache-2.0
"""Run the supervisor in this process: `python -m mlops.cli.supervisor --home FOLDER`; `mlops up` does it detached.

With `--installation FOLDER` it is a node's: the home is then that of the node, and it works for the installation.
"""

from __future__ import annotations

import argparse
import asyncio
import fcntl
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from mlops.cli.errors import CliError
from mlops.cli.home import Home
from mlops.cli.supervisor import daemon, node_plan, processes
from mlops.cli.supervisor import state as told
from mlops.cli.supervisor.component import Component
from mlops.cli.supervisor.plan import settle


def main() -> int:
    """Hold the home's lock, end what an earlier supervisor left, then keep everything running."""
    arguments = _arguments()
    home = Home(arguments.home)
    home.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(home.lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        daemon.say(f"another supervisor holds {home.lock}")
        return 0
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        components, environment = _settle(home, arguments)
    except (OSError, ValueError, CliError) as error:
        daemon.say(f"cannot start: {error}")
        _tell_failure(home, str(error))
        return 1
    daemon.say(f"supervising {[component.name for component in components]} in {home.root}")
    asyncio.run(daemon.Daemon(home, components, environment).run())
    home.endpoints.unlink(missing_ok=True)
    return 0


def _settle(
    home: Home, arguments: argparse.Namespace
) -> tuple[tuple[Component, ...], Mapping[str, str]]:
    left = daemon.clear(home, [str(home.short)])
    if left:
        raise OSError(f"processes {left} of an earlier start cannot be ended; end them first")
    if arguments.installation is not None:
        installation = Home(arguments.installation)
        way = node_plan.Way.of(installation)
        made = node_plan.components(installation, home, way)
        return made, node_plan.environment(os.environ, way)
    plan = settle(home, os.environ, arguments.only, arguments.without)
    return plan.components, plan.environment


def _tell_failure(home: Home, error: str) -> None:
    pid, before = os.getpid(), told.read(home)
    failed = told.Told(
        pid=pid,
        created=processes.created(pid),
        phase="failed",
        error=error,
        past=tuple(before.roots.items()),
        first=before.first,
    )
    try:
        told.write(home, failed)
    except OSError as second:
        daemon.say(f"cannot write {home.state}: {second}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mlops supervisor")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--installation", type=Path, default=None)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--without", action="append", default=[])
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
