# SPDX-License-Identifier: Apache-2.0
"""data add|push|pull|restore|versions: versions of a project's datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mlops.cli import output
from mlops.cli.gateway import Gateway
from mlops.cli.options import HomeOption, JsonOption, ProjectOption, home_of
from mlops.cli.project import project_named
from mlops.cli.wishes import wish

app = typer.Typer(no_args_is_help=True, help="Versions of a project's datasets.")
_WAIT_S = 240.0
_Name = Annotated[str, typer.Argument(help="Dataset.")]


@app.command()
def add(
    path: Annotated[str, typer.Argument(help="File or folder, relative to the project's folder.")],
    project: ProjectOption = "",
    name: Annotated[str, typer.Option(help="Dataset name; default: the file's.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Version the present content of a dataset; unchanged content keeps its version."""
    _wish("add", project, {"path": path, "name": name}, "data.versioned", home, as_json=as_json)


@app.command()
def push(
    name: _Name,
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Transfer what the remote lacks."""
    _wish("push", project, {"name": name}, "data.pushed", home, as_json=as_json)


@app.command()
def pull(
    name: _Name,
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Fetch the newest version into the project's folder."""
    _wish("pull", project, {"name": name}, "data.restored", home, as_json=as_json)


@app.command()
def restore(
    name: _Name,
    version: Annotated[int, typer.Argument(min=1, help="Version to put back.")],
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Put an earlier version into the project's folder, byte for byte."""
    data = {"name": name, "version": version}
    _wish("restore", project, data, "data.restored", home, as_json=as_json)


@app.command()
def versions(
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show the versions of a project's datasets."""
    name = project_named(project, Path.cwd())
    with Gateway(home_of(home)) as gateway:
        found = gateway.get("/api/v1/events", type="data.versioned", project=name, limit=1000)
    rows = [event["data"] for event in found]
    if as_json:
        output.print_json(rows)
        return
    output.print_rows(
        ("dataset", "version", "files", "bytes", "hash", "path", "run"),
        [
            (
                row["name"],
                row["version"],
                row["files"],
                row["size_bytes"],
                row["hash"],
                row["path"],
                row.get("run_id"),
            )
            for row in rows
        ],
        f"no versions in {name}; `mlops data add PATH`",
    )


def _wish(
    verb: str, project: str, data: dict[str, Any], answer: str, home: Path | None, *, as_json: bool
) -> None:
    name = project_named(project, Path.cwd())
    type_ = f"cmd.data.{verb}"
    wish(home_of(home), type_, name, data, answers=[answer], timeout_s=_WAIT_S, as_json=as_json)
