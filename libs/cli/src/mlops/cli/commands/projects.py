# SPDX-License-Identifier: Apache-2.0
"""register, projects: make a project known, and see what each service made for it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer

from mlops.cli import output
from mlops.cli.errors import CliError, InputError
from mlops.cli.gateway import Gateway
from mlops.cli.options import HomeOption, JsonOption, home_of
from mlops.cli.progress import Progress
from mlops.cli.project import project_here

PARTS = ("tracking", "versioning", "orchestration_bridge", "serving", "monitoring")
_ANSWERS = ("project.registered", "project.updated")
_WAIT_S = 60.0


def register(
    folder: Annotated[
        Path, typer.Argument(help="Folder with mlops.toml or pyproject.toml.")
    ] = Path(),
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Make a project known; every service then makes its part."""
    found = project_here(folder)
    name = found.settings.name
    data = {"settings": found.settings.model_dump(mode="json"), "path": str(found.folder)}
    with (
        Gateway(home_of(home)) as gateway,
        Progress(f"registering {name}", quiet=as_json) as progress,
    ):
        command = gateway.command("cmd.project.register", name, data)
        for event in gateway.result(command, _ANSWERS, 20):
            if event["type"] == "command.refused":
                raise InputError(event["data"]["reason"])
        project = _wait_for_parts(gateway, name, progress)
    _show([project], as_json=as_json)
    refused = {
        part: one["refused"] for part, one in project["provisioned"].items() if one["refused"]
    }
    missing = [part for part in PARTS if part not in project["provisioned"]]
    if refused:
        raise CliError(f"refused: {refused}", "correct what they name and register again")
    if missing:
        raise CliError(
            f"not provisioned yet: {', '.join(missing)}", "see `mlops status` and `mlops logs`"
        )


def projects(home: HomeOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002 - an option
    """Show the projects and what each service provisioned for them."""
    with Gateway(home_of(home)) as gateway:
        found = gateway.get("/api/v1/projects")["projects"]
    _show([_plain(project) for project in found], as_json=as_json)


def _wait_for_parts(gateway: Gateway, name: str, progress: Progress) -> dict[str, Any]:
    deadline = time.monotonic() + _WAIT_S
    project: dict[str, Any] = {"project": name, "provisioned": {}}
    while time.monotonic() < deadline:
        found = gateway.get("/api/v1/projects")["projects"]
        project = next((_plain(one) for one in found if one["project"] == name), project)
        made = [part for part in PARTS if part in project["provisioned"]]
        progress.tell(f"made: {', '.join(made) or 'nothing yet'}")
        if all(part in project["provisioned"] for part in PARTS):
            break
        time.sleep(0.3)
    return project


def _plain(project: dict[str, Any]) -> dict[str, Any]:
    parts = project.get("provisioned") or {}
    return {
        **project,
        "provisioned": {
            name: {"names": part.get("names") or {}, "refused": part.get("reason") or ""}
            for name, part in parts.items()
        },
    }


def _show(found: list[dict[str, Any]], *, as_json: bool) -> None:
    if as_json:
        output.print_json(found)
        return
    rows = [
        (one["project"], one.get("state"), part, _made(names), one.get("path"))
        for one in found
        for part, names in sorted(
            (one["provisioned"] or {"": {"names": {}, "refused": ""}}).items()
        )
    ]
    output.print_rows(
        ("project", "state", "service", "made", "folder"),
        rows,
        "no projects; `mlops register FOLDER`",
        ("folder", "state"),
    )


def _made(part: dict[str, Any]) -> str:
    if part["refused"]:
        return f"refused: {part['refused']}"
    return ", ".join(f"{name} {value}" for name, value in part["names"].items())
