# SPDX-License-Identifier: Apache-2.0
"""train, workflows: ask for a training, and see what waits, runs and ended."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlops.cli import output
from mlops.cli.gateway import Gateway
from mlops.cli.options import HomeOption, JsonOption, ProjectOption, home_of
from mlops.cli.project import project_named
from mlops.cli.wishes import wish


def train(
    project: ProjectOption = "",
    why: Annotated[
        str, typer.Option(help="Reason, for those who read later.")
    ] = "asked for by hand",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Queue a training of the project."""
    name = project_named(project, Path.cwd())
    wish(
        home_of(home),
        "cmd.workflow.start",
        name,
        {"kind": "train", "why": why},
        answers=["workflow.queued", "workflow.declined"],
        timeout_s=30,
        as_json=as_json,
    )


def workflows(
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show what waits, runs and ended, and why."""
    with Gateway(home_of(home)) as gateway:
        found = gateway.get("/api/v1/overview", project=project)["workflows"]
    if as_json:
        output.print_json(found)
        return
    output.print_rows(
        ("project", "workflow", "kind", "state", "why", "decision", "seconds"),
        [
            (
                one["project"],
                one["workflow_key"],
                one["kind"],
                one["state"],
                one.get("diagnosis") or one.get("why"),
                one.get("decision"),
                one.get("duration_s"),
            )
            for one in found
        ],
        "no workflows yet; `mlops train`",
    )
