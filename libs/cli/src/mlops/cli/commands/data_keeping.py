# SPDX-License-Identifier: Apache-2.0
"""data verify|gc: contents are read again and repaired, and the space of versions that were given up is freed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mlops.cli import output
from mlops.cli.errors import CliError
from mlops.cli.gateway import Gateway
from mlops.cli.options import HomeOption, JsonOption, ProjectOption, home_of
from mlops.cli.progress import Progress
from mlops.cli.project import project_named
from mlops.cli.runs import size
from mlops.cli.wishes import watched

_QUIET_S = 240.0  # so long without anybody at work on it


def verify(
    name: Annotated[str, typer.Argument(metavar="[DATASET]", help="Default: all.")] = "",
    repair: Annotated[  # noqa: FBT002 - an option
        bool, typer.Option("--repair", help="Put a damaged copy right from the other one.")
    ] = False,
    deep: Annotated[  # noqa: FBT002 - an option
        bool,
        typer.Option("--deep", help="Download and read everything on a remote elsewhere, too."),
    ] = False,
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Read the contents of versions again, in the cache and on the remote; exit code 1 when one is not whole."""
    said = {"name": name, "repair": repair, "deep": deep}
    found = _told(home, project, "cmd.data.verify", said, "data.verified", as_json=as_json)
    if not as_json:
        output.say(
            f"{found['versions']} versions, {found['objects']} objects, {size(found['size_bytes'])} read; "
            f"{found['repaired']} repaired ({found['repaired_on_remote']} of them on the remote), "
            f"{found['damaged_versions']} versions are not whole"
        )
        if found["unread"]:
            output.say(
                f"{found['unread']} objects are on the remote, but its server does not prove what is in them: "
                "`--deep` reads them"
            )
    if found["damaged_versions"]:
        shown = ", ".join(f"{one['name']} version {one['version']}" for one in found["damaged"])
        raise CliError(f"not whole: {shown}", _fix(repair=repair))


def gc(
    dry_run: Annotated[  # noqa: FBT002 - an option
        bool, typer.Option("--dry-run", help="Only count what would be deleted.")
    ] = False,
    unnamed: Annotated[  # noqa: FBT002 - an option
        bool,
        typer.Option(
            "--unnamed",
            help="Also what no version and no .dvc file of a registered folder names since a day: what killed additions "
            "have left, but also what only another git branch or clone names. Only in the platform's own cache and "
            "remotes, not on a remote or in a cache of the project's own.",
        ),
    ] = False,
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Free the space of versions that were removed; what came within the last hour stays for now."""
    said = {"dry_run": dry_run, "unnamed": unnamed}
    found = _told(home, project, "cmd.data.collect", said, "data.collected", as_json=as_json)
    if not as_json:
        verb = "would be deleted" if dry_run else "deleted"
        whose = " and of nobody" if unnamed else ""
        output.say(
            f"{found['objects']} objects of {found['versions']} removed versions{whose} {verb}, "
            f"{size(found['size_bytes'])}"
        )
        if unnamed:
            output.say(
                "what nobody names was looked for in the platform's own cache and remotes only: elsewhere others may need it"
            )


def _told(
    home: Path | None,
    project: str,
    type_: str,
    said: dict[str, Any],
    answer: str,
    *,
    as_json: bool,
) -> dict[str, Any]:
    owner = project_named(project, Path.cwd())
    with Gateway(home_of(home)) as gateway, Progress(type_, quiet=as_json) as progress:
        command, events = watched(gateway, type_, owner, said, answer, progress, _QUIET_S)
    if as_json:
        output.print_json({"id": command, "events": events})
    told: dict[str, Any] = next(event["data"] for event in events if event["type"] == answer)
    return told


def _fix(*, repair: bool) -> str:
    if repair:
        return "bring the file back and `mlops data add` it, or `mlops data remove` the version"
    return "`mlops data verify --repair` puts right what the other copy still has"
