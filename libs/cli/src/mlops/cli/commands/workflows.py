# SPDX-License-Identifier: Apache-2.0
"""workflow start|list|cancel|approve|why: trainings and what else runs in steps; what waits, and for what."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.text import Text

from mlops.cli import output
from mlops.cli.commands import aftermath
from mlops.cli.errors import CliError
from mlops.cli.gateway import Gateway
from mlops.cli.options import (
    BY_HAND,
    AnyProjectOption,
    HomeOption,
    JsonOption,
    ProjectOption,
    WhyOption,
    WorkflowArgument,
    home_of,
)
from mlops.cli.patience import patiently
from mlops.cli.progress import Progress
from mlops.cli.project import project_named
from mlops.cli.runs import day, length, size
from mlops.cli.wishes import answered, show, wish

app = typer.Typer(no_args_is_help=True, help="Trainings: what waits, runs and ended, and why.")
_ANSWER_S = 30.0
_LOOK_S = 1.0
_PATIENCE_S = 6 * 3600.0
_Wait = Annotated[
    bool, typer.Option("--wait", "-w", help="Until it has ended; 1 unless it completes.")
]
_Timeout = Annotated[float, typer.Option("--timeout", min=1, help="With --wait: seconds at most.")]
_ENDED = ("completed", "failed", "cancelled")
_ASKED = {
    "save": "asked to save, and go on",
    "leave": "asked to save, and leave its machine",
    "stop": "asked to stop",
}
_PARTED = {
    "left": "left",
    "evicted": "was stopped by the heat of",
    "lost": "vanished with",
}


@app.command()
def start(
    kind: Annotated[str, typer.Option(help="train, retrain, evaluate or federated.")] = "train",
    model: Annotated[str, typer.Option(help="Registered model, where it is about one.")] = "",
    why: WhyOption = BY_HAND,
    wait: _Wait = False,  # noqa: FBT002 - an option
    timeout_s: _Timeout = _PATIENCE_S,
    project: ProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Queue a workflow of the project: a training, if no other kind is named."""
    name, type_ = project_named(project, Path.cwd()), "cmd.workflow.start"
    data = {"kind": kind, "model": model or None, "why": why}
    answers = ["workflow.queued", "workflow.declined"]
    with Gateway(home_of(home)) as gateway, Progress(type_, quiet=as_json) as progress:
        command, found = answered(gateway, type_, name, data, answers, _ANSWER_S)
        key = next((one["data"]["workflow_key"] for one in found if one["type"] == answers[0]), "")
        ended = _until_ended(gateway, key, timeout_s, progress) if wait and key else None
    if as_json:
        told = {"workflow": ended} if ended else {}
        output.print_json({"id": command, "events": found, **told})
    else:
        show(command, type_, found, as_json=False)
        _say_how_it_ended(ended)
    _judge(found, key, ended)


