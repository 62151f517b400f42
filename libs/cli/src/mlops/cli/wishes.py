# SPDX-License-Identifier: Apache-2.0
"""Wishes: send a command and show what came of it; a refusal is an input error."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from mlops.cli import output
from mlops.cli.errors import CliError, InputError
from mlops.cli.gateway import Gateway
from mlops.cli.home import Home
from mlops.cli.patience import patiently
from mlops.cli.progress import Progress
from mlops.cli.runs import size
from mlops.cli.summary import summary

_SLOW = "it may still come: `mlops explain {id}` tells, `mlops status` shows whether its owner runs"
_LOOK_S = 0.5
_SLICE_S = 1.0  # how often the progress is asked for


def wish(
    home: Home,
    type_: str,
    project: str,
    data: Mapping[str, Any],
    *,
    answers: Sequence[str],
    timeout_s: float,
    as_json: bool,
) -> None:
    """Send a command, wait for one of *answers* and show it; errors as for `answered`."""
    with Gateway(home) as gateway, Progress(type_, quiet=as_json):
        command, found = answered(gateway, type_, project, data, answers, timeout_s)
    show(command, type_, found, as_json=as_json)


def answered(
    gateway: Gateway,
    type_: str,
    project: str,
    data: Mapping[str, Any],
    answers: Sequence[str],
    timeout_s: float,
    *,
    patient: bool = False,
) -> tuple[str, list[dict[str, Any]]]:
    """Send a command and return its id and the events it caused, one of *answers* among them.

    *patient* waits for a gateway that is started again meanwhile: the command is stored, and will be answered.
    Raises InputError when it is refused, CliError when no answer comes in time.
    """
    command = gateway.command(type_, project, data)
    ask = partial(gateway.result, command, answers, timeout_s)
    found = patiently(ask) if patient else ask()
    refuse(type_, found)
    if not any(event["type"] in answers for event in found):
        raise CliError(
            f"no answer to {type_} {command} within {timeout_s:g} s", _SLOW.format(id=command)
        )
    return command, found


def watched(
    gateway: Gateway,
    type_: str,
    project: str,
    data: Mapping[str, Any],
    answer: str,
    progress: Progress,
    quiet_s: float,
    *,
    now_s: Callable[[], float] = time.monotonic,
) -> tuple[str, list[dict[str, Any]]]:
    """Send a command to versioning and return its id and the events it caused; say meanwhile how far it is.

    Raises InputError when it is refused, CliError when for *quiet_s* nothing has worked on it: one step, a large file
    to a slow remote for one, may take for hours.
    """
    command = gateway.command(type_, project, data)
    heard, last = now_s(), ""
    while now_s() - heard < quiet_s:
        # The command is stored: a gateway that is started again meanwhile ends nothing.
        found = patiently(partial(gateway.result, command, [answer], _SLICE_S))
        refuse(type_, found)
        if any(event["type"] == answer for event in found):
            return command, found
        now = _how_far(gateway, project, command)
        heard = now_s() if now else heard
        if now not in ("", last):
            last = now
            progress.now(now)
    raise CliError(
        f"nothing has worked on {type_} {command} for {quiet_s:g} s", _SLOW.format(id=command)
    )


def _how_far(gateway: Gateway, project: str, command: str) -> str:
    try:
        found = gateway.query("versioning", "progress", project=project, command=command)
    except CliError:
        return ""  # it is started again meanwhile; the command is stored
    step, unit = str(found.get("step", "")), found.get("unit")
    done, whole = float(found.get("done") or 0), float(found.get("whole") or 0)
    if not whole:
        return step
    if unit == "bytes":
        return f"{step} {size(done)} of {size(whole)}"
    return f"{step} {done:.0f} of {whole:.0f} {unit}"


def refuse(type_: str, found: Sequence[Mapping[str, Any]]) -> None:
    """Raise InputError when the owner of a command has refused it."""
    for event in found:
        if event["type"] == "command.refused":
            raise InputError(f"{type_} is refused: {event['data']['reason']}")


def rollout(
    gateway: Gateway,
    project: str,
    begun: Mapping[str, Any],
    timeout_s: float,
    look: Callable[[], None],
) -> Iterator[dict[str, Any]]:
    """Yield what is said about a rollout from *begun* on, each event once, for at most *timeout_s*.

    *look* between two questions. What was said before is over: a shadow that goes on has waited for a person.
    """
    deployment_id = begun["data"]["deployment_id"]
    deadline, seen = time.monotonic() + timeout_s, set[str]()
    while time.monotonic() < deadline:
        events = patiently(
            partial(gateway.get, "/api/v1/events", type="deployment.*", project=project, limit=200)
        )
        of_it = [one for one in events if one["data"].get("deployment_id") == deployment_id]
        seen.update(_before(begun["id"], [one["id"] for one in of_it]))
        for event in of_it:
            if event["id"] not in seen:
                seen.add(event["id"])
                yield dict(event)
        look()
        time.sleep(_LOOK_S)


def _before(begun: str, ids: Sequence[str]) -> Sequence[str]:
    return ids[: ids.index(begun)] if begun in ids else ()


def show(command: str, type_: str, found: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Show a command and what came of it."""
    if as_json:
        output.print_json({"id": command, "events": found})
        return
    output.say(f"{type_} {command}")
    for event in found:
        output.say(f"  {event['type']}  {summary(event)}")
