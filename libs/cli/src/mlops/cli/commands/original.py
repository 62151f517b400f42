# SPDX-License-Identifier: Apache-2.0
"""`efficientai-toolkit`: the names of the original plan (`mlops:setup` …), for what the words of `mlops` do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlops.cli import words
from mlops.cli.commands import checks, dashboard, data, deployments, platform, projects
from mlops.cli.errors import InputError
from mlops.cli.options import HomeOption, JsonOption, home_of
from mlops.cli.project import project_here

app = words.new("efficientai-toolkit", "The MLOps platform by the names of the original plan.")


def setup(home: HomeOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002 - an option
    """Make the installation's folder and check what the platform needs; `mlops doctor` checks the same."""
    home_of(home).root.mkdir(mode=0o700, parents=True, exist_ok=True)
    checks.doctor(home, as_json)


def register(
    project: Annotated[str, typer.Argument(help="A project's folder, or its name from inside it.")],
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Make a project known; every service then makes its part."""
    projects.register(_folder_of(project), home, as_json)


def _folder_of(project: str) -> Path:
    if Path(project).is_dir():
        return Path(project)
    here = project_here(Path.cwd())
    if here.name == project:
        return here.folder
    raise InputError(
        f"{project!r} is no folder, and the project of this one is {here.name!r}",
        "name the project's folder, or go there",
    )


for name, word in (
    ("setup", setup),
    ("status", platform.status),
    ("start", platform.up),
    ("stop", platform.down),
    ("register", register),
    ("dashboard", dashboard.dashboard),
    ("dvc-add", data.add),
    ("dvc-push", data.push),
    ("dvc-pull", data.pull),
    ("deploy", deployments.deploy),
    ("list-deployments", deployments.deployments),
):
    app.command(f"mlops:{name}")(word)
