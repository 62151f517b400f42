# SPDX-License-Identifier: Apache-2.0
"""package list|build|export|import|remove|containerfile|openapi: versions as Bentos, on this machine's store."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mlops.cli import output
from mlops.cli.errors import InputError, NotRunningError
from mlops.cli.gateway import Gateway
from mlops.cli.home import Home, read_json
from mlops.cli.options import (
    AnyProjectOption,
    HomeOption,
    JsonOption,
    ModelArgument,
    ProjectOption,
    VersionArgument,
    home_of,
)
from mlops.cli.progress import Progress
from mlops.cli.project import project_named
from mlops.cli.runs import size
from mlops.cli.store_desk import ask

app = typer.Typer(
    no_args_is_help=True,
    help="Versions packed to run anywhere (Bentos), in this machine's store; it needs no platform but for build.",
)
TagArgument = Annotated[
    str, typer.Argument(metavar="PACKAGE", help="As `list` shows it: NAME:VERSION.")
]
PickleOption = Annotated[
    bool,
    typer.Option("--allow-pickle", help="Also what holds pickles, which run code when loaded."),
]
FileOption = Annotated[
    Path | None, typer.Option("--output", "-o", help="Into this file; default: standard output.")
]


@app.command("list")
def list_(
    project: AnyProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show the packages of this machine: of which version, in which format, and what runs them."""
    found = ask(home_of(home), "list", _silent)
    found = [one for one in found if project in ("", one.get("labels", {}).get("project"))]
    if as_json:
        output.print_json(found)
        return
    columns = ("package", "project", "model", "version", "format", "backend", "size", "from", "why")
    none = "no packages yet; `mlops deploy` or `mlops package build` makes one"
    output.print_rows(columns, [_row(one) for one in found], none, ("why", "from", "size"))


@app.command()
def build(
    model: ModelArgument,
    version: VersionArgument,
    backend: Annotated[
        str, typer.Option(help="What is to run it; default: as [serve].backend says.")
    ] = "",
    allow_pickle: PickleOption = False,  # noqa: FBT002 - an option
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Pack a version of the registry; at once when that was done before."""
    place, name = home_of(home), project_named(project, Path.cwd())
    address = read_json(place.endpoints).get("mlflow")
    if not address:
        raise NotRunningError("nothing says where MLflow is", "start it: `mlops up`")
    serve = _settings(place, name)
    with Progress(f"package {model} {version}", quiet=as_json) as progress:
        made = ask(
            place,
            "build",
            progress.tell,
            project=name,
            model=model,
            version=version,
            backend=backend or str(serve.get("backend") or "auto"),
            mlflow_url=address,
            allow_pickle=allow_pickle or bool(serve.get("allow_pickle")),
        )
    _show(made, as_json=as_json)


@app.command()
def export(
    package: TagArgument,
    target: Annotated[Path, typer.Argument(help="A new file, or a folder for it.")] = Path(),
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Write a package to a .bento file, which `package import` and `bentoml import` read."""
    with Progress(f"export {package}", quiet=as_json) as progress:
        found = ask(
            home_of(home), "export", progress.tell, tag=package, target=str(target.absolute())
        )
    if as_json:
        output.print_json(found)
        return
    output.say(f"{found['file']}  {size(found['size_bytes'])}")


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="A .bento file of `package export`.")],
    allow_pickle: PickleOption = False,  # noqa: FBT002 - an option
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Read a package into this machine's store; it is a program: take it only from whom you trust."""
    with Progress(f"import {file.name}", quiet=as_json) as progress:
        found = ask(
            home_of(home),
            "enter",
            progress.tell,
            file=str(file.absolute()),
            allow_pickle=allow_pickle,
        )
    _show(found, as_json=as_json, word="was there already" if found["known"] else "imported")


@app.command()
def remove(
    package: TagArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Take a package out of this machine's store; what serves it is not looked at."""
    found = ask(home_of(home), "remove", _silent, tag=package)
    _show(found, as_json=as_json, word="removed")


@app.command()
def containerfile(
    package: TagArgument,
    target: FileOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Print the Containerfile of a package; its folder is the exported package, unpacked."""
    text = ask(home_of(home), "containerfile", _silent, tag=package)
    _write(text, target, "containerfile" if as_json else "")


@app.command()
def openapi(
    package: TagArgument,
    target: FileOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Print the OpenAPI document of a package, as YAML."""
    text = ask(home_of(home), "openapi", _silent, tag=package)
    _write(text, target, "openapi" if as_json else "")


def _settings(home: Home, project: str) -> Mapping[str, Any]:
    """Return `[serve]` of a project; nothing of one that is not registered."""
    try:
        with Gateway(home) as gateway:
            known = gateway.query("workspaces", "get", project=project).get("project") or {}
    except InputError:
        return {}
    settings: Mapping[str, Any] = known.get("settings", {}).get("serve") or {}
    return settings


def _show(found: Mapping[str, Any], *, as_json: bool, word: str = "packed") -> None:
    if as_json:
        output.print_json(found)
        return
    told = found.get("labels") or found
    why = f"  {told['backend']}: {told['backend_reason']}" if told.get("backend") else ""
    output.say(f"{found['bento_tag']}  {word}{why}")


def _row(one: Mapping[str, Any]) -> tuple[object, ...]:
    labels = one.get("labels") or {}
    words = ("project", "model", "version", "format", "backend")
    return (
        one["bento_tag"],
        *(labels.get(word) for word in words),
        size(one.get("size_bytes")),
        "elsewhere" if one.get("imported") else "here",
        one.get("damaged") or labels.get("backend_reason"),
    )


def _write(text: str, target: Path | None, key: str = "") -> None:
    """Write *text*; with a *key* standard output gets JSON, the text or the file's name under it."""
    if target is not None or not key:
        output.write_text(text, target)
    if key:
        output.print_json({key: text if target is None else str(target)})


def _silent(_: str) -> None:
    return None
