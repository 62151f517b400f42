# SPDX-License-Identifier: Apache-2.0
"""demo: the closed loop on real data, from nothing."""

from __future__ import annotations

from typing import Annotated

import typer

from mlops.cli.options import HomeOption, JsonOption, home_of


def demo(
    home: HomeOption = None,
    fast: Annotated[bool, typer.Option("--fast", help="A shorter stream: a few minutes.")] = False,  # noqa: FBT002 - an option
    kill: Annotated[
        list[str] | None,
        typer.Option(
            "--kill",
            help="Trial by fire: `component@event` gets kill -9 when the event is first seen.",
        ),
    ] = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show the closed loop: drift, retraining, rollout, recovery; 0 only if it really closed."""
    from mlops.cli.demo.command import play  # noqa: PLC0415 - matplotlib and numpy, for this command only

    raise typer.Exit(play(home_of(home), fast=fast, as_json=as_json, kills=kill or []))
