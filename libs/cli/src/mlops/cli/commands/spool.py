# SPDX-License-Identifier: Apache-2.0
"""spool list|flush|retry|discard: what training code logged and no server has yet."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops.cli import output
from mlops.cli.commands.spool_views import is_of, print_journals, print_refused
from mlops.cli.errors import CliError, InputError, NotRunningError
from mlops.cli.home import Home
from mlops.cli.options import AnyProjectOption, HomeOption, JsonOption, home_of
from mlops.cli.progress import Progress

if TYPE_CHECKING:
    from mlops.client.spool import Adopted, Connect, Delivery, Listing

app = typer.Typer(no_args_is_help=True, help="What was logged and no server has yet.")
_Folder = Annotated[
    Path | None,
    typer.Option("--folder", help="Default: this installation's, and the user's own."),
]


@app.command("list")
def list_(
    folder: _Folder = None,
    project: AnyProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show what waits, who writes it, and what a server refused; it needs no platform."""
    from mlops.client.spool import listing  # noqa: PLC0415 - slow to import; help does without

    found = [listing(one) for one in _folders(folder, home_of(home))]
    if as_json:
        output.print_json([_as_json(one, project) for one in found])
        return
    print_journals(found, project)
    print_refused(found, project)


@app.command()
def flush(
    timeout_s: Annotated[float, typer.Option("--timeout", min=1, help="Seconds at most.")] = 3600,
    folder: _Folder = None,
    project: AnyProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Deliver what ended processes left; 1 when something still waits, 3 when there is no platform for it."""
    from mlops.client.spool import flush_all  # noqa: PLC0415 - slow to import; help does without

    place = home_of(home)
    connect, missing = _connect(place)
    done: list[Delivery] = []
    with Progress("delivering", quiet=as_json) as progress:

        def tell(one: Adopted) -> None:
            problem = f", {one.problem}" if one.problem else ""
            refused = f", {one.refused} refused" if one.refused else ""
            progress.tell(
                f"{one.target.project} {one.journal[:8]}: {one.sent} sent{refused}{problem}"
            )

        for one in _folders(folder, place):
            done.append(  # noqa: PERF401 - each may take long, and the ones before count when it is interrupted
                flush_all(
                    one,
                    timeout_s=timeout_s,
                    progress=tell,
                    wanted=lambda target: is_of(target, project),
                    connect=connect,
                )
            )
    if as_json:
        output.print_json([asdict(one) for one in done])
    else:
        output.say("; ".join(str(one) for one in done if _counts(one)) or "nothing waits")
    _judge(done, missing)


@app.command()
def retry(
    journal: Annotated[str, typer.Argument(metavar="JOURNAL", help="Default: all.")] = "",
    folder: _Folder = None,
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Put what a server refused into the spool again; `flush` then delivers it."""
    from mlops.client.errors import SpoolError  # noqa: PLC0415 - slow to import; help does without
    from mlops.client.spool import retry_refused  # noqa: PLC0415 - as above

    folders = _folders(folder, home_of(home))
    meant = _refused_called(folders, journal) if journal else None
    try:
        entries = sum(retry_refused(one, meant) for one in folders)
    except SpoolError as error:
        raise CliError(str(error), "free some space there, or make it writable") from error
    if as_json:
        output.print_json({"entries": entries})
        return
    output.say(f"{entries} entries wait again; `mlops spool flush` delivers them")


@app.command()
def discard(
    journal: Annotated[str, typer.Argument(metavar="JOURNAL", help="As `list` shows it.")] = "",
    refused: Annotated[bool, typer.Option("--refused", help="What servers refused.")] = False,  # noqa: FBT002 - an option
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,  # noqa: FBT002 - an option
    folder: _Folder = None,
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Throw away what an ended process left, or what was refused; it cannot be had back."""
    if refused == bool(journal):
        raise InputError("what is to be thrown away?", "name a JOURNAL, or say --refused")
    folders = _folders(folder, home_of(home))
    _confirm("what servers refused" if refused else f"journal {journal}", yes=yes)
    entries = _thrown_away(folders, "" if refused else journal)
    if as_json:
        output.print_json({"entries": entries})
        return
    output.say(f"{entries} entries thrown away")


def _thrown_away(folders: Sequence[Path], journal: str) -> int:
    from mlops.client.errors import SpoolError  # noqa: PLC0415 - slow to import; help does without
    from mlops.client.spool import discard as throw  # noqa: PLC0415 - as above
    from mlops.client.spool import discard_refused, listing  # noqa: PLC0415 - as above

    if not journal:
        try:
            return sum(discard_refused(one) for one in folders)
        except SpoolError as error:
            raise CliError(error.problem, error.hint) from error
    found = [
        (one, state.journal)
        for one in folders
        for state in listing(one).journals
        if state.journal.startswith(journal)
    ]
    if len(found) != 1:
        which = "no journal is" if not found else f"{len(found)} journals are"
        raise InputError(f"{which} called {journal!r}", "`mlops spool list` shows them")
    try:
        return throw(*found[0])
    except SpoolError as error:
        raise CliError(error.problem, error.hint) from error


def _refused_called(folders: Sequence[Path], beginning: str) -> str:
    """Return the one journal with refused entries that is called so; `list` shows the beginnings."""
    from mlops.client.spool import listing  # noqa: PLC0415 - slow to import; help does without

    found = {refusal.journal for one in folders for refusal in listing(one).refused}
    found = {journal for journal in found if journal.startswith(beginning)}
    if len(found) != 1:
        which = "of no journal" if not found else f"of {len(found)} journals"
        raise InputError(
            f"entries {which} called {beginning!r} were refused", "`mlops spool list` shows which"
        )
    return found.pop()


def _folders(given: Path | None, home: Home) -> list[Path]:
    """Return where to look: a client that found no platform has written into the user's own folder."""
    from mlops.client.spool import spool_folder  # noqa: PLC0415 - slow to import; help does without

    if given is not None:
        folder = given.expanduser().absolute()
        if not folder.is_dir():
            raise InputError(f"there is no folder {folder}", "correct --folder")
        return [folder]
    return list(dict.fromkeys([spool_folder(home.root), spool_folder()]))


def _connect(home: Home) -> tuple[Connect, str]:
    """Return what opens servers, and why the platform's own is not known, where it is not."""
    from mlops.client import endpoints  # noqa: PLC0415 - slow to import; help does without
    from mlops.client.errors import NotRunningError as Missing  # noqa: PLC0415 - as above
    from mlops.client.spool import connector  # noqa: PLC0415 - as above

    try:
        where = endpoints.load(environ={**os.environ, "MLOPS_HOME": str(home.root)})
    except Missing:
        return connector(), f"no platform runs in {home.root}"
    return connector(where), ""


def _confirm(what: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError(f"{what} would be lost", "say --yes if that is meant")
    if not typer.confirm(f"throw away {what}?", err=True):
        raise InputError("left as it is")


def _judge(done: Sequence[Delivery], missing: str) -> None:
    waiting = [one for one in done if one.waiting]
    if not waiting:
        return
    reason = next((one.reason for one in waiting if one.reason), "their writers still run")
    what = f"{sum(one.waiting for one in waiting)} entries wait: {reason}"
    if missing:
        raise NotRunningError(f"{missing}; {what}", "start it with `mlops up`, then flush again")
    raise CliError(what, "`mlops spool list` shows which; `mlops status` whether tracking runs")


def _counts(one: Delivery) -> bool:
    return bool(one.sent or one.waiting or one.refused or one.dropped)


def _as_json(one: Listing, project: str) -> dict[str, Any]:
    return {
        "folder": str(one.folder),
        "waiting": one.waiting,
        "journals": [asdict(state) for state in one.journals if is_of(state.target, project)],
        "refused": [asdict(refusal) for refusal in one.refused if is_of(refusal.target, project)],
    }
