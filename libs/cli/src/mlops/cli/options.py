# SPDX-License-Identifier: Apache-2.0
"""Options that many commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mlops.cli.home import Home, find_home

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", envvar="MLOPS_HOME", help="The installation's folder (default: .mlops)."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
ProjectOption = Annotated[
    str, typer.Option("--project", "-p", help="Project; default: the one whose folder this is.")
]


def home_of(given: Path | None) -> Home:
    """Return the home that a command works with."""
    return find_home(given, os.environ, Path.cwd())
