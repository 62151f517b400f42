# SPDX-License-Identifier: Apache-2.0
"""data add|push|pull|list|restore: contents become versions of a project's datasets, and versions contents."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from mlops.cli import output
from mlops.cli.aside import IN_THE_WAY, MOST_VERSIONS, put_aside
from mlops.cli.errors import CliError, InputError
from mlops.cli.gateway import Gateway
from mlops.cli.options import HomeOption, JsonOption, ProjectOption, home_of
from mlops.cli.progress import Progress
from mlops.cli.project import project_here, project_named
from mlops.cli.runs import day, size
from mlops.cli.summary import summary
from mlops.cli.wishes import watched

app = typer.Typer(no_args_is_help=True, help="Versions of a project's datasets.")
_QUIET_S = 240.0  # so long without anybody at work on it
_Names = Annotated[
    list[str] | None, typer.Argument(metavar="DATASET…", help="Default: all of the project's.")
]
ForceOption = Annotated[
    bool,
    typer.Option(
        "--force", "-f", help="Changes that no version holds are put aside as NAME.local."
    ),
]


_COLUMNS: dict[str, Callable[[dict[str, Any]], object]] = {
    "dataset": lambda row: row["name"],
    "version": lambda row: row["version"],
    "aliases": lambda row: ", ".join(row.get("aliases") or ()),
    "files": lambda row: row["files"],
    "size": lambda row: size(row["size_bytes"]),
    "added": lambda row: day(row.get("created_at")),
    "read by": lambda row: row.get("uses"),
    "tags": lambda row: ", ".join(row.get("tags") or ()),
    "description": lambda row: row.get("description"),
    "hash": lambda row: row["hash"],
    "path": lambda row: row["path"],
    "made by run": lambda row: row.get("run_id"),
    "made by stage": lambda row: row.get("stage"),
}
_SPARE = ("made by stage", "made by run", "hash", "path", "description", "files", "tags")


@app.command()
def add(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH…", help="Files or folders, relative to the project's folder."),
    ],
    name: Annotated[
        str,
        typer.Option(
            help="Dataset name, for one path; default: as in mlops.toml, else the file's."
        ),
    ] = "",
    reread: Annotated[  # noqa: FBT002 - an option
        bool,
        typer.Option(
            "--reread",
            help="Read every file again, also those whose size and times are as before "
            "(what is written through a memory map may leave the times as they were).",
        ),
    ] = False,
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Version the present content of datasets; unchanged content keeps its version."""
    if name and len(paths) > 1:
        raise InputError(f"--name {name} cannot name {len(paths)} paths", "add them one by one")
    known = _names_of_paths(project)
    more = {"reread": True} if reread else {}
    wishes = [
        {"path": path, "name": name or known.get(os.path.normpath(path), ""), **more}
        for path in paths
    ]
    _all("add", project, wishes, "data.versioned", home, as_json=as_json)


