# SPDX-License-Identifier: Apache-2.0
"""test, version: run the checkout's tests with what this machine has, and say which release this is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import typer

from mlops.cli import machine, output
from mlops.cli.checkout import find_checkout
from mlops.cli.errors import InputError
from mlops.cli.options import JsonOption

_GRACE_S = 5.0
# One for the tests with Ray, one for those with Airflow, one for all others (tests/together.py): most wait for servers
# most of their time, and two cores do for three of them.
_WHOLE = ["-n", "3"]


def test(context: typer.Context) -> None:
    """Run pytest (its options follow) with every real server this machine has; skips say why at the end."""
    root = find_checkout()
    if root is None:
        raise InputError(
            "there are no tests beside installed packages", "clone the repository, run ./mlops test"
        )
    found = machine.look(root, os.environ)
    output.say("real servers and tools for these tests:")
    output.print_rows(
        ("what", "there", "which, or why not"),
        [(one.name, "yes" if one.there else "no", one.detail) for one in found],
        "",
    )
    raise typer.Exit(_pytest(root, context.args, machine.environment(found, os.environ)))


def version(as_json: JsonOption = False) -> None:  # noqa: FBT002 - an option
    """Show the release of the platform and of the tools it stands on."""
    from importlib.metadata import version as version_of  # noqa: PLC0415 - slow to import

    names = (
        "mlops-cli",
        "mlflow",
        "apache-airflow",
        "ray",
        "bentoml",
        "evidently",
        "dvc",
        "nats-py",
    )
    found = {name: version_of(name) for name in names}
    if as_json:
        output.print_json(found)
        return
    output.print_rows(("", ""), found.items(), "")


def _pytest(root: Path, options: list[str], environment: dict[str, str]) -> int:
    from mlops.cli.supervisor import (  # noqa: PLC0415 - slow to import; help does without
        orphans,
        processes,
    )

    options = options or _WHOLE
    command = [sys.executable, "-m", "pytest", *options]
    output.say(f"in {root}: pytest {' '.join(options)}".rstrip())
    sys.stdout.flush()
    orphans.adopt()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        return subprocess.run(command, cwd=root, env=environment, check=False).returncode
    finally:
        # Pytest ends what its tests started; this is for a pytest that was killed.
        ended, _ = processes.end_all(lambda: processes.below(os.getpid()), _GRACE_S)
        if ended:
            output.say(f"ended {len(ended)} processes that the tests left: {sorted(ended)}")
