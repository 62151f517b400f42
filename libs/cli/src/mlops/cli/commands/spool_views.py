# SPDX-License-Identifier: Apache-2.0
"""Spool views: what waits and what was refused, as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlops.cli import output
from mlops.cli.runs import day, size

if TYPE_CHECKING:
    from mlops.client.spool import Listing, Target

_MOST_REFUSED = 50


def is_of(target: Target | None, project: str) -> bool:
    """Return whether a journal is the project's; without a project all are."""
    return not project or (target is not None and target.project == project)


def print_journals(found: Sequence[Listing], project: str) -> None:
    """Print a line for each journal."""
    rows = [
        (
            state.journal[:8],
            state.target.project if state.target else None,
            "being written" if state.writing else "left behind",
            state.waiting,
            size(state.size_bytes),
            _moment(state.last_at),
            state.dropped or None,
            state.problem,
            str(one.folder),
        )
        for one in found
        for state in one.journals
        if is_of(state.target, project)
    ]
    columns = ("journal", "project", "state", "waiting", "size", "last", "dropped", "problem", "in")
    folders = " and ".join(str(one.folder) for one in found)
    output.print_rows(columns, rows, f"nothing waits in {folders}", ("in", "size", "dropped"))


def print_refused(found: Sequence[Listing], project: str) -> None:
    """Print what servers refused, the newest of it."""
    refused = [
        refusal for one in found for refusal in one.refused if is_of(refusal.target, project)
    ]
    if not refused:
        return
    output.say(f"\nrefused, {sum(one.entries for one in refused)} entries:")
    rows = [
        (one.journal[:8], one.target.project, one.run_id, one.entries, one.reason)
        for one in refused[-_MOST_REFUSED:]
    ]
    output.print_rows(("journal", "project", "run", "entries", "reason"), rows, "", ("run",))


def _moment(at: float) -> str:
    return day(datetime.fromtimestamp(at, UTC).isoformat()) if at else ""