@app.command()
def push(
    names: _Names = None,
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Transfer what the remote lacks."""
    wishes = [{"name": name} for name in _chosen(names, project, home)]
    _all("push", project, wishes, "data.pushed", home, as_json=as_json)


@app.command()
def pull(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="DATASET[@VERSION]…",
            help="VERSION is a number or an alias; default: the newest of all the project's.",
        ),
    ] = None,
    force: ForceOption = False,  # noqa: FBT002 - an option
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Fetch the newest versions, or those that are named, into the project's folder."""
    wishes = [_wish(name) for name in _chosen(names, project, home)]
    _all("pull", project, wishes, "data.restored", home, as_json=as_json, force=force)


@app.command()
def restore(
    name: Annotated[str, typer.Argument(metavar="DATASET", help="Dataset.")],
    version: Annotated[str, typer.Argument(help="Version to put back: its number or an alias.")],
    force: ForceOption = False,  # noqa: FBT002 - an option
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Put an earlier version into the project's folder, byte for byte."""
    if not version.isdecimal():
        wish = _wish(f"{name}@{version}")
        _all("pull", project, [wish], "data.restored", home, as_json=as_json, force=force)
        return
    wishes = [{"name": name, "version": int(version)}]
    _all("restore", project, wishes, "data.restored", home, as_json=as_json, force=force)


@app.command("list")
def list_(
    name: Annotated[str, typer.Argument(metavar="DATASET", help="Only this dataset.")] = "",
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show the versions of a project's datasets, and how many runs have read each."""
    owner = project_named(project, Path.cwd())
    found, older = _versions(owner, home, name)
    if as_json:
        output.print_json(found)
        return
    columns = tuple(_COLUMNS)
    rows = [tuple(show(row) for show in _COLUMNS.values()) for row in found]
    output.print_rows(columns, rows, f"no versions in {owner}; `mlops data add PATH`", _SPARE)
    if older:
        output.say(f"\n{older} older versions are not shown" + ("" if name else "; name a DATASET"))


def _wish(wanted: str) -> dict[str, Any]:
    name, sign, version = wanted.partition("@")
    if not name or (sign and not version):
        raise InputError(
            f"{wanted!r} is not DATASET@VERSION",
            "give a number or an alias after the @, or DATASET alone for the newest",
        )
    return {"name": name, "alias": version} if version else {"name": name}


def _names_of_paths(project: str) -> dict[str, str]:
    """Return what the project file of this folder calls the datasets at its paths."""
    try:
        here = project_here(Path.cwd())
    except InputError:
        return {}
    if project not in ("", here.name):
        return {}
    return {os.path.normpath(at): name for name, at in here.settings.data.datasets.items()}


def _versions(project: str, home: Path | None, name: str = "") -> tuple[list[dict[str, Any]], int]:
    """Return the newest versions, and how many older ones did not fit into the answer."""
    asked: dict[str, str | int] = {"project": project, "name": name, "limit": MOST_VERSIONS}
    with Gateway(home_of(home)) as gateway:
        found = gateway.query("versioning", "versions", **asked)
    return list(found["versions"]), int(found.get("older") or 0)


def _chosen(names: list[str] | None, project: str, home: Path | None) -> list[str]:
    if names:
        return names
    owner = project_named(project, Path.cwd())
    versions, older = _versions(owner, home)
    in_file = _names_of_paths(project).values() if older else ()
    # A model's artifact is fetched when somebody names it.
    known = (str(one["name"]) for one in versions if not str(one["name"]).startswith("model/"))
    found = list(dict.fromkeys((*known, *in_file)))
    if not found:
        raise InputError(f"{owner} has no versions of any dataset", "`mlops data add PATH`")
    return found


def _all(
    verb: str,
    project: str,
    wishes: list[dict[str, Any]],
    answer: str,
    home: Path | None,
    *,
    as_json: bool,
    force: bool = False,
) -> None:
    """Do one after the other; what was done before one that fails is shown, too."""
    name, type_ = project_named(project, Path.cwd()), f"cmd.data.{verb}"
    done: list[dict[str, Any]] = []
    wrong: CliError | None = None
    with Gateway(home_of(home)) as gateway, Progress(type_, quiet=as_json) as progress:
        for data in wishes:
            if len(wishes) > 1:
                progress.tell(f"{verb} {data.get('path') or data['name']}")
            try:
                done.append(_one(gateway, type_, name, data, answer, progress, force=force))
            except CliError as error:
                wrong = error
                break
    if as_json:
        output.print_json(done)
    for one in () if as_json else done:
        for event in one["events"]:
            output.say(f"{event['type']}  {summary(event)}")
    if wrong is not None:
        raise wrong


def _one(
    gateway: Gateway,
    type_: str,
    project: str,
    data: dict[str, Any],
    answer: str,
    progress: Progress,
    *,
    force: bool,
) -> dict[str, Any]:
    def sent() -> tuple[str, list[dict[str, Any]]]:
        return watched(gateway, type_, project, data, answer, progress, _QUIET_S)

    try:
        command, events = sent()
    except InputError as error:
        if not force or IN_THE_WAY not in error.what:
            raise
    else:
        return {"id": command, "events": events}
    with put_aside(gateway, project, data) as aside:
        command, events = sent()
        progress.tell(f"put aside: {aside.kept}")
    return {"id": command, "events": events, "put_aside": str(aside.kept)}
