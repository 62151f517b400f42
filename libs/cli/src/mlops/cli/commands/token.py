# SPDX-License-Identifier: Apache-2.0
"""token create|inspect: keys that open some projects, signed with the installation's own; it needs no platform."""

from __future__ import annotations

import getpass
import os
import re
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops.cli import completion, output
from mlops.cli.errors import InputError
from mlops.cli.home import Home, read_json
from mlops.cli.options import HomeOption, JsonOption, home_of

if TYPE_CHECKING:
    from mlops.chassis.tokens import Caller, Tokens

_PROJECT = re.compile(r"[a-z0-9-]{1,63}")

app = typer.Typer(
    no_args_is_help=True, help="Keys that open some projects, for people and programs."
)


class Can(StrEnum):
    """What a token lets its holder do in its projects."""

    INFER = "infer"
    READ = "read"
    WRITE = "write"


@app.command()
def create(
    project: Annotated[
        list[str],
        typer.Option(
            "--project",
            "-p",
            help="A project it opens; may be repeated.",
            autocompletion=completion.projects,
        ),
    ],
    can: Annotated[
        list[Can] | None,
        typer.Option(help="What it may do there: infer (the default), read, write; repeatable."),
    ] = None,
    expires: Annotated[str, typer.Option(help='How long it lasts: "12h", "30d".')] = "30d",
    name: Annotated[str, typer.Option(help="Whose it is; default: your user name.")] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Make a token for some projects and print it; it is kept nowhere, and ends by its time only."""
    for one in project:
        if not _PROJECT.fullmatch(one):
            raise InputError(
                f"{one!r} is no name of a project", "it has 1 to 63 of a-z, 0-9 and dashes"
            )
    tokens, now = _tokens(home_of(home)), datetime.now(UTC)
    acts = [one.value for one in can or [Can.INFER]]
    text = tokens.sign(name or getpass.getuser(), project, acts, now, _lasting(expires))
    if as_json:
        output.print_json({"token": text, **_as_json(tokens.judge(text, now))})
        return
    output.console().print(text, soft_wrap=True)


@app.command()
def inspect(
    token: Annotated[str, typer.Argument(help="A token, or `-` to read it from standard input.")],
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show whose a token is, what it opens and until when; a wrong one is refused, an expired one shown as such."""
    from mlops.chassis.tokens import (  # noqa: PLC0415 - slow to import; help does without
        ExpiredTokenError,
        WrongTokenError,
    )

    is_given = token != "-"  # noqa: S105 - a dash
    text = (token if is_given else typer.get_text_stream("stdin").read()).strip()
    expired = False
    try:
        caller = _tokens(home_of(home)).judge(text, datetime.now(UTC))
    except ExpiredTokenError as error:
        caller, expired = error.caller, True
    except WrongTokenError as error:
        raise InputError(f"{error.what}: {error.which}", error.fix) from error
    found = {**_as_json(caller), "state": "expired" if expired else "active"}
    if as_json:
        output.print_json(found)
        return
    shown = {key: ", ".join(one) if isinstance(one, list) else one for key, one in found.items()}
    output.print_fields({**shown, "projects": shown["projects"] or "all, and the platform itself"})


def _tokens(home: Home) -> Tokens:
    from mlops.chassis.tokens import Tokens  # noqa: PLC0415 - slow to import; help does without

    secret = os.environ.get("GATEWAY_TOKEN") or read_json(home.credentials).get("gateway_token")
    if not secret:
        raise InputError(
            f"there is no gateway_token in {home.credentials}",
            "run this where the platform runs, after `mlops up`; or name its folder with --home",
        )
    return Tokens(str(secret))


def _lasting(text: str) -> timedelta:
    from mlops.contracts.units import (  # noqa: PLC0415 - slow to import; help does without
        parse_duration,
    )

    try:
        length = parse_duration(text)
    except ValueError as error:
        raise InputError(f"--expires {text}: {error}", 'write it as "12h" or "30d"') from error
    if not isinstance(length, timedelta) or length < timedelta(seconds=1):
        raise InputError(f"--expires {text} is over at once", 'write it as "12h" or "30d"')
    return length


def _as_json(caller: Caller) -> dict[str, Any]:
    times = (caller.issued_at, caller.expires_at)
    issued_at, expires_at = (None if one is None else one.isoformat() for one in times)
    return {
        "name": caller.name,
        "projects": None if caller.projects is None else sorted(caller.projects),
        "can": sorted(caller.acts),
        "issued_at": issued_at,
        "expires_at": expires_at,
    }
