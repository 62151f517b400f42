# SPDX-License-Identifier: Apache-2.0
"""events tail|show|publish and events dlq …: what is said on the bus, and what was given up."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from mlops.cli import completion, output, publishing
from mlops.cli.bus import with_bus
from mlops.cli.commands import dlq
from mlops.cli.errors import CliError, InputError
from mlops.cli.gateway import Gateway
from mlops.cli.options import HomeOption, JsonOption, ProjectOption, home_of
from mlops.cli.project import project_named
from mlops.cli.summary import summary

if TYPE_CHECKING:
    from mlops.chassis.bus import Recorded
    from mlops.chassis.bus_nats import NatsBus

_SCOPE = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")  # one word of a subject, as in the messages
app = typer.Typer(no_args_is_help=True, help="What is said on the bus, and what was given up.")
app.add_typer(dlq.app, name="dlq")


@app.command()
def tail(
    types: Annotated[
        list[str] | None, typer.Option("--type", "-t", help="Type, or a pattern such as 'model.*'.")
    ] = None,
    project: Annotated[
        str,
        typer.Option(
            "--project",
            "-p",
            help="Only this project (or node).",
            autocompletion=completion.projects,
        ),
    ] = "",
    since: Annotated[str, typer.Option(help='How far back: "10m", "2h", "all", or a time.')] = "",
    follow: Annotated[bool, typer.Option(help="Go on with what comes.")] = True,  # noqa: FBT002 - an option
    count: Annotated[
        int, typer.Option("--count", "-n", min=0, help="End after so many; 0 never.")
    ] = 0,
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show messages as they are stored, one a line."""
    if project and not _SCOPE.fullmatch(project):
        raise InputError(
            f"{project!r} can be no project and no node", "`mlops projects` shows the names"
        )
    wanted = matching_types(types or ())
    begin = beginning(since, datetime.now(UTC), live=follow)

    async def work(bus: NatsBus) -> None:
        shown = 0
        stream = bus.follow(wanted, project or "*", since=begin, live=follow)
        async for recorded in stream:
            _print(recorded, as_json=as_json)
            shown += 1
            if count and shown >= count:
                break

    with_bus(home_of(home), work)


@app.command()
def show(
    event_id: Annotated[str, typer.Argument(metavar="ID", help="Id of an event or command.")],
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show one message as it stands on the bus."""

    async def work(bus: NatsBus) -> dict[str, Any] | None:
        async for recorded in bus.follow(live=False):
            if recorded.envelope.get("id") == event_id:
                return {"stored_at": recorded.stored_at.isoformat(), **recorded.envelope}
        return None

    found = with_bus(home_of(home), work)
    if found is None:
        raise InputError(
            f"no message {event_id!r} on the bus", "`mlops events tail --since all` lists them"
        )
    if as_json:
        output.print_json(found)
    else:
        output.print_fields(found)


@app.command()
def publish(
    what: Annotated[
        str,
        typer.Argument(
            metavar="FILE|-|TYPE", help="CloudEvents as JSON, - for standard input; or a type."
        ),
    ],
    fields: Annotated[
        str, typer.Argument(help="With a TYPE: its fields as JSON, - reads them.")
    ] = "{}",
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Say something: a command, or an event that tools outside may tell. It is checked before it is sent."""
    name = project if publishing.is_stored(what) else project_named(project, Path.cwd())
    events = publishing.messages_in(what, fields, name)
    with Gateway(home_of(home)) as gateway:
        ids, wrong = _sent(gateway, events)
    if as_json and (ids or wrong is None):
        output.print_json([{"id": id_} for id_ in ids] if len(events) > 1 else {"id": ids[0]})
    for event, id_ in () if as_json else zip(events, ids, strict=False):
        output.say(f"{event['type']} stored as {id_}")
    if wrong is not None:
        raise wrong


def _sent(
    gateway: Gateway, events: Sequence[Mapping[str, Any]]
) -> tuple[list[str], CliError | None]:
    """Send one after the other; return the ids, and what kept the rest from being sent."""
    ids: list[str] = []
    for event in events:
        try:
            ids.append(publishing.send(gateway, event))
        except CliError as error:
            if ids:
                error.what += f"; {len(ids)} of {len(events)} were sent before it"
            return ids, error
    return ids, None


def matching_types(patterns: list[str] | tuple[str, ...]) -> list[str]:
    """Return the types of the catalogue that match; InputError for a pattern that matches none."""
    from mlops.contracts.catalogue import CATALOGUE  # noqa: PLC0415 - slow to import; help does without

    found: list[str] = []
    for pattern in (part.strip() for text in patterns for part in text.split(",")):
        types = [type_ for type_ in CATALOGUE if fnmatchcase(type_, pattern)]
        if not types:
            raise InputError(
                f"no message type {pattern!r}", f"types are: {', '.join(sorted(CATALOGUE))}"
            )
        found += [type_ for type_ in types if type_ not in found]
    return found


def beginning(text: str, now: datetime, *, live: bool, option: str = "--since") -> datetime | None:
    """Return the time that an option names; None means from the oldest, which is also what no *live* asks for."""
    from mlops.contracts.units import parse_duration  # noqa: PLC0415 - slow to import; help does without

    if not text:
        return now if live else None
    if text == "all":
        return None
    try:
        length = parse_duration(text)
        if isinstance(length, timedelta):
            return now - length
    except (ValueError, OverflowError):
        pass
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(
            f"cannot read {option} {text!r}", 'give "10m", "2h", "all" or 2026-01-31T12:00'
        ) from error
    return found if found.tzinfo else found.astimezone()


def _print(recorded: Recorded, *, as_json: bool) -> None:
    envelope = recorded.envelope
    if as_json:
        output.print_json_line(envelope)
        return
    scope = str(envelope.get("project") or envelope.get("node") or "")
    output.console().print(
        Text.assemble(
            (recorded.stored_at.astimezone().strftime("%H:%M:%S.%f")[:-3], "dim"),
            "  ",
            (f"{envelope.get('type', recorded.subject):<24}", "bold"),
            (f"{scope:<16} ", "cyan"),
            summary(envelope),
            ("  " + str(envelope.get("id", "")), "dim"),
        ),
        soft_wrap=True,
    )
