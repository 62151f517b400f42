# SPDX-License-Identifier: Apache-2.0
"""deploy, undeploy, deployments: which versions answer, and changing it by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from mlops.cli.deployment_views import all_models, one_model
from mlops.cli.emit.command import (
    EmitOption,
    ImageOption,
    NameOption,
    OutputOption,
    StorageOption,
    emit,
)
from mlops.cli.emit.wanted import Wanted
from mlops.cli.errors import CliError, InputError
from mlops.cli.gateway import Gateway
from mlops.cli.home import Home
from mlops.cli.options import (
    BY_HAND,
    AnyProjectOption,
    HomeOption,
    JsonOption,
    ModelArgument,
    ProjectOption,
    WhyOption,
    home_of,
)
from mlops.cli.patience import patiently
from mlops.cli.progress import Progress
from mlops.cli.project import project_named
from mlops.cli.rollouts import removals, roll_out, serving_of
from mlops.cli.served import going
from mlops.cli.views import View, show_again
from mlops.cli.wishes import refuse, show

_REMOVED_S = 60.0
_LOOK_S = 0.5


class Kind(StrEnum):
    """How a version takes over."""

    CANARY = "canary"
    DIRECT = "direct"
    BLUE_GREEN = "blue-green"
    SHADOW = "shadow"


RolloutOption = Annotated[
    Kind | None,
    typer.Option(
        help="How it takes over: by steps, at once, at once and as big as the old one, or after its answers to "
        "copies were compared. Default: as the project's settings say.",
    ),
]
WatchOption = Annotated[
    bool,
    typer.Option("--watch", "-w", help="Follow the rollout to its end; 1 unless it completes."),
]

SayingOption = Annotated[
    bool, typer.Option("--watch", "-w", help="Say what still answers until all is stopped.")
]
AgainOption = Annotated[
    bool, typer.Option("--watch", "-w", help="Look again and again; ends with Ctrl-C.")
]


def deploy(
    model: ModelArgument,
    version: Annotated[
        int | None, typer.Argument(min=1, help="Default: the champion, else the latest.")
    ] = None,
    rollout: RolloutOption = None,
    watch: WatchOption = False,  # noqa: FBT002 - an option
    project: ProjectOption = "",
    why: WhyOption = BY_HAND,
    target: EmitOption = None,
    image: ImageOption = "",
    storage_uri: StorageOption = "",
    called: NameOption = "",
    file: OutputOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Roll out a version; it is taken back when it fails. The version of a shadow goes on."""
    name, place = project_named(project, Path.cwd()), home_of(home)
    wanted = Wanted(target, image, storage_uri, called, file)
    if wanted.is_given:
        emit(wanted, place, name, model, version, as_json=as_json)
        return
    chosen = version if version is not None else _best(place, name, model)
    data = {"model": model, "version": chosen, "why": why}
    if rollout is not None:
        data["rollout"] = rollout.value
    roll_out("cmd.model.deploy", name, data, place, watch=watch, as_json=as_json)


def undeploy(
    model: ModelArgument,
    version: Annotated[
        int | None, typer.Argument(min=1, help="Only if it is this version that answers.")
    ] = None,
    watch: SayingOption = False,  # noqa: FBT002 - an option
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Stop serving a model: no new request reaches it, those under way are answered, then it is stopped."""
    name = project_named(project, Path.cwd())
    type_ = "cmd.model.undeploy"
    with Gateway(home_of(home)) as gateway, Progress(type_, quiet=as_json) as progress:
        answering = _answering(gateway, name, model)
        if version is not None and answering != {version}:
            raise _not_alone(model, version, answering)
        before = {event["id"] for event in _removed(gateway, name, model)}
        command = gateway.command(type_, name, {"model": model})

        def look() -> None:
            if watch:
                progress.tell(going(serving_of(gateway, name, model)))

        found = _wait_for_removal(gateway, name, model, command, (before, answering), look)
    show(command, type_, found, as_json=as_json)


def deployments(
    model: Annotated[str, typer.Argument(help="Default: all; of one also every step.")] = "",
    watch: AgainOption = False,  # noqa: FBT002 - an option
    project: AnyProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show every version that runs, with its traffic, speed, errors, memory and energy, and how rollouts stand."""
    with Gateway(home_of(home)) as gateway:

        def look() -> View:
            return one_model(gateway, project, model) if model else all_models(gateway, project)

        show_again(look, watch=watch, as_json=as_json)


def _best(home: Home, project: str, model: str) -> int:
    with Gateway(home) as gateway:
        found = gateway.query("tracking", "model", project=project, name=model)["model"]
    chosen = found.get("champion") or found.get("latest")
    if chosen is None:
        raise InputError(f"model {model!r} of {project} has no version", "register one first")
    return int(chosen)


def _answering(gateway: Gateway, project: str, model: str) -> set[int]:
    routes = gateway.get("/api/v1/deployments", project=project)["routes"]
    of_model = (route for route in routes if route["model"] == model)
    return {int(one["version"]) for route in of_model for one in route["versions"]}


def _not_alone(model: str, version: int, answering: set[int]) -> InputError:
    which = ", ".join(map(str, sorted(answering))) or "none"
    return InputError(
        f"version {version} is not the one that answers for {model}; that is: {which}",
        f"`mlops undeploy {model}` stops all of them, `mlops model rollback` goes back to another",
    )


def _removed(gateway: Gateway, project: str, model: str) -> list[dict[str, Any]]:
    found = patiently(
        partial(
            gateway.get, "/api/v1/events", type="deployment.removed", project=project, limit=200
        )
    )
    return removals(found, model)


def _wait_for_removal(
    gateway: Gateway,
    project: str,
    model: str,
    command: str,
    was: tuple[set[str], set[int]],
    look: Callable[[], None],
) -> list[dict[str, Any]]:
    """Wait until each version that answered is removed; *was*: the removals before, and these versions."""
    known, answering = was
    deadline = time.monotonic() + _REMOVED_S
    while time.monotonic() < deadline:
        told = patiently(partial(gateway.result, command, ("deployment.removed",), 0))
        refuse("cmd.model.undeploy", told)
        removed = [one for one in _removed(gateway, project, model) if one["id"] not in known]
        if removed and answering <= {int(one["data"]["version"]) for one in removed}:
            return removed
        look()
        time.sleep(_LOOK_S)
    raise CliError(
        f"{model} is not removed after {_REMOVED_S:g} s", "`mlops deployments` shows what answers"
    )
