# SPDX-License-Identifier: Apache-2.0
"""The `mlops` command: which words it knows; exit codes 0 ok, 1 failed, 2 input, 3 not running."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mlops.cli import output
from mlops.cli.commands import (
    bench,
    checks,
    data,
    demo,
    events,
    explain,
    models,
    platform,
    projects,
    testing,
    workflows,
)
from mlops.cli.errors import CliError


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


app = typer.Typer(
    name="mlops",
    cls=Words,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="The MLOps platform on this machine: start it, use it, understand it.",
)


@app.callback()
def root(
    home: Annotated[
        Path | None,
        typer.Option(help="The installation's folder; else MLOPS_HOME, else the nearest .mlops."),
    ] = None,
) -> None:
    """Take the options that stand before the command."""
    if home is not None:
        os.environ["MLOPS_HOME"] = str(home)


_PLATFORM, _WORK, _BUS, _HERE = "Platform", "Projects and models", "The bus", "This checkout"

for word, panel in (
    (platform.up, _PLATFORM),
    (platform.down, _PLATFORM),
    (platform.status, _PLATFORM),
    (platform.logs, _PLATFORM),
    (checks.doctor, _PLATFORM),
    (projects.register, _WORK),
    (projects.projects, _WORK),
    (workflows.train, _WORK),
    (workflows.workflows, _WORK),
    (models.models, _WORK),
    (models.promote, _WORK),
    (models.deployments, _WORK),
    (models.deploy, _WORK),
    (models.rollback, _WORK),
    (models.alerts, _WORK),
    (explain.explain, _BUS),
    (demo.demo, _HERE),
    (testing.version, _HERE),
):
    app.command(rich_help_panel=panel)(word)
_PASSING = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
app.command("test", rich_help_panel=_HERE, context_settings=_PASSING)(testing.test)
app.command("bench", rich_help_panel=_HERE)(bench.bench)
app.add_typer(data.app, name="data", rich_help_panel=_WORK)
app.add_typer(events.app, name="events", rich_help_panel=_BUS)
