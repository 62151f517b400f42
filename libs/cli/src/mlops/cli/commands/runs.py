# SPDX-License-Identifier: Apache-2.0
"""run list|show|compare|tail: what was tried, on what, and which was best."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mlops.cli import output
from mlops.cli.commands import comparing, run_views
from mlops.cli.commands.live import watch
from mlops.cli.errors import CliError, InputError
from mlops.cli.gateway import Gateway
from mlops.cli.options import AnyProjectOption, HomeOption, JsonOption, RunArgument, home_of
from mlops.cli.runs import ENDED, resolve

app = typer.Typer(no_args_is_help=True, help="What was tried, on what, and which was best.")
_MOST = 20
_Technique = Annotated[
    bool, typer.Option("--technique", help="Instead: which technique is best on which chip.")
]
_All = Annotated[bool, typer.Option("--all", help="Rows that do not differ, too.")]


@app.command("list")
def list_(
    project: AnyProjectOption = "",
    status: Annotated[
        str, typer.Option(help="running, scheduled, finished, failed or killed.")
    ] = "",
    technique: Annotated[str, typer.Option(help="Only this optimisation technique.")] = "",
    chip: Annotated[str, typer.Option(help="Only runs on this chip.")] = "",
    count: Annotated[
        int, typer.Option("--count", "-n", min=1, max=200, help="At most so many.")
    ] = 50,
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show the newest runs, of all projects or of one."""
    with Gateway(home_of(home)) as gateway:
        found = gateway.query(
            "tracking",
            "runs",
            project=project,
            status=status.upper(),
            technique=technique,
            chip=chip,
            limit=count,
        )
    if as_json:
        output.print_json(found["runs"])
        return
    run_views.print_runs(found["runs"])


@app.command()
def show(run: RunArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002 - an option
    """Show a run: figures, system, hardware, data, models, and what became of it."""
    with Gateway(home_of(home)) as gateway:
        found = gateway.query("tracking", "run", run_id=resolve(gateway, run))["run"]
        became = _became(gateway, found)
    if as_json:
        output.print_json({**found, "deployments": became})
        return
    run_views.print_run(found, became)


@app.command()
def compare(
    runs: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN…", help="Two to twenty runs: id, its beginning, or name."),
    ] = None,
    technique: _Technique = False,  # noqa: FBT002 - an option
    metric: Annotated[str, typer.Option(help="With --technique: the metric that counts.")] = "",
    chip: Annotated[str, typer.Option(help="With --technique: only this chip.")] = "",
    everything: _All = False,  # noqa: FBT002 - an option
    project: AnyProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show runs side by side, the best marked; or which technique is best on which chip."""
    if technique == bool(runs):
        raise InputError(
            "which runs?" if not runs else "--technique takes no runs: it looks at all of them",
            "`mlops run compare RUN RUN …`, or `mlops run compare --technique`",
        )
    with Gateway(home_of(home)) as gateway:
        if technique:
            found = gateway.query(
                "tracking", "techniques", project=project, chip=chip, metric=metric
            )
        else:
            found = gateway.query("tracking", "compare", runs=_ids(gateway, runs or []))
    if as_json:
        output.print_json(found)
    elif technique:
        comparing.print_techniques(found)
    else:
        comparing.print_comparison(found, everything=everything)


@app.command()
def tail(
    run: RunArgument,
    follow: Annotated[bool, typer.Option(help="Go on until the run ends.")] = True,  # noqa: FBT002 - an option
    system: Annotated[bool, typer.Option("--system", help="The machine's figures, too.")] = False,  # noqa: FBT002 - an option
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show the metrics of a run as they come, until it ends; 1 when it failed."""
    with Gateway(home_of(home)) as gateway:
        run_id = resolve(gateway, run)
        status = watch(gateway, run_id, on=follow, system=system, as_json=as_json)
    if status in ENDED and status != ENDED[0]:
        raise CliError(f"run {run_id} ended {status}", f"`mlops run show {run_id}` tells more")


def _ids(gateway: Gateway, runs: list[str]) -> str:
    found = list(dict.fromkeys(resolve(gateway, run) for run in runs))
    if not 2 <= len(found) <= _MOST:  # noqa: PLR2004 - two make a comparison
        raise InputError(f"{len(found)} different runs given", f"give 2 to {_MOST}")
    return ",".join(found)


def _became(gateway: Gateway, run: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rollouts of the models that came of a run."""
    if not run.get("models"):
        return []
    made = {(one["name"], str(one["version"])) for one in run["models"]}
    found = gateway.get("/api/v1/deployments", project=run["project"])["deployments"]
    return [one for one in found if (one["model"], str(one["version"])) in made]
