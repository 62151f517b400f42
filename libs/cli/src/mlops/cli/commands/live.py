# SPDX-License-Identifier: Apache-2.0
"""live: a run's metrics as they come: a table with their courses in a terminal, lines elsewhere."""

from __future__ import annotations

import sys

from rich.console import Group
from rich.live import Live
from rich.text import Text

from mlops.cli import output
from mlops.cli.gateway import Gateway
from mlops.cli.runs import ENDED, short, sparkline
from mlops.cli.tailing import SYSTEM, Course, Look, follow, lines

_OTHERS = 90  # columns that the rest of the table takes


def watch(gateway: Gateway, run_id: str, *, on: bool, system: bool, as_json: bool) -> str:
    """Show what comes until the run ends; return how it stands."""
    looks = follow(gateway, run_id, on=on)
    if not as_json and sys.stdout.isatty():
        return _table(looks, run_id, system=system)
    status = ""
    for look in looks:
        status = look.status
        _print(look, system=system, as_json=as_json)
    if as_json:
        output.print_json_line({"status": status})
    else:
        output.say(status.lower())
    return status


def _print(look: Look, *, system: bool, as_json: bool) -> None:
    if not as_json:
        for line in lines(look.points, system):
            output.say(line)
        sys.stdout.flush()
        return
    for point in look.points:
        if system or not point.name.startswith(SYSTEM):
            output.print_json_line(
                {
                    "metric": point.name,
                    "value": point.value,
                    "step": point.step,
                    "at_ms": point.at_ms,
                }
            )


def _table(looks: object, run_id: str, *, system: bool) -> str:
    course, status = Course(), ""
    out = output.console()
    with Live(console=out, refresh_per_second=4) as live:
        for look in looks:  # type: ignore[attr-defined]
            course.add(look.points)
            status = look.status
            live.update(_view(course, run_id, status, system=system, width=out.width))
    return status


def _view(course: Course, run_id: str, status: str, *, system: bool, width: int) -> Group:
    names = [name for name in course.last if system or not name.startswith(SYSTEM)]
    wide = max(8, min(40, width - _OTHERS + 24))
    rows = [_row(course, name, wide) for name in names]
    sign = "●" if status not in ENDED else "■"
    head = Text.assemble((f"{sign} ", "green" if status == ENDED[0] else "yellow"), ("run ", "dim"))
    head.append(run_id)
    head.append(f"  {status.lower()}", style="bold")
    if not rows:
        return Group(head, Text("no metrics yet", style="dim"))
    columns = ("metric", "step", "last", "lowest", "highest", "course")
    return Group(head, output.table_of(columns, rows))


def _row(course: Course, name: str, wide: int) -> list[Text]:
    values, last = course.values.get(name, []), course.last[name]
    return [
        Text(name, style="cyan"),
        Text(str(last.step)),
        Text(short(last.value), style="bold"),
        Text(short(min(values)) if values else "-"),
        Text(short(max(values)) if values else "-"),
        Text(sparkline(values, wide), style="green"),
    ]
