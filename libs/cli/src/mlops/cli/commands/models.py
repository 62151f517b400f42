# SPDX-License-Identifier: Apache-2.0
"""model list|show|promote|rollback: the registry of all projects, and a person's word past the gate."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from mlops.cli import output
from mlops.cli.commands.deployments import WatchOption
from mlops.cli.errors import InputError
from mlops.cli.gateway import Gateway
from mlops.cli.options import (
    BY_HAND,
    AnyProjectOption,
    HomeOption,
    JsonOption,
    ModelArgument,
    ProjectOption,
    VersionArgument,
    WhyOption,
    home_of,
)
from mlops.cli.project import project_named
from mlops.cli.rollouts import roll_out
from mlops.cli.runs import day, figures, short, size
from mlops.cli.wishes import wish

app = typer.Typer(no_args_is_help=True, help="The registry, and a person's word past the gate.")
_ANSWER_S = 60.0


@app.command("list")
def list_(
    project: AnyProjectOption = "",
    tag: Annotated[str, typer.Option(help="Only models with this tag: KEY=VALUE.")] = "",
    compatible: Annotated[str, typer.Option(help="Only what runs on mlx, mps or coreml.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show the models of all projects, or of one: which version is champion, and what runs on Apple silicon."""
    with Gateway(home_of(home)) as gateway:
        asked = {"project": project, "tag": tag, "compatible": compatible}
        found = gateway.query("tracking", "models", **asked)["models"]
    if as_json:
        output.print_json(found)
        return
    rows = [
        (
            one["project"],
            one["name"],
            one.get("champion"),
            one.get("challenger"),
            one.get("latest"),
            _backends(one.get("apple_compatibility") or {}),
            _tags(one.get("tags") or {}),
            day(one.get("updated_at")),
        )
        for one in found
    ]
    columns = ("project", "model", "champion", "challenger", "latest", "Apple", "tags", "changed")
    none = "no models yet; `mlops workflow start`"
    output.print_rows(columns, rows, none, ("tags", "changed", "challenger"))


@app.command()
def show(
    model: ModelArgument,
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show a model's versions, what the gate said of each, and on what it runs."""
    with Gateway(home_of(home)) as gateway:
        name = _project_of(gateway, model, project)
        found = gateway.query("tracking", "model", project=name, name=model)["model"]
    if as_json:
        output.print_json(found)
        return
    _print(found)


@app.command()
def promote(
    model: ModelArgument,
    version: VersionArgument,
    project: ProjectOption = "",
    reason: WhyOption = BY_HAND,
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Make a version the champion, past the gate."""
    wish(
        home_of(home),
        "cmd.model.promote",
        project_named(project, Path.cwd()),
        {"name": model, "version": version, "reason": reason},
        answers=["model.promoted"],
        timeout_s=_ANSWER_S,
        as_json=as_json,
    )


@app.command()
def rollback(
    model: ModelArgument,
    to_version: Annotated[
        int | None,
        typer.Option("--to", min=1, help="Any earlier version. Default: the one before."),
    ] = None,
    watch: WatchOption = False,  # noqa: FBT002 - an option
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Serve the version before again, or the one named, all at once."""
    name = project_named(project, Path.cwd())
    data = {"model": model, "to_version": to_version}
    roll_out("cmd.model.rollback", name, data, home_of(home), watch=watch, as_json=as_json)


def _project_of(gateway: Gateway, model: str, given: str) -> str:
    """Return the project of a model: the named one, else the only one that has it, else the one of this folder."""
    if given:
        return given
    found = gateway.query("tracking", "models")["models"]
    owners = sorted({str(one["project"]) for one in found if one["name"] == model})
    if len(owners) == 1:
        return owners[0]
    if not owners:
        raise InputError(
            f"no project has a model {model!r}", "`mlops model list` shows all of them"
        )
    try:
        here = project_named("", Path.cwd())
    except InputError:
        here = ""
    if here in owners:
        return here
    raise InputError(
        f"{len(owners)} projects have a model {model!r}: {', '.join(owners)}",
        "name one: --project NAME",
    )


def _print(found: Mapping[str, Any]) -> None:
    out = output.console()
    out.print(Text.assemble((found["name"], "bold"), ("  of ", "dim"), found["project"]))
    for backend, said in (found.get("apple_compatibility") or {}).items():
        out.print(Text.assemble(("  ", ""), (f"{backend:<8}", "cyan"), output.cell_of(said)))
    if found.get("tags"):
        out.print(Text.assemble("  ", ("tags    ", "cyan"), _tags(found["tags"])))
    out.print()
    columns = ("version", "aliases", "gate", "said", "metrics", "size", "flavours", "run", "made")
    rows = [
        (
            one["version"],
            output.cell_of(", ".join(one.get("aliases") or ())),
            *_gate(one.get("gate") or {}),
            figures(one.get("metrics") or {}, 2),
            size(one.get("size_bytes")),
            ", ".join(one.get("flavors") or ()),
            (one.get("run_id") or "")[:8],
            day(one.get("created_at")),
        )
        for one in found["versions"]
    ]
    output.print_rows(columns, rows, "no versions", ("flavours", "size", "made", "run", "metrics"))


def _gate(gate: Mapping[str, Any]) -> tuple[str, str]:
    if not gate:
        return "", ""
    reason = gate.get("reason") or ""
    if reason or gate.get("candidate") is None:
        return str(gate.get("decision")), str(reason)
    beside = (
        f"{gate.get('metric')} {short(gate['candidate'])} against {short(gate.get('champion'))}"
    )
    return str(gate.get("decision")), beside


def _backends(compatibility: Mapping[str, str]) -> str:
    return ", ".join(name for name, said in compatibility.items() if said.startswith("yes"))


def _tags(tags: Mapping[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in tags.items())
