# SPDX-License-Identifier: Apache-2.0
"""telemetry: what the hardware of a machine did, read from recordings of any tool."""

from __future__ import annotations

import subprocess
import sys
from typing import Annotated

import typer

from mlops.cli.options import JsonOption

app = typer.Typer(help="Hardware telemetry: recordings and what is in them.", no_args_is_help=True)


@app.command()
def parse(
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE", help="A file, a /sys tree, or - for standard input."),
    ],
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Print the hardware samples of recordings, whichever tool made them; 1 when one cannot be read."""
    # The agent's own parsers, in a process of their own: the command line stays light.
    command = [sys.executable, "-m", "mlops.telemetry_agent", "parse"]
    command += ["--json"] if as_json else []
    sys.stdout.flush()
    ended = subprocess.run([*command, "--", *files], check=False)
    raise typer.Exit(ended.returncode)
