# SPDX-License-Identifier: Apache-2.0
"""top: every node live in the terminal: heat, power, GPU, memory, fans, age, the open episode."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from mlops.cli import output
from mlops.cli.errors import CliError, DeniedError, InputError
from mlops.cli.gateway import Gateway
from mlops.cli.nodes import COLUMNS, NONE, SPARE, fitting, row_of
from mlops.cli.options import HomeOption, JsonOption, home_of

_PATIENCE_S = 30.0


def top(
    home: HomeOption = None,
    once: Annotated[bool, typer.Option("--once", help="Show it once and end.")] = False,  # noqa: FBT002 - an option
    every: Annotated[float, typer.Option(min=0.5, max=60, help="Seconds between looks.")] = 2.0,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show what the hardware of all nodes does, live; ends with Ctrl-C."""
    with Gateway(home_of(home)) as gateway:
        if not as_json and not once and sys.stdout.isatty():
            _live(gateway, every)
        _show(_asked(gateway), as_json=as_json)
        while as_json and not once:
            time.sleep(every)
            _show(_asked(gateway), as_json=True)


def _asked(gateway: Gateway) -> list[dict[str, Any]]:
    found = gateway.get("/api/v1/nodes")
    nodes = found.get("nodes") if isinstance(found, Mapping) else None
    return [one for one in nodes or () if isinstance(one, dict)]


def _show(nodes: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    if as_json:
        output.print_json_line({"nodes": list(nodes)})
        return
    output.print_rows(COLUMNS, [row_of(node) for node in nodes], NONE, SPARE)


def _live(gateway: Gateway, every: float) -> NoReturn:
    out, nodes, asked_s = output.console(), _asked(gateway), time.monotonic()
    with Live(_view(nodes, "", out.width), console=out, auto_refresh=False) as live:
        while True:
            time.sleep(every)
            trouble = ""
            try:
                nodes, asked_s = _asked(gateway), time.monotonic()
            except (InputError, DeniedError):
                raise
            except CliError as error:
                away_s = time.monotonic() - asked_s
                if away_s > _PATIENCE_S:
                    raise
                trouble = f"{error.what}; these figures are {away_s:.0f} s old"
            live.update(_view(nodes, trouble, out.width), refresh=True)


def _view(nodes: Sequence[Mapping[str, Any]], trouble: str, width: int) -> Group:
    rows = [[output.cell_of(cell) for cell in row_of(node)] for node in nodes]
    kept = fitting(rows, width) if rows else []
    fitted = [[row[at] for at in kept] for row in rows]
    shown = output.table_of([COLUMNS[at] for at in kept], fitted) if rows else Text(NONE)
    notes = [Text(output.harmless(trouble), style="yellow")] if trouble else []
    return Group(shown, *notes)
