# SPDX-License-Identifier: Apache-2.0
"""Views: the supervisor's state as tables for people."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from mlops.cli import output
from mlops.cli.supervisor import state as told
from mlops.cli.supervisor.state import Status, Told

if TYPE_CHECKING:
    from mlops.cli.supervisor.figures import Figure

_STYLES = {
    told.WAITING: ("·", "dim"),
    told.STARTING: ("…", "yellow"),
    told.READY: ("●", "green"),
    told.DONE: ("✓", "green"),
    told.BACKOFF: ("!", "red"),
    told.STOPPING: ("…", "yellow"),
    told.STOPPED: ("○", "dim"),
}


def progress_view(found: Told, now: float) -> Table:
    """Return every component with its state, its time and where it logs."""
    table = Table(box=None, pad_edge=False, show_header=False)
    for status in found.components:
        sign, style = _STYLES.get(status.state, ("?", ""))
        note = status.error.splitlines()[0] if status.error else status.log
        table.add_row(
            Text(sign, style=style),
            Text(status.name),
            Text(status.state, style=style),
            Text(_time_of(status, now), justify="right"),
            Text(note, style="red" if status.error else "dim", overflow="ellipsis", no_wrap=True),
        )
    return table


def status_rows(found: Told, rows: Sequence[Figure]) -> None:
    """Print the status of a running platform."""
    now = time.time()
    output.print_rows(
        ("component", "state", "pid", "up for", "restarts", "memory", "address"),
        [
            (
                row.status.name,
                row.state,
                row.status.pid,
                _duration(now - row.status.ready) if row.status.ready and row.status.pid else "",
                row.status.restarts or "",
                f"{row.memory_bytes / 1e6:.0f} MB" if row.memory_bytes else "",
                row.status.address,
            )
            for row in rows
        ],
        "nothing runs",
    )
    total = sum(row.memory_bytes for row in rows) / 1e6
    output.say(f"{found.phase}; {total:.0f} MB in all")
    for row in rows:
        if row.status.error and not row.status.up:
            output.say(f"\n{row.status.name}: {row.status.error}\nfix: {row.status.fix}")


def _time_of(status: Status, now: float) -> str:
    if status.up and status.took_s is not None:
        return f"{status.took_s:.1f} s"
    if status.state == told.STARTING and status.started:
        return f"{now - status.started:.1f} s"
    if status.state == told.BACKOFF and status.retry_at:
        return f"again in {max(0.0, status.retry_at - now):.0f} s"
    return ""


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
