# SPDX-License-Identifier: Apache-2.0
"""Options and arguments that many commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from mlops.cli import completion
from mlops.cli.home import Home, find_home

HomeOption = Annotated[
    Path | None,
    typer.Option(
        "--home", envvar="MLOPS_HOME", help="The installation's folder (default: .mlops)."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
ProjectOption = Annotated[
    str,
    typer.Option(
        "--project",
        "-p",
        help="Project; default: the one whose folder this is.",
        autocompletion=completion.projects,
    ),
]
AnyProjectOption = Annotated[
    str,
    typer.Option("--project", "-p", help="Only this project.", autocompletion=completion.projects),
]
WhyOption = Annotated[
    str, typer.Option("--why", "--reason", help="Reason, for those who read later.")
]
ModelArgument = Annotated[
    str, typer.Argument(help="Registered model.", autocompletion=completion.models)
]
VersionArgument = Annotated[int, typer.Argument(min=1, help="Version in the registry.")]
RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="Id of a run, its beginning, or its name.",
        autocompletion=completion.runs,
    ),
]
WorkflowArgument = Annotated[
    str,
    typer.Argument(
        metavar="KEY",
        help="Key of a workflow, as `list` shows it.",
        autocompletion=completion.workflows,
    ),
]
BY_HAND = "asked for by hand"


def home_of(given: Path | None) -> Home:
    """Return the home that a command works with."""
    return find_home(given, os.environ, Path.cwd())
