# SPDX-License-Identifier: Apache-2.0
"""models, promote, deployments, deploy, rollback, alerts: what answers now, and what a person changes by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mlops.cli import output
from mlops.cli.errors import CliError
from mlops.cli.gateway import Gateway
from mlops.cli.options import HomeOption, JsonOption, ProjectOption, home_of
from mlops.cli.project import project_named
from mlops.cli.wishes import answered, ended, show, wish

_ROLLOUT_S = 300.0
_ENDS = ("deployment.completed", "deployment.failed", "deployment.reverted")
_Model = Annotated[str, typer.Argument(help="Registered model.")]
_Version = Annotated[int, typer.Argument(min=1, help="Version in the registry.")]


def models(
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show the versions in the registry and what the gate said of each."""
    columns = ("project", "name", "version", "state", "metric", "reason", "run_id")
    _list("models", columns, project, home, "no models yet; `mlops train`", as_json=as_json)


def promote(
    model: _Model,
    version: _Version,
    project: ProjectOption = "",
    why: Annotated[str, typer.Option(help="Reason.")] = "asked for by hand",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Make a version the champion, past the gate."""
    name = project_named(project, Path.cwd())
    data = {"name": model, "version": version, "reason": why}
    answers = ["model.promoted"]
    wish(
        home_of(home),
        "cmd.model.promote",
        name,
        data,
        answers=answers,
        timeout_s=60,
        as_json=as_json,
    )


def deployments(
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show the rollouts, and which versions answer now."""
    with Gateway(home_of(home)) as gateway:
        found = gateway.get("/api/v1/deployments", project=project)
    if as_json:
        output.print_json(found)
        return
    answering = [
        (route["project"], route["model"], one["version"], f"{one['weight']:.0%}", one["url"])
        for route in found["routes"]
        for one in route["versions"]
    ]
    output.print_rows(
        ("project", "model", "version", "traffic", "replica"), answering, "nothing answers yet"
    )
    output.say("")
    columns = ("project", "deployment_id", "model", "version", "state", "phase", "reason")
    rows = [[one.get(column) for column in columns] for one in found["deployments"]]
    output.print_rows(columns, rows, "no rollouts yet")


def deploy(
    model: _Model,
    version: _Version,
    project: ProjectOption = "",
    why: Annotated[str, typer.Option(help="Reason.")] = "asked for by hand",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Roll out a version and wait until it answers or the rollout is taken back."""
    _roll_out(
        "cmd.model.deploy",
        project,
        {"model": model, "version": version, "why": why},
        home,
        as_json=as_json,
    )


def rollback(
    model: _Model,
    to_version: Annotated[
        int | None, typer.Option("--to", min=1, help="Default: the one before.")
    ] = None,
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Serve the version before again."""
    data = {"model": model, "to_version": to_version}
    _roll_out("cmd.model.rollback", project, data, home, as_json=as_json)


def alerts(
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show what wants a person's attention."""
    columns = ("project", "alert_id", "severity", "state", "title", "model")
    _list("alerts", columns, project, home, "no alerts", as_json=as_json)


def _list(
    what: str,
    columns: tuple[str, ...],
    project: str,
    home: Path | None,
    none: str,
    *,
    as_json: bool,
) -> None:
    with Gateway(home_of(home)) as gateway:
        found = gateway.get("/api/v1/overview", project=project)[what]
    if as_json:
        output.print_json(found)
        return
    output.print_rows(columns, [[one.get(column) for column in columns] for one in found], none)


def _roll_out(
    type_: str, project: str, data: dict[str, Any], home: Path | None, *, as_json: bool
) -> None:
    name = project_named(project, Path.cwd())
    with Gateway(home_of(home)) as gateway:
        command, found = answered(gateway, type_, name, data, ["deployment.started"], 60)
        rollout = next(event for event in found if event["type"] == "deployment.started")
        deployment = rollout["data"]["deployment_id"]
        end = ended(gateway, name, deployment, _ENDS, _ROLLOUT_S)
    show(command, type_, [*found, *([end] if end else [])], as_json=as_json)
    if end is None:
        raise CliError(
            f"rollout {deployment} goes on for more than {_ROLLOUT_S:g} s",
            "`mlops deployments` tells",
        )
    if end["type"] != _ENDS[0]:
        raise CliError(
            f"{end['type']}: {end['data'].get('reason', '')}",
            "`mlops deployments` shows what answers now",
        )
