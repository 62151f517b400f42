# SPDX-License-Identifier: Apache-2.0
"""Words: how a command of ours begins and ends: options before the word, errors as a sentence and an exit code."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mlops.cli import output
from mlops.cli.errors import CliError

CODES = "Exit codes: 0 ok, 1 failed, 2 the input cannot be used, 3 the platform is not running."


class Words(TyperGroup):
    """The group of all commands; it turns errors of ours into a sentence and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the chosen command."""
        try:
            return super().invoke(ctx)
        except CliError as error:
            output.complain(error)
            raise typer.Exit(error.code) from None
        except KeyboardInterrupt:
            raise typer.Exit(128 + signal.SIGINT) from None
        except BrokenPipeError:  # the reader, `head` perhaps, has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            raise typer.Exit(0) from None


def new(name: str, about: str) -> typer.Typer:
    """Return an application without words."""
    app = typer.Typer(
        name=name,
        cls=Words,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        help=about,
        epilog=CODES,
    )
    app.callback()(_root)
    return app


def _root(
    home: Annotated[
        Path | None,
        typer.Option(help="The installation's folder; else MLOPS_HOME, else the nearest .mlops."),
    ] = None,
) -> None:
    # Options that stand before the word.
    if home is not None:
        os.environ["MLOPS_HOME"] = str(home)
