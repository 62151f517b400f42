# SPDX-License-Identifier: Apache-2.0
"""Output: results on standard output, as text for people or JSON for programs; errors on standard error.

Names, tags and reasons were written by others: what a terminal would obey in them is left out.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.cells import cell_len
from rich.console import Console
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from mlops.cli.errors import CliError

Justify = Literal["left", "right"]

_WIDE = 200  # no terminal cuts lines here; a pipe should not either
_GAP = 2
_NAME = 40
_STYLES = {
    "red": ("failed", "killed", "refused", "reverted", "rejected", "declined", "critical", "stale"),
    "green": ("finished", "completed", "ready", "champion", "passed", "active", "ok", "yes", "✓"),
    "yellow": ("running", "started", "queued", "warning", "challenger", "waiting", "degraded"),
    "bold red": ("✗",),
    "bold yellow": ("!",),
    "dim": ("-", "archived", "removed", "cancelled", "skipped", "stopped"),
}
_STYLE_OF = {word: style for style, words in _STYLES.items() for word in words}


# Whole sequences that a terminal obeys: titles and the like, then colours and moves.
_SEQUENCES = re.compile(r"\x1b[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b\[[0-?]*[ -/]*[@-~]")
# What is left of them, and what turns the direction of writing.
_UNSEEN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_HALVES = re.compile(r"[\ud800-\udfff]")


class _Harmless(Console):
    """A console on which text is only text."""

    def render(self, *things: Any, **more: Any) -> Iterable[Segment]:
        """Leave out of every text what a terminal would obey; Rich's own commands stay."""
        for one in super().render(*things, **more):
            yield one if one.control else Segment(harmless(one.text), one.style)

    def on_broken_pipe(self) -> None:
        """Let the word end as the one that reads wishes, not as a failure."""
        raise BrokenPipeError


def harmless(text: str) -> str:
    """Return what can be seen of a text that others wrote."""
    return _HALVES.sub("\ufffd", _UNSEEN.sub("", _SEQUENCES.sub("", text)))


def console() -> Console:
    """Return where results go."""
    return _Harmless(highlight=False, width=None if sys.stdout.isatty() else _WIDE)


def errors() -> Console:
    """Return where errors and progress go."""
    return _Harmless(stderr=True, highlight=False, width=None if sys.stderr.isatty() else _WIDE)


def write_text(text: str, file: Path | None) -> None:
    """Write what other programs are to read, to a file or to standard output; CliError where it cannot be written."""
    if file is None:
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CliError(
            f"{file} cannot be written: {error.strerror}", "give another file"
        ) from error


def print_json(content: object) -> None:
    """Print a result for programs."""
    sys.stdout.write(as_json(content, indent=2) + "\n")
    sys.stdout.flush()


def print_json_line(content: Mapping[str, object]) -> None:
    """Print one of many results for programs: a line of JSON."""
    sys.stdout.write(as_json(content) + "\n")
    sys.stdout.flush()


def as_json(content: object, indent: int | None = None) -> str:
    """Return JSON that every reader takes: a figure that is none, such as NaN, is null."""
    try:
        return json.dumps(content, indent=indent, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(content), indent=indent, default=str, allow_nan=False)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    return [_finite(one) for one in value] if isinstance(value, list | tuple) else value


def print_rows(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    none: str,
    spare: Sequence[str] = (),
) -> None:
    """Print a table for people, or the sentence *none* when it has no rows.

    A terminal that is too narrow loses the columns of *spare*, the first of them first.
    """
    out = console()
    out.print(fitted(columns, rows, none, spare, out.width))


def fitted(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    none: str,
    spare: Sequence[str],
    width: int,
) -> Table | Text:
    """Return what `print_rows` prints on so many columns."""
    cells = [[cell_of(cell) for cell in row] for row in rows]
    if not cells:
        return Text(none)
    kept = _fitting(columns, cells, spare, width)
    shown = [[row[at] for at in kept] for row in cells]
    return table_of([columns[at] for at in kept], shown, heads=any(columns))


def print_fields(content: Mapping[str, object], depth: int = 0) -> None:
    """Print an object for people: a line for each field, inner objects below their name."""
    out, margin = console(), "  " * depth
    wide = max((len(name) for name in content), default=0)
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            out.print(Text(f"{margin}{name}", style="bold"))
            print_fields(value, depth + 1)
            continue
        shown = json.dumps(value, default=str) if isinstance(value, list | Mapping) else value
        head = Text.assemble(margin, (f"{name:<{wide}}  ", "cyan"))
        out.print(head.append_text(cell_of(shown)), soft_wrap=True)


def table_of(
    columns: Sequence[str],
    rows: Sequence[Sequence[Text]],
    *,
    heads: bool = True,
    right: Iterable[int] = (),
) -> Table:
    """Return a table of cells; columns of numbers, and those of *right*, stand right."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=heads)
    at_right = set(right)
    for at, column in enumerate(columns):
        numeric = heads and column and all(_is_number(row[at].plain) for row in rows)
        justify: Justify = "right" if numeric or at in at_right else "left"
        wide = max((row[at].cell_len for row in rows), default=0)
        names = at == 0 and wide <= _NAME  # of what the row is about: the last to be broken
        table.add_column(Text(column), overflow="fold", justify=justify, no_wrap=names)
    for row in rows:
        table.add_row(*row)
    return table


def cell_of(value: object) -> Text:
    """Return a value as a cell: nothing as a dash, known words in their colour."""
    if isinstance(value, Text):
        return value
    text = harmless(words(value))
    return Text(text, style=_STYLE_OF.get(text.lower(), ""))


def words(value: object) -> str:
    """Return a value as people read it."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)


def say(text: str, *, quiet: bool = False) -> None:
    """Print a sentence for people, unless *quiet*: then only programs read here."""
    if not quiet:
        console().print(Text(harmless(text)))


def complain(error: CliError) -> None:
    """Print what is wrong, which, and the fix."""
    out = errors()
    out.print(Text.assemble(("error: ", "bold red"), harmless(error.what)))
    if error.fix:
        out.print(Text.assemble(("fix:   ", "bold"), harmless(error.fix)))


def _fitting(
    columns: Sequence[str], rows: Sequence[Sequence[Text]], spare: Sequence[str], width: int
) -> list[int]:
    wide = [
        max(
            cell_len(column),
            *(max(map(cell_len, row[at].plain.splitlines() or [""])) for row in rows),
        )
        for at, column in enumerate(columns)
    ]
    kept = list(range(len(columns)))
    silent = [name for name in spare if all(row[columns.index(name)].plain == "-" for row in rows)]
    for name in (*silent, *(name for name in spare if name not in silent)):
        if sum(wide[at] for at in kept) + _GAP * (len(kept) - 1) <= width:
            break
        kept.remove(columns.index(name))
    return kept


def _is_number(text: str) -> bool:
    return text == "-" or text[:1].isdigit() or (text[:1] in "+-" and text[1:2].isdigit())
