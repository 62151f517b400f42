# SPDX-License-Identifier: Apache-2.0
"""events dlq list|show|replay|discard: messages that a service gave up."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlops.cli import output
from mlops.cli.bus import with_bus
from mlops.cli.errors import InputError
from mlops.cli.home import Home
from mlops.cli.options import HomeOption, JsonOption, home_of

if TYPE_CHECKING:
    from mlops.chassis.bus import DeadLetter
    from mlops.chassis.bus_nats import NatsBus

app = typer.Typer(no_args_is_help=True, help="Messages that a service gave up.")
_Number = Annotated[int, typer.Argument(min=1, help="Its number, as `list` shows it.")]


@app.command("list")
def list_(home: HomeOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002 - an option
    """Show all dead letters."""
    letters = _letters(home_of(home))
    if as_json:
        output.print_json([_as_json(letter) for letter in letters])
        return
    output.print_rows(
        ("number", "died at", "subject", "given up by", "tries", "reason"),
        [
            (
                letter.sequence,
                letter.died_at.astimezone().strftime("%Y-%m-%d %H:%M:%S"),
                letter.subject,
                letter.service,
                letter.deliveries,
                letter.reason,
            )
            for letter in letters
        ],
        "no dead letters",
    )


@app.command()
def show(number: _Number, home: HomeOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002 - an option
    """Show one dead letter with the whole message."""
    found = _as_json(_letter(home_of(home), number))
    if as_json:
        output.print_json(found)
    else:
        output.print_fields(found)


@app.command()
def replay(number: _Number, home: HomeOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002 - an option
    """Give a message back to the service that gave it up."""
    place = home_of(home)
    letter = _letter(place, number)
    with_bus(place, lambda bus: bus.replay(number))
    _tell(letter, f"given back to {letter.service}", as_json=as_json)


@app.command()
def discard(number: _Number, home: HomeOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002 - an option
    """Forget a dead letter."""
    place = home_of(home)
    letter = _letter(place, number)
    with_bus(place, lambda bus: bus.discard(number))
    _tell(letter, "forgotten", as_json=as_json)


def _tell(letter: DeadLetter, done: str, *, as_json: bool) -> None:
    if as_json:
        output.print_json({"number": letter.sequence, "subject": letter.subject, "done": done})
        return
    output.say(f"{letter.subject} {done}")


def _letters(home: Home) -> list[DeadLetter]:
    async def work(bus: NatsBus) -> list[DeadLetter]:
        return await bus.list()

    return with_bus(home, work)


def _letter(home: Home, number: int) -> DeadLetter:
    for letter in _letters(home):
        if letter.sequence == number:
            return letter
    raise InputError(f"no dead letter {number}", "`mlops events dlq list` shows their numbers")


def _as_json(letter: DeadLetter) -> dict[str, Any]:
    return {
        "number": letter.sequence,
        "died_at": letter.died_at.isoformat(),
        "subject": letter.subject,
        "service": letter.service,
        "deliveries": letter.deliveries,
        "reason": letter.reason,
        "message": _message(letter.payload),
    }


def _message(payload: bytes) -> object:
    try:
        return json.loads(payload)
    except ValueError:
        return payload.decode(errors="replace")
