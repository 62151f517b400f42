# SPDX-License-Identifier: Apache-2.0
"""Output: results on standard output, as text for people or JSON for programs; errors on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlops.cli.errors import CliError

_WIDE = 200  # no terminal cuts lines here; a pipe should not either


def console() -> Console:
    """Return where results go."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)


def errors() -> Console:
    """Return where errors and progress go."""
    return Console(stderr=True, highlight=False, width=None if sys.stderr.isatty() else _WIDE)


def print_json(content: object) -> None:
    """Print a result for programs."""
    sys.stdout.write(json.dumps(content, indent=2, default=str) + "\n")


def print_json_line(content: Mapping[str, object]) -> None:
    """Print one of many results for programs: a line of JSON."""
    sys.stdout.write(json.dumps(content, default=str) + "\n")
    sys.stdout.flush()


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[object]], none: str) -> None:
    """Print a table for people, or the sentence *none* when it has no rows."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(_words(cell)) for cell in row))
    console().print(table if table.row_count else none)


def say(text: str) -> None:
    """Print a sentence for people."""
    console().print(Text(text))


def complain(error: CliError) -> None:
    """Print what is wrong, which, and the fix."""
    out = errors()
    out.print(Text.assemble(("error: ", "bold red"), error.what))
    if error.fix:
        out.print(Text.assemble(("fix:   ", "bold"), error.fix))


def _words(cell: object) -> str:
    if cell is None or cell == "":
        return "-"
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return str(cell)
