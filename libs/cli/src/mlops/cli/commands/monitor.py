# SPDX-License-Identifier: Apache-2.0
"""monitor [judge|reference]: how the models of a project do: drift, performance, windows, alerts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mlops.cli import completion, output
from mlops.cli.commands import monitor_views
from mlops.cli.errors import InputError
from mlops.cli.gateway import Gateway
from mlops.cli.options import HomeOption, JsonOption, ProjectOption, home_of
from mlops.cli.progress import Progress
from mlops.cli.project import project_named
from mlops.cli.wishes import answered, show

app = typer.Typer(
    invoke_without_command=True, help="How the models of a project do: drift, performance, alerts."
)
_JUDGE_S = 300.0
_ANSWER_S = 60.0
_KINDS = (".csv", ".parquet")
_Table = Annotated[Path, typer.Argument(metavar="TABLE", help="CSV or Parquet file.")]
_ModelOption = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        help="Default: the one the project serves.",
        autocompletion=completion.models,
    ),
]
_Prediction = Annotated[str, typer.Option(help="Column with the model's answers.")]
_Target = Annotated[str, typer.Option(help="Column with what turned out to be true.")]


@app.callback()
def monitor(
    context: typer.Context,
    model: _ModelOption = "",
    project: Annotated[
        str,
        typer.Option(
            "--project", "-p", help="Only this project.", autocompletion=completion.projects
        ),
    ] = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show how models do: drift, performance, windows and open alerts."""
    if context.invoked_subcommand is not None:
        if model or project or as_json:
            raise InputError(
                "these options stand before the word, which would not hear them",
                f"write them after it: `mlops monitor {context.invoked_subcommand} …`",
            )
        return
    with Gateway(home_of(home)) as gateway:
        models = gateway.query("monitoring", "models", project=project, model=model)["models"]
        alerts = gateway.query("monitoring", "alerts", project=project, open="1")["alerts"]
    open_ = [one for one in alerts if one.get("open")]
    if as_json:
        output.print_json({"models": models, "alerts": open_})
        return
    monitor_views.print_models(models)
    monitor_views.print_open(open_)


@app.command()
def judge(
    table: _Table,
    model: _ModelOption = "",
    prediction: _Prediction = "",
    target: _Target = "",
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Judge a table against the reference of a model; it changes nothing."""
    name = project_named(project, Path.cwd())
    with (
        Gateway(home_of(home), _JUDGE_S) as gateway,
        Progress(f"judging {table.name}", quiet=as_json) as progress,
    ):
        chosen = model or _served(gateway, name)
        stored = _uploaded(gateway, table, progress)
        asked = {"project": name, "model": chosen, "uri": stored["uri"]}
        asked |= _columns(prediction, target)
        found = gateway.post("/api/v1/monitor/judge", asked)
    if as_json:
        output.print_json(found)
        return
    monitor_views.print_judgement(f"{name}.{chosen}", found)


@app.command()
def reference(
    table: Annotated[
        Path | None,
        typer.Argument(metavar="TABLE", help="CSV or Parquet; none takes the next window."),
    ] = None,
    model: _ModelOption = "",
    prediction: _Prediction = "",
    target: _Target = "",
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Choose what the windows of a model are compared with from now on."""
    name, type_ = project_named(project, Path.cwd()), "cmd.monitor.reference"
    with (
        Gateway(home_of(home), _JUDGE_S) as gateway,
        Progress(type_, quiet=as_json) as progress,
    ):
        data: dict[str, Any] = {"model": model or _served(gateway, name), "uri": None}
        if table is not None:
            data["uri"] = _uploaded(gateway, table, progress)["uri"]
            data |= _columns(prediction, target)
        command, found = answered(gateway, type_, name, data, ["reference.chosen"], _ANSWER_S)
    show(command, type_, found, as_json=as_json)


def _columns(prediction: str, target: str) -> dict[str, str]:
    named = {"prediction": prediction, "target": target}
    return {role: column for role, column in named.items() if column}


def _uploaded(gateway: Gateway, table: Path, progress: Progress) -> Mapping[str, Any]:
    if table.suffix not in _KINDS:
        raise InputError(f"{table} is neither CSV nor Parquet", "name the file .csv or .parquet")
    try:
        content = table.read_bytes()
    except OSError as error:
        raise InputError(f"{table} cannot be read: {error.strerror}", "name a file") from error
    progress.tell(f"uploading {table.name}, {len(content) / 1e6:.1f} MB")
    return gateway.upload(table.name, content)


def _served(gateway: Gateway, project: str) -> str:
    found = gateway.get("/api/v1/projects")["projects"]
    model = next((one.get("model") for one in found if one["project"] == project), None)
    if not model:
        raise InputError(
            f"project {project!r} serves no model, or is not registered",
            "name one: --model NAME, or register the project with `mlops register`",
        )
    return str(model)
