# SPDX-License-Identifier: Apache-2.0
"""backup, restore, import-mlflow: runs and models as a whole; the tracking service's own tools do it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mlops.cli import output
from mlops.cli.errors import CliError, InputError
from mlops.cli.home import Home
from mlops.cli.options import HomeOption, JsonOption, ProjectOption, home_of
from mlops.cli.progress import Progress
from mlops.cli.project import project_named

_Artifacts = Annotated[
    bool, typer.Option("--artifacts", help="Artifacts that are kept on S3, too.")
]
_Force = Annotated[
    bool, typer.Option("--force", help="Also over runs that are there: they are moved aside.")
]
_Promote = Annotated[
    bool, typer.Option("--promote", help="Roll out the versions with the alias champion.")
]
_INPUT = 2
_KNOWN = ("ok", "command")
# A foreign PYTHONPATH would run another tracking than the installed one.
_DROPPED = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME")


def backup(
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="A new folder for the copy.")],
    artifacts: _Artifacts = False,  # noqa: FBT002 - an option
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Copy all runs, models and artifacts of the platform; it may go on running."""
    place = _must_exist(home_of(home))
    words = ["backup", str(target.expanduser().absolute()), *(["--artifacts"] if artifacts else [])]
    _run(words, place, as_json=as_json)


def restore(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A copy that `backup` made.")],
    force: _Force = False,  # noqa: FBT002 - an option
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Put a copy back into an installation; the platform must be down."""
    words = ["restore", str(source.expanduser().absolute()), *(["--force"] if force else [])]
    _run(words, home_of(home), as_json=as_json)


def import_mlflow(
    uri: Annotated[
        str, typer.Argument(metavar="URI", help="A database (file or URI), or a folder `mlruns`.")
    ],
    artifacts: Annotated[
        Path | None,
        typer.Option(help="The folder in which that MLflow's server kept artifacts."),
    ] = None,
    promote: _Promote = False,  # noqa: FBT002 - an option
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Bring the runs and models of another MLflow into a project."""
    name = project_named(project, Path.cwd())
    words = ["import", uri, "--project", name, *(["--promote"] if promote else [])]
    words += ["--artifacts", str(artifacts.expanduser().absolute())] if artifacts else []
    _run(words, _must_exist(home_of(home)), as_json=as_json)


def _run(words: list[str], home: Home, *, as_json: bool) -> None:
    """Run a tool of the tracking service: its standard error is progress, its standard output the result."""
    command = [sys.executable, "-m", "mlops.tracking", *words, "--json"]
    told: list[str] = []
    with (
        Progress(words[0], quiet=as_json) as progress,
        tempfile.TemporaryFile("w+") as result,
        subprocess.Popen(
            command,
            env=_environment(home),
            stdout=result,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        ) as tool,
    ):
        for line in tool.stderr or ():
            told.append(line.rstrip())
            if not told[-1].startswith(f"{words[0]} failed: "):
                progress.tell(told[-1])
        code = tool.wait()
        result.seek(0)
        printed = result.read()
    if code:
        raise _failure(words[0], code, told)
    _show(words[0], printed, as_json=as_json)


def _environment(home: Home) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    return {**kept, "MLOPS_HOME": str(home.root), "MLFLOW_DISABLE_TELEMETRY": "true"}


def _must_exist(home: Home) -> Home:
    if home.root.is_dir():
        return home
    raise InputError(f"there is no installation in {home.root}", "name it: --home FOLDER")


def _failure(word: str, code: int, told: list[str]) -> CliError:
    last = next((line for line in reversed(told) if line.strip()), "it said nothing")
    if not last.startswith(f"{word} failed: "):
        return CliError(f"{word} ended with code {code}: {last}", "see the lines above")
    what, _, fix = last.removeprefix(f"{word} failed: ").rpartition("; ")
    kind = InputError if code == _INPUT else CliError
    return kind(what or fix, fix if what else "")


def _show(word: str, printed: str, *, as_json: bool) -> None:
    try:
        told = json.loads(printed)
    except ValueError:
        told = None
    found = told if isinstance(told, dict) else {"said": printed.strip()}
    if as_json:
        output.print_json(found)
        return
    output.say(f"{word}: done")
    rows = [(name, value) for name, value in _flat(found) if name not in _KNOWN]
    output.print_rows(("", ""), rows, "")


def _flat(found: Mapping[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for name, value in found.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list) else value
            rows.append((f"{prefix}{name}", text))
    return rows
