# SPDX-License-Identifier: Apache-2.0
"""bench: run the measurements of benchmarks/ and show what they wrote."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from mlops.cli import output
from mlops.cli.checkout import find_checkout
from mlops.cli.errors import CliError, InputError
from mlops.cli.options import JsonOption


def bench(
    name: Annotated[str, typer.Argument(help="Benchmark; none for all.")] = "",
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Run benchmarks against their peers; the figures land in benchmarks/results/."""
    root = find_checkout()
    if root is None:
        raise InputError(
            "there are no benchmarks beside installed packages", "clone the repository"
        )
    scripts = _chosen(root / "benchmarks", name)
    for script in scripts:
        ended = subprocess.run(
            [sys.executable, str(script)], cwd=root, stdout=sys.stderr, check=False
        )
        if ended.returncode:
            raise CliError(
                f"benchmark {script.stem} ended with code {ended.returncode}", "see the lines above"
            )
    _show(
        [root / "benchmarks" / "results" / f"{script.stem}.json" for script in scripts],
        as_json=as_json,
    )


def _chosen(folder: Path, name: str) -> list[Path]:
    known = sorted(path for path in folder.glob("*.py") if "__main__" in path.read_text())
    chosen = [path for path in known if name in ("", path.stem)]
    if not chosen:
        raise InputError(
            f"no benchmark {name!r}", f"there are: {', '.join(path.stem for path in known)}"
        )
    return chosen


def _show(results: list[Path], *, as_json: bool) -> None:
    found = [row for path in results if path.exists() for row in json.loads(path.read_text())]
    if as_json:
        output.print_json(found)
        return
    columns = ("benchmark", "metric", "unit", "ours", "peer", "peer_value", "ratio")
    output.print_rows(
        columns, [[row.get(column) for column in columns] for row in found], "no results"
    )
