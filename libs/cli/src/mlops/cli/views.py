# SPDX-License-Identifier: Apache-2.0
"""Views: tables and sentences shown once, or again and again in a terminal, or as JSON for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from rich.console import Group
from rich.live import Live
from rich.text import Text

from mlops.cli import output
from mlops.cli.errors import CliError, DeniedError, InputError

_EVERY_S = 1.0
_PATIENCE_S = 30.0


@dataclass(frozen=True)
class Rows:
    """A table; the sentence *none* stands for one without rows, columns of *spare* may be left out."""

    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    none: str
    spare: Sequence[str] = ()


@dataclass(frozen=True)
class View:
    """What programs get, and what people see of it."""

    content: Mapping[str, object]
    parts: Sequence[Rows | str]


def show_again(look: Callable[[], View], *, watch: bool, as_json: bool) -> None:
    """Show what *look* finds; with *watch* again each second: live in a terminal, a line of JSON for programs."""
    if watch and as_json:
        while True:
            output.print_json_line(look().content)
            time.sleep(_EVERY_S)
    if watch and sys.stdout.isatty():
        _live(look)
    view = look()
    if as_json:
        output.print_json(view.content)
        return
    for part in view.parts:
        if isinstance(part, str):
            output.say(part)
        else:
            output.print_rows(part.columns, part.rows, part.none, part.spare)


def _live(look: Callable[[], View]) -> NoReturn:
    out, view, seen_s = output.console(), look(), time.monotonic()
    with Live(_group(view, "", out.width), console=out, auto_refresh=False) as live:
        while True:
            time.sleep(_EVERY_S)
            trouble = ""
            try:
                view, seen_s = look(), time.monotonic()
            except (InputError, DeniedError):
                raise
            except CliError as error:
                away_s = time.monotonic() - seen_s
                if away_s > _PATIENCE_S:
                    raise
                trouble = f"{error.what}; this is {away_s:.0f} s old"
            live.update(_group(view, trouble, out.width), refresh=True)


def _group(view: View, trouble: str, width: int) -> Group:
    parts = [
        Text(output.harmless(part))
        if isinstance(part, str)
        else output.fitted(part.columns, part.rows, part.none, part.spare, width)
        for part in view.parts
    ]
    notes = [Text(output.harmless(trouble), style="yellow")] if trouble else []
    return Group(*parts, *notes)
