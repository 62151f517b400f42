# SPDX-License-Identifier: Apache-2.0
"""validate: is a project ready to be registered and run; every check with its fix."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlops.cli import output
from mlops.cli.errors import CliError, NotRunningError
from mlops.cli.gateway import Gateway
from mlops.cli.options import HomeOption, JsonOption, home_of
from mlops.cli.progress import Progress
from mlops.cli.validation import folder as of_folder
from mlops.cli.validation import running
from mlops.cli.validation.check import FAILED, WARNED, Check

_SIGNS = {"passed": "✓", "warning": "!", "failed": "✗", "skipped": "-"}


def validate(
    folder: Annotated[
        Path, typer.Argument(help="Folder with mlops.toml or pyproject.toml.")
    ] = Path(),
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Check a project before it is registered or run: 1 when something would fail."""
    with Progress("looking", quiet=as_json) as progress:
        found, project = of_folder.examine(folder)
        name = project.name if project else ""
        try:
            with Gateway(home_of(home)) as gateway:
                found += running.checks(gateway, name) if name else ()
                _publish(gateway, name, found, progress)
        except NotRunningError as error:
            found.append(running.without(error))
        except CliError as error:
            found.append(running.unclear(error))
    _show(found, as_json=as_json)
    failed = [one.check for one in found if one.outcome == FAILED]
    if failed:
        raise CliError(f"not ready: {', '.join(dict.fromkeys(failed))}", "see the fixes above")


def _publish(gateway: Gateway, project: str, found: list[Check], progress: Progress) -> None:
    if not any(one.check == "workspace" and one.fix != running.REGISTER for one in found):
        return  # the platform does not know the project, or does not answer
    try:
        running.publish(gateway, project, found)
    except CliError as error:
        progress.tell(f"the platform was not told: {error.what}")


def _show(found: list[Check], *, as_json: bool) -> None:
    if as_json:
        output.print_json([one.as_json() for one in found])
        return
    output.print_rows(
        ("", "check", "found", "fix"),
        [
            (_SIGNS[one.outcome], one.check, one.found, one.fix if one.outcome != "passed" else " ")
            for one in found
        ],
        "",
    )
    warned = sum(one.outcome == WARNED for one in found)
    if warned and not any(one.outcome == FAILED for one in found):
        output.say(f"\nready; {warned} of it could be better")
