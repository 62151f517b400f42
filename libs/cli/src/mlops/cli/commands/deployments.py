# SPDX-License-Identifier: Apache-2.0
"""deploy, undeploy, deployments: which versions answer, and changing it by hand."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from mlops.cli import output
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
from mlops.cli.progress import Progress
from mlops.cli.project import project_named
from mlops.cli.runs import day
from mlops.cli.summary import summary
from mlops.cli.wishes import answered, refuse, rollout, show

_ROLLOUT_S = 600.0
_REMOVED_S = 60.0
_LOOK_S = 0.5
_COMPLETED = "deployment.completed"
_ENDS = (_COMPLETED, "deployment.failed", "deployment.reverted")
WatchOption = Annotated[
    bool,
    typer.Option("--watch", "-w", help="Follow the rollout to its end; 1 unless it completes."),
]


def deploy(
    model: ModelArgument,
    version: Annotated[
        int | None, typer.Argument(min=1, help="Default: the champion, else the latest.")
    ] = None,
    watch: WatchOption = False,  # noqa: FBT002 - an option
    project: ProjectOption = "",
    why: WhyOption = BY_HAND,
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Roll out a version; it takes over step by step, and is taken back when it fails."""
    name, place = project_named(project, Path.cwd()), home_of(home)
    chosen = version if version is not None else _best(place, name, model)
    data = {"model": model, "version": chosen, "why": why}
    roll_out("cmd.model.deploy", name, data, place, watch=watch, as_json=as_json)


def undeploy(
    model: ModelArgument,
    version: Annotated[
        int | None, typer.Argument(min=1, help="Only if it is this version that answers.")
    ] = None,
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Stop serving a model."""
    name = project_named(project, Path.cwd())
    type_ = "cmd.model.undeploy"
    with Gateway(home_of(home)) as gateway, Progress(type_, quiet=as_json):
        answering = _answering(gateway, name, model)
        if version is not None and answering != {version}:
            raise _not_alone(model, version, answering)
        before = {event["id"] for event in _removed(gateway, name, model)}
        command = gateway.command(type_, name, {"model": model})
        found = _wait_for_removal(gateway, name, model, command, (before, answering))
    show(command, type_, found, as_json=as_json)


def deployments(
    project: AnyProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show which versions answer now, how heat slows them, what energy they take, and the rollouts."""
    with Gateway(home_of(home)) as gateway:
        found = gateway.get("/api/v1/deployments", project=project)
        running = _running(gateway, project)
    if as_json:
        output.print_json({**found, "running": running})
        return
    states = {(one["project"], one["model"]): one for one in running}
    answering = [
        (
            *(route["project"], route["model"], one["version"], f"{one['weight']:.0%}"),
            *_pace(states.get((route["project"], route["model"]), {}), str(one["version"])),
            one["url"],
        )
        for route in found["routes"]
        for one in route["versions"]
    ]
    heads = ("project", "model", "version", "traffic", "at once", "J/1000", "slowed by", "replica")
    output.print_rows(heads, answering, "nothing answers yet", ("replica", "slowed by"))
    for one in running:
        rollout = one.get("rollout") or {}
        if rollout.get("held"):
            output.say(f"version {rollout['version']} of {one['model']} {rollout['held']}")
    output.say("")
    columns = ("project", "model", "version", "state", "phase", "at", "deployment", "reason")
    rows = [
        (
            one["project"],
            one["model"],
            one.get("version"),
            one["state"],
            one.get("phase"),
            day(one.get("at")),
            one["deployment_id"],
            one.get("reason"),
        )
        for one in found["deployments"]
    ]
    output.print_rows(columns, rows, "no rollouts yet", ("deployment", "phase", "at"))


def _running(gateway: Gateway, project: str) -> list[dict[str, Any]]:
    """Return what serving says of its models; nothing while it is away, the gateway's own answer stands alone."""
    try:
        known = gateway.query("serving", "list").get("deployments", [])
    except CliError:
        return []
    return [one for one in known if project in ("", one.get("project"))]


def _pace(state: Mapping[str, Any], version: str) -> tuple[object, object, object]:
    """Return how much a version computes at once, its joules per 1000 predictions, and what slows it."""
    heat = (state.get("heat") or {}).get(version) or {}
    energy = (state.get("energy") or {}).get(version) or {}
    at_once = f"{heat['concurrency']} of {heat['full']}" if heat else None
    joules = energy.get("joules_per_1000")
    known = "measured" if energy.get("measured") else "estimated"
    return at_once, None if joules is None else f"{joules:.3g} {known}", heat.get("why") or None


def roll_out(
    type_: str, project: str, data: dict[str, Any], home: Home, *, watch: bool, as_json: bool
) -> None:
    """Send a wish that starts a rollout, show it, and follow it when *watch* says so."""
    with Gateway(home) as gateway, Progress(type_, quiet=as_json) as progress:
        command, found = answered(gateway, type_, project, data, ["deployment.started"], 60)
        started = next(event for event in found if event["type"] == "deployment.started")
        deployment = started["data"]["deployment_id"]
        if watch:
            found = _followed(gateway, project, deployment, progress)
    show(command, type_, found if as_json else found[-1:], as_json=as_json)
    if not watch:
        output.say("it goes on; `mlops deployments` shows how far it is", quiet=as_json)
        return
    _judge(deployment, found[-1] if found else started)


def _followed(
    gateway: Gateway, project: str, deployment: str, progress: Progress
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for event in rollout(gateway, project, deployment, _ROLLOUT_S):
        found.append(event)
        progress.tell(f"{event['type']}  {summary(event)}")
        if event["type"] in _ENDS:
            break
    return found


def _judge(deployment: str, last: dict[str, Any]) -> None:
    if last["type"] not in _ENDS:
        raise CliError(
            f"rollout {deployment} goes on for more than {_ROLLOUT_S:g} s",
            "`mlops deployments` tells",
        )
    if last["type"] != _COMPLETED:
        raise CliError(
            f"{last['type']}: {last['data'].get('reason', '')}",
            "`mlops deployments` shows what answers now",
        )


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
    found = gateway.get("/api/v1/events", type="deployment.removed", project=project, limit=200)
    return [event for event in found if event["data"]["model"] == model]


def _wait_for_removal(
    gateway: Gateway,
    project: str,
    model: str,
    command: str,
    was: tuple[set[str], set[int]],
) -> list[dict[str, Any]]:
    """Wait until each version that answered is removed; *was*: the removals before, and these versions."""
    known, answering = was
    deadline = time.monotonic() + _REMOVED_S
    while time.monotonic() < deadline:
        refuse("cmd.model.undeploy", gateway.result(command, ("deployment.removed",), 0))
        removed = [one for one in _removed(gateway, project, model) if one["id"] not in known]
        if removed and answering <= {int(one["data"]["version"]) for one in removed}:
            return removed
        time.sleep(_LOOK_S)
    raise CliError(
        f"{model} is not removed after {_REMOVED_S:g} s", "`mlops deployments` shows what answers"
    )
