# SPDX-License-Identifier: Apache-2.0
"""data diff: what differs between two versions of a dataset, file by file and column by column."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mlops.cli import output
from mlops.cli.errors import CliError
from mlops.cli.gateway import Gateway
from mlops.cli.options import HomeOption, JsonOption, ProjectOption, home_of
from mlops.cli.progress import Progress
from mlops.cli.project import project_named
from mlops.cli.runs import size

_PAUSE_S = 0.3
_WAIT_S = 3600.0
_SIGNS = {"added": "+", "removed": "-", "changed": "~", "renamed": ">"}
_FIGURES = ("count", "missing", "min", "max", "mean", "distinct")


def diff(
    name: Annotated[str, typer.Argument(metavar="DATASET", help="Dataset.")],
    before: Annotated[str, typer.Argument(metavar="A", help="Version or alias.")],
    after: Annotated[
        str, typer.Argument(metavar="B", help="Version or alias; default: the newest.")
    ] = "latest",
    key: Annotated[
        str,
        typer.Option(
            metavar="COLUMN", help="Rows with the same value here are the same row, changed or not."
        ),
    ] = "",
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show what differs between two versions: files, and rows and columns of tables.

    Tables are Parquet, Arrow, CSV, TSV and JSON lines. Your folder is neither read nor changed.
    """
    owner = project_named(project, Path.cwd())
    asked = {"project": owner, "name": name, "before": before, "after": after, "key": key}
    with Gateway(home_of(home)) as gateway, Progress("data diff", quiet=as_json) as progress:
        found = _answer(gateway, asked, progress)
    if as_json:
        output.print_json(found)
        return
    _print_files(found)
    for table in found["tables"]:
        _print_table(table)
    if found.get("more_tables"):
        output.say(f"\n{found['more_tables']} more tables changed and were not looked into")


def _answer(gateway: Gateway, asked: Mapping[str, str], progress: Progress) -> dict[str, Any]:
    """Ask until the versions are compared: large ones take longer than an answer may."""
    until = time.monotonic() + _WAIT_S
    while not (found := gateway.query("versioning", "diff", **asked)).get("ready"):
        if time.monotonic() > until:
            raise CliError("the versions are still being compared", "ask again later")
        progress.tell("fetching and comparing")
        time.sleep(_PAUSE_S)
    return found


def _print_files(found: Mapping[str, Any]) -> None:
    one, other, counts = found["before"], found["after"], found["counts"]
    output.say(
        f"{one['name']}  {one['version']} -> {other['version']}   "
        f"{size(found['size_bytes_before'])} -> {size(found['size_bytes_after'])}"
    )
    rows = [
        (_SIGNS[kind], _name(entry, one), _sizes(entry), entry.get("from", ""))
        for kind in _SIGNS
        for entry in found["files"][kind]
    ]
    output.print_rows(("", "file", "size", "was"), rows, "the same files, byte for byte")
    hidden = sum(counts[kind] for kind in _SIGNS) - len(rows)
    output.say(f"{counts['same']} files are the same" + (f"; {hidden} not shown" if hidden else ""))


def _name(entry: Mapping[str, Any], version: Mapping[str, Any]) -> str:
    return str(entry["file"] or version["path"])


def _sizes(entry: Mapping[str, Any]) -> str:
    if "before" in entry:
        return f"{size(entry['before'])} -> {size(entry['after'])}"
    return size(entry["size_bytes"])


def _print_table(table: Mapping[str, Any]) -> None:
    title = table["file"] or "rows"
    if table.get("unread"):
        output.say(f"\n{title}: cannot be read as a table: {table['unread']}")
        return
    output.say(f"\n{title}: {_of_rows(table)}")
    rows = [row for column in table["columns"] for row in _of_column(column)]
    columns = ("column", "", "type", *_FIGURES)
    output.print_rows(columns, rows, "no columns", ("distinct", "mean", "type"))
    if table.get("more_columns"):
        output.say(f"{table['more_columns']} more columns are not shown")


def _of_rows(table: Mapping[str, Any]) -> str:
    told = f"{table['rows_before']} -> {table['rows_after']} rows"
    if "rows_uncompared" in table:
        return f"{told}; not compared one by one: {table['rows_uncompared']}"
    told += f", {table['rows_added']} added, {table['rows_removed']} removed"
    if "key" in table:
        told += f", {table['rows_changed']} changed (by {table['key']})"
        again = table["repeated_keys_before"], table["repeated_keys_after"]
        told += f"; {again[0]} -> {again[1]} rows repeat a key" if any(again) else ""
    return f"{told}; {table['compared_columns']} columns compared"


def _of_column(column: Mapping[str, Any]) -> Iterable[tuple[object, ...]]:
    """Return a line for each version where they differ, one where they agree."""
    before, after = column["before"], column["after"]
    if before == after:
        yield (column["column"], "=", before["type"], *_figures(before))
        return
    for sign, side in (("-", before), ("+", after)):
        if side is not None:
            yield (column["column"], sign, side["type"], *_figures(side))


def _figures(side: Mapping[str, Any]) -> list[object]:
    told = [_short(side[name]) for name in _FIGURES]
    # More different values than are counted.
    return told if side["distinct"] is not None else [*told[:-1], "many"]


def _short(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