@app.command("list")
def list_(
    project: AnyProjectOption = "",
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Show what waits, runs and ended, and why."""
    with Gateway(home_of(home)) as gateway:
        found = gateway.get("/api/v1/overview", project=project)["workflows"]
    if as_json:
        output.print_json(found)
        return
    rows = [
        (
            one["project"],
            one["workflow_key"],
            one["kind"],
            _state(one),
            length(one.get("duration_s")),
            day(one.get("queued_at")),
            one.get("diagnosis") or one.get("why"),
            one.get("decision") if one["state"] == "queued" else None,
        )
        for one in found
    ]
    columns = ("project", "workflow", "kind", "state", "took", "queued", "why", "decision")
    none = "no workflows yet; `mlops workflow start`"
    output.print_rows(columns, rows, none, ("decision", "queued", "kind", "took"))


@app.command()
def cancel(
    workflow: WorkflowArgument,
    why: WhyOption = BY_HAND,
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Take a workflow out of the queue, or stop it."""
    data = {"workflow_key": workflow, "reason": why}
    _about(workflow, "cmd.workflow.cancel", data, "workflow.cancelled", home, as_json=as_json)


@app.command()
def approve(
    workflow: WorkflowArgument,
    home: HomeOption = None,
    as_json: JsonOption = False,  # noqa: FBT002 - an option
) -> None:
    """Let a workflow go that waits for a person's yes."""
    data = {"workflow_key": workflow}
    _about(workflow, "cmd.workflow.approve", data, "workflow.approved", home, as_json=as_json)


@app.command()
def why(workflow: WorkflowArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:  # noqa: FBT002 - an option
    """Say why a workflow waits and until when, or why a trigger started none."""
    with Gateway(home_of(home)) as gateway:
        found = gateway.query("orchestration_bridge", "why", workflow_key=workflow)
    if as_json:
        output.print_json(found)
        return
    _print_why(workflow, found)


def _about(
    workflow: str,
    type_: str,
    data: dict[str, Any],
    answer: str,
    home: Path | None,
    *,
    as_json: bool,
) -> None:
    place = home_of(home)
    with Gateway(place) as gateway:
        project = str(gateway.get(f"/api/v1/workflows/{quote(workflow, safe='')}")["project"])
    wish(place, type_, project, data, answers=[answer], timeout_s=_ANSWER_S, as_json=as_json)


def _until_ended(
    gateway: Gateway, key: str, timeout_s: float, progress: Progress
) -> Mapping[str, Any]:
    deadline, state = time.monotonic() + timeout_s, "queued"
    while time.monotonic() < deadline:
        found: Mapping[str, Any] = patiently(partial(gateway.get, f"/api/v1/workflows/{key}"))
        state = str(found["state"])
        waits_for = found.get("decision") if state == "queued" else ""
        progress.tell(f"{key}  {state}{f'  {waits_for}' if waits_for else ''}")
        if state in _ENDED:
            return found
        time.sleep(_LOOK_S)
    raise CliError(
        f"workflow {key} is {state} after {timeout_s:g} s", f"`mlops workflow why {key}` tells why"
    )


def _say_how_it_ended(ended: Mapping[str, Any] | None) -> None:
    if ended is not None:
        took = f" after {length(ended['duration_s'])}" if ended.get("duration_s") else ""
        output.say(f"  {ended['state']}{took}")


def _judge(found: list[dict[str, Any]], key: str, ended: Mapping[str, Any] | None) -> None:
    if not key:
        told = next(one["data"] for one in found if one["type"] == "workflow.declined")
        again = f"accepted again from {day(told['retry_at'])}" if told.get("retry_at") else ""
        raise CliError(f"declined: {told['reason']}", again)
    if ended is not None and ended["state"] != _ENDED[0]:
        why = ended.get("diagnosis") or ended.get("why") or ""
        fix = ended.get("suggestion") or f"`mlops explain {key}` tells more"
        raise CliError(f"workflow {key} {ended['state']}: {why}", fix)


def _print_why(workflow: str, found: Mapping[str, Any]) -> None:
    state = str(found.get("state", "")).replace("_", " ")
    out = output.console()
    out.print(Text.assemble((workflow, "bold"), "  ", output.cell_of(state)))
    out.print(Text(f"  {found.get('reason') or 'no reason is known'}"))
    decision = (found.get("workflow") or {}).get("decision") or {}
    if found.get("until") and found.get("waits"):
        off_s = decision.get("expected_error_s")
        about = f" ± {length(off_s)}, as such words were off so far" if off_s is not None else ""
        out.print(Text(f"  probably from {day(found['until'])}{about}", style="dim"))
    for name, figures in _figures(decision) if found.get("waits") else ():
        out.print(Text(f"  {name:<8} {figures}", style="dim"))
    for line in _moves(found):
        out.print(Text(f"  {line}", style="dim"))
    for told in aftermath.lines(found):
        out.print(told)
    if found.get("place"):
        ahead = ", ".join(found.get("ahead") or ()) or "none"
        out.print(
            Text(f"  place {found['place']} of {found['of']}; before it: {ahead}", style="dim")
        )
    if state == "awaits approval":
        out.print(Text(f"  `mlops workflow approve {workflow}` lets it go", style="dim"))


def _state(one: Mapping[str, Any]) -> str:
    if one.get("awaits_approval") and one["state"] == "queued":
        return "needs a yes"
    again = f" ({one['attempt']})" if (one.get("attempt") or 1) > 1 else ""
    asked = (one.get("asked") or {}).get("ask")
    return f"{one['state']}{again}{f', asked to {asked}' if asked else ''}"


def _moves(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield how each earlier attempt parted, and what the present one is asked."""
    for number, one in enumerate(found.get("attempts") or (), start=1):
        how = f"{_PARTED.get(one['parted'], one['parted'])} {one['node'] or 'its machine'}"
        kept = "kept what it saved" if one.get("saved") else "kept nothing"
        yield f"attempt {number} {how} at {day(one['ended_at'])}, {kept}"
    if asked := found.get("asked"):
        told = _ASKED.get(asked["ask"], asked["ask"])
        yield f"attempt {found.get('attempt', 1)} {told}, request {asked['request']}"


def _figures(decision: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what a decision record says, named: the gate, then its figures; what nobody knows is left out."""
    if decision.get("gate") not in (None, "none", "unknown"):
        yield "gate", str(decision["gate"]).replace("_", " ")
    if decision.get("share_used_ratio") is not None:
        yield (
            "share",
            f"{decision['share_used_ratio']:.0%} used, {decision.get('running', 0)} running",
        )
    if decision.get("memory_needed_bytes"):
        free = decision.get("memory_free_bytes")
        told = "nobody knows what is free" if free is None else f"{size(free)} free"
        yield "memory", f"{size(decision['memory_needed_bytes'])} needed, {told}"
    if decision.get("node"):
        yield "machine", f"{decision['node']}{_warmth(decision)}"
    for one in decision.get("obstacles") or ():
        if one.get("reason") and one["reason"] not in str(decision.get("reason")):
            yield "", str(one["reason"])


def _warmth(decision: Mapping[str, Any]) -> str:
    level, cool_s, hot_s = (decision.get(n) for n in ("thermal_level", "cool_s", "throttle_s"))
    told = "" if level is None else f", heat level {level}"
    if cool_s is not None:
        return f"{told}, cool in about {length(cool_s)}"
    return f"{told}, {length(hot_s)} until it throttles at work" if hot_s is not None else told
