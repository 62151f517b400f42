# SPDX-License-Identifier: Apache-2.0
"""Rollouts: send the wish for one, and follow it to its end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlops.cli import output
from mlops.cli.errors import CliError
from mlops.cli.gateway import Gateway
from mlops.cli.home import Home
from mlops.cli.progress import Progress
from mlops.cli.served import pulse, rate_of
from mlops.cli.summary import summary
from mlops.cli.wishes import answered, rollout, show

_ANSWER_S = 60.0
_ROLLOUT_S = 3600.0
_COMPLETED = "deployment.completed"
_ENDS = (_COMPLETED, "deployment.failed", "deployment.reverted")
# A shadow that a person lets go on has started long before.
_BEGINNINGS = ("deployment.started", "deployment.progressed")
_FOR_A_PERSON = "waits for a person"


def roll_out(
    type_: str, project: str, data: dict[str, Any], home: Home, *, watch: bool, as_json: bool
) -> None:
    """Send a wish that starts a rollout, show it, and follow it when *watch* says so."""
    with Gateway(home) as gateway, Progress(type_, quiet=as_json) as progress:
        command, found = answered(
            gateway, type_, project, data, _BEGINNINGS, _ANSWER_S, patient=watch
        )
        begun = next(event for event in found if event["type"] in _BEGINNINGS)
        if watch:
            found = _followed(gateway, project, begun, progress)
    show(command, type_, found if as_json else found[-1:], as_json=as_json)
    if not watch:
        output.say("it goes on; `mlops deployments` shows how far it is", quiet=as_json)
        return
    _judge(begun["data"]["deployment_id"], found[-1] if found else begun)


def serving_of(gateway: Gateway, project: str, model: str) -> Mapping[str, Any]:
    """Return what serving says of a model now; nothing while it is away."""
    try:
        found = gateway.query("serving", "get", project=project, model=model)
    except CliError:
        return {}
    deployment = found.get("deployment")
    return deployment if isinstance(deployment, Mapping) else {}


def _followed(
    gateway: Gateway, project: str, begun: Mapping[str, Any], progress: Progress
) -> list[dict[str, Any]]:
    deployment, model = begun["data"]["deployment_id"], begun["data"]["model"]

    def look() -> None:
        if progress.is_live:
            progress.now(_now(serving_of(gateway, project, model), deployment))

    found: list[dict[str, Any]] = []
    for event in rollout(gateway, project, begun, _ROLLOUT_S, look):
        found.append(event)
        progress.tell(f"{event['type']}  {summary(event)}")
        if event["type"] in _ENDS or _waits(event):
            break
    return found


def _now(state: Mapping[str, Any], deployment: str) -> str:
    """Return how a rollout does at this moment, empty when it is over or nobody tells."""
    under_way = state.get("rollout") or {}
    if under_way.get("deployment_id") != deployment:
        return ""
    return "  ".join(filter(None, (pulse(under_way), rate_of(state, under_way["version"]))))


def _waits(event: Mapping[str, Any]) -> bool:
    said = event["data"]
    return said.get("phase") == "held" and str(said.get("reason", "")).startswith(_FOR_A_PERSON)


def _judge(deployment: str, last: Mapping[str, Any]) -> None:
    if _waits(last):
        model, version = last["data"]["model"], last["data"]["version"]
        raise CliError(
            f"rollout {deployment} {last['data']['reason']}",
            f"`mlops deploy {model} {version}` lets it go on, `mlops undeploy` or another version ends it",
        )
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


def removals(events: Sequence[Mapping[str, Any]], model: str) -> list[dict[str, Any]]:
    """Return which events tell that a version of a model was removed."""
    return [dict(event) for event in events if event["data"]["model"] == model]
