# SPDX-License-Identifier: Apache-2.0
"""alerts [list|show|ack|silence|unsilence|silences|channels|test]: what wants a person's attention, and who hears of it."""

from __future__ import annotations

import getpass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from mlops.cli import output
from mlops.cli.errors import CliError, InputError
from mlops.cli.gateway import Gateway
from mlops.cli.options import AnyProjectOption, HomeOption, JsonOption, ProjectOption, home_of
from mlops.cli.project import project_named
from mlops.cli.wishes import answered, show

app = typer.Typer(invoke_without_command=True, help="What wants a person's attention.")
_ANSWER_S = 30.0
_TRY_S = 60.0
_AlertArgument = Annotated[
    str, typer.Argument(metavar="ALERT", help="Id of an alert, or its beginning.")
]
_AllOption = Annotated[bool, typer.Option("--all", "-a", help="Those that are over, too.")]
_ByOption = Annotated[str, typer.Option(help="Who; default: your user name.")]


@app.callback()
def alerts(
    context: typer.Context,
    project: AnyProjectOption = "",
    everything: _AllOption = False,  # noqa: FBT002 - an option
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show what wants a person's attention."""
    if context.invoked_subcommand is None:
        _list(project, home, everything=everything, as_json=as_json)
    elif project or everything or as_json:
        raise InputError(
            "these options stand before the word, which would not hear them",
            f"write them after it: `mlops alerts {context.invoked_subcommand} …`",
        )


@app.command("list")
def list_(
    project: AnyProjectOption = "",
    everything: _AllOption = False,  # noqa: FBT002 - an option
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """List the alerts, the newest first."""
    _list(project, home, everything=everything, as_json=as_json)


@app.command("show")
def show_(
    alert: _AlertArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show one alert: what to do about it, and who was told when."""
    with Gateway(home_of(home)) as gateway:
        found = _one(gateway, alert)
    if as_json:
        output.print_json(found)
        return
    notices = found.get("notices") or []
    output.print_fields({name: value for name, value in found.items() if name != "notices"})
    output.say("")
    columns = ("channel", "why", "told_at", "tries", "error")
    rows = [[one.get(column) for column in columns] for one in notices]
    output.print_rows(columns, rows, "nobody was told yet")


@app.command()
def ack(
    alert: _AlertArgument,
    by: _ByOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Say that you have seen an alert: nobody else is told of it."""
    type_ = "cmd.alert.acknowledge"
    with Gateway(home_of(home)) as gateway:
        found = _one(gateway, alert)
        wish = {"alert_id": found["alert_id"], "by": by or getpass.getuser()}
        project = str(found["project"])
        command, told = answered(gateway, type_, project, wish, ["alert.acknowledged"], _ANSWER_S)
    show(command, type_, told, as_json=as_json)


@app.command()
def silence(
    lasts: Annotated[str, typer.Option("--for", help='How long: "30m", "2h", "1d".')],
    model: Annotated[str, typer.Option("--model", "-m", help="Only this model.")] = "",
    kind: Annotated[
        str, typer.Option(help="Only this kind: data, performance, training, deployment …")
    ] = "",
    why: Annotated[str, typer.Option(help="Reason, for those who read later.")] = "",
    by: _ByOption = "",
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Tell nobody of alerts of a project for a while; they are shown all the same."""
    name, type_ = project_named(project, Path.cwd()), "cmd.alert.silence"
    until = datetime.now(UTC) + _duration(lasts)
    wish = {"model": model or None, "kind": kind or None, "until": until.isoformat(), "why": why}
    with Gateway(home_of(home)) as gateway:
        command, told = answered(
            gateway,
            type_,
            name,
            {**wish, "by": by or getpass.getuser()},
            ["alert.silenced"],
            _ANSWER_S,
        )
    show(command, type_, told, as_json=as_json)


@app.command()
def unsilence(
    silence: Annotated[
        str, typer.Argument(metavar="SILENCE", help="Id of a silence, or its beginning.")
    ],
    by: _ByOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """End a silence before its time."""
    type_ = "cmd.alert.unsilence"
    with Gateway(home_of(home)) as gateway:
        known = gateway.get("/api/v1/alerts/silences")["silences"]
        found = _begins(known, "silence_id", silence, "mlops alerts silences")
        wish = {"silence_id": found["silence_id"], "by": by or getpass.getuser()}
        project = str(found["project"])
        command, told = answered(gateway, type_, project, wish, ["alert.unsilenced"], _ANSWER_S)
    show(command, type_, told, as_json=as_json)


@app.command()
def silences(
    project: AnyProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """List the silences: those that hold, then the ones that are over."""
    with Gateway(home_of(home)) as gateway:
        found = gateway.get("/api/v1/alerts/silences", project=project)["silences"]
    if as_json:
        output.print_json(found)
        return
    columns = ("project", "holds", "until", "model", "kind", "by", "why", "silence_id")
    rows = [[one.get(column) for column in columns] for one in found]
    output.print_rows(columns, rows, "nothing is silenced", ("silence_id", "why"))


@app.command()
def channels(
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """List the channels of alerts.toml, and what is wrong with them."""
    with Gateway(home_of(home)) as gateway:
        found = gateway.get("/api/v1/alerts/channels")
    if as_json:
        output.print_json(found)
        return
    columns = ("name", "least", "default", "quiet_now")
    rows = [[one.get(column) for column in columns] for one in found["channels"]]
    output.print_rows(columns, rows, "no channels")
    if found.get("problem"):
        output.say(f"problem: {found['problem']}")
    for project, names in found.get("missing", {}).items():
        output.say(f"problem: {project} names {', '.join(names)}, which alerts.toml has not")


@app.command("test")
def try_(
    channel: Annotated[
        str, typer.Argument(metavar="[CHANNEL]", help="Name of a channel; default: every one.")
    ] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Send a test to a channel, or to all of them; 1 when one was not taken."""
    with Gateway(home_of(home), _TRY_S) as gateway:
        if channel:
            found = {"name": channel, **_sent(gateway, channel)}
            _show_tried([found], found if as_json else None)
            return
        shown = gateway.get("/api/v1/alerts/channels")
        names = [str(one["name"]) for one in shown["channels"]]
        tried = [{"name": name, **_tried(gateway, name)} for name in names]
    if shown.get("problem"):
        tried.append({"name": "alerts.toml", "error": shown["problem"]})
    _show_tried(tried, tried if as_json else None)


def _sent(gateway: Gateway, channel: str) -> dict[str, Any]:
    return dict(gateway.post(f"/api/v1/alerts/channels/{channel}/test", {}))


def _tried(gateway: Gateway, channel: str) -> dict[str, Any]:
    # One that fails must not keep the next from being tried.
    try:
        return _sent(gateway, channel)
    except CliError as error:
        return {"error": str(error)}


def _show_tried(found: list[dict[str, Any]], for_programs: object) -> None:
    if for_programs is not None:
        output.print_json(for_programs)
    else:
        for one in found:
            why = one.get("error")
            output.say(f"{one['name']}: {why}" if why else f"{one['name']} has taken it")
    if any(one.get("error") for one in found):
        raise typer.Exit(1)


def print_alerts(found: list[dict[str, object]], none: str) -> None:
    """Print alerts as a table."""
    columns = ("project", "severity", "state", "model", "title", "alert_id")
    rows = [[one.get(column) for column in columns] for one in found]
    output.print_rows(columns, rows, none, ("alert_id",))


def _list(project: str, home: Path | None, *, everything: bool, as_json: bool) -> None:
    question = {} if everything else {"open": "true"}
    with Gateway(home_of(home)) as gateway:
        told = gateway.get("/api/v1/alerts", project=project, **question)
    found = told["alerts"]
    if as_json:
        output.print_json(found)
        return
    print_alerts([{**one, "state": _state(one)} for one in found], "no alerts")
    if told.get("left_out"):
        output.say(f"{told['left_out']} more do not fit into one answer; name a project with -p")


def _state(alert: dict[str, Any]) -> str:
    if not alert.get("open"):
        return "resolved"
    if alert.get("acknowledged_by"):
        return f"seen by {alert['acknowledged_by']}"
    return "silenced" if alert.get("silenced") else "open"


def _one(gateway: Gateway, alert: str) -> dict[str, Any]:
    known = gateway.get("/api/v1/alerts", begins=alert)["alerts"]
    return _begins(known, "alert_id", alert, "mlops alerts --all")


def _begins(known: list[dict[str, Any]], name: str, beginning: str, listing: str) -> dict[str, Any]:
    found = [one for one in known if str(one[name]).startswith(beginning)]
    exact = [one for one in found if one[name] == beginning] or found
    if len(exact) == 1:
        return exact[0]
    what = "nothing has" if not found else f"{len(found)} have"
    raise InputError(f"{what} an id that begins with {beginning!r}", f"`{listing}` lists the ids")


def _duration(text: str) -> timedelta:
    from mlops.contracts.units import parse_duration  # noqa: PLC0415 - slow to import

    try:
        found = parse_duration(text)
    except ValueError as error:
        raise InputError(f"--for {text}: {error}", 'write it as "30m", "2h" or "1d"') from error
    if not isinstance(found, timedelta) or not found:
        raise InputError(f"--for {text} is no time", 'write it as "30m", "2h" or "1d"')
    return found
