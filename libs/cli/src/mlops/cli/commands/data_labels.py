# SPDX-License-Identifier: Apache-2.0
"""data alias|tag|remove: what people say about versions of datasets, and which ones they give up."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mlops.cli.errors import InputError
from mlops.cli.options import HomeOption, JsonOption, ProjectOption, home_of
from mlops.cli.project import project_named
from mlops.cli.wishes import wish

_WAIT_S = 30.0
_Dataset = Annotated[str, typer.Argument(metavar="DATASET", help="Dataset.")]
_Version = Annotated[int, typer.Argument(min=1, metavar="VERSION", help="Its number.")]


def alias(
    name: _Dataset,
    alias: Annotated[str, typer.Argument(metavar="NAME", help="The alias, such as production.")],
    version: Annotated[
        int | None, typer.Argument(min=1, metavar="[VERSION]", help="Where it is to point.")
    ] = None,
    remove: Annotated[  # noqa: FBT002 - an option
        bool,
        typer.Option("--remove", help="Take the alias away; the version stays."),
    ] = False,
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Point an alias at a version, wherever it pointed before; `latest` always is the newest."""
    if remove == (version is not None):
        raise InputError(
            f"alias {alias} needs either a VERSION or --remove",
            f"mlops data alias {name} {alias} 1",
        )
    owner = project_named(project, Path.cwd())
    said: dict[str, Any] = {"name": name, "alias": alias}
    if version is None:
        _say(home, "cmd.data.unalias", owner, said, "data.unaliased", as_json=as_json)
        return
    said["version"] = version
    _say(home, "cmd.data.alias", owner, said, "data.aliased", as_json=as_json)


def tag(
    name: _Dataset,
    version: _Version,
    tags: Annotated[
        list[str] | None, typer.Argument(metavar="TAG…", help="Tags it gets; no spaces, no commas.")
    ] = None,
    remove: Annotated[
        list[str] | None, typer.Option("--remove", metavar="TAG", help="A tag it loses.")
    ] = None,
    description: Annotated[
        str | None, typer.Option(help="What is to be known about it; '' for nothing.")
    ] = None,
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Give a version tags and a description; `mlops data list` shows them."""
    if not tags and not remove and description is None:
        raise InputError("nothing to say", "give TAG…, --remove TAG or --description TEXT")
    said: dict[str, Any] = {"name": name, "version": version, "add": tags or []}
    said.update(remove=remove or [], description=description)
    owner = project_named(project, Path.cwd())
    _say(home, "cmd.data.tag", owner, said, "data.tagged", as_json=as_json)


def remove(
    name: _Dataset,
    version: _Version,
    force: Annotated[  # noqa: FBT002 - an option
        bool,
        typer.Option("--force", "-f", help="Also when an alias, a run or a model names it."),
    ] = False,
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Give a version up; its number is never given again."""
    said = {"name": name, "version": version, "force": force}
    owner = project_named(project, Path.cwd())
    _say(home, "cmd.data.remove", owner, said, "data.removed", as_json=as_json)


def _say(
    home: Path | None,
    type_: str,
    project: str,
    said: Mapping[str, Any],
    answer: str,
    *,
    as_json: bool,
) -> None:
    wish(
        home_of(home),
        type_,
        project,
        said,
        answers=[answer],
        timeout_s=_WAIT_S,
        as_json=as_json,
    )
