# SPDX-License-Identifier: Apache-2.0
"""Words: how a command of ours begins and ends: options before the word, errors as a sentence and an exit code."""

from __future__ import annotations

import io
import os
import signal
import sys
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
        _replace_letters_that_are_missing()
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
        except OSError as error:  # a disk that is full, a folder that may not be written
            output.complain(_of_the_system(error))
            raise typer.Exit(CliError.code) from None


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


def _replace_letters_that_are_missing() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _of_the_system(error: OSError) -> CliError:
    where = f"{error.filename}: " if error.filename else ""
    return CliError(
        f"{where}{error.strerror or error}", "see that it is there, may be used, and has space"
    )


def _root(
    home: Annotated[
        Path | None,
        typer.Option(help="The installation's folder; else MLOPS_HOME, else the nearest .mlops."),
    ] = None,
) -> None:
    # Options that stand before the word.
    if home is not None:
        os.environ["MLOPS_HOME"] = str(home)
