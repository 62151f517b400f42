# SPDX-License-Identifier: Apache-2.0
"""doctor: is everything here that the platform needs, and if not, what to do."""

from __future__ import annotations

import os

import typer

from mlops.cli import output
from mlops.cli.options import HomeOption, JsonOption, home_of

_SIGNS = {"ok": "✓", "warn": "!", "fail": "✗"}


def doctor(home: HomeOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002 - an option
    """Check this machine and this installation; 1 when something would keep the platform from working."""
    from mlops.cli import health  # noqa: PLC0415 - slow to import; help does without

    found = health.examine(home_of(home), os.environ)
    if as_json:
        output.print_json([finding.as_json() for finding in found])
    else:
        output.print_rows(
            ("", "check", "found", "fix"),
            [(_SIGNS[one.verdict], one.check, one.found, one.fix or " ") for one in found],
            "",
        )
    if any(one.verdict == "fail" for one in found):
        raise typer.Exit(1)
