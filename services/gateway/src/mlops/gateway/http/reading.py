# SPDX-License-Identifier: Apache-2.0
"""Reads what strangers send, strictly: an unknown field or word is named, not passed over."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from mlops.contracts.catalogue import CATALOGUE, owner
from mlops.contracts.datasets import remote_problem
from mlops.contracts.errors import MessageError
from mlops.contracts.message import Command, Event, Message
from mlops.contracts.units import unknown_words
from mlops.contracts.workspaces import RegisterProject, UpdateProject
from mlops.gateway.errors import CallerError, Problem
from mlops.gateway.http.answers import invalid

_ENVELOPE = frozenset({"id", "source", "time", "correlation_id", "causation_id", "traceparent"})
# The bus gives its own name to what comes from /unknown.
_RESERVED = re.compile(r"/+(?:services(?:/.*)?|unknown)", re.IGNORECASE | re.DOTALL)
_FROM_OUTSIDE = ("label.recorded", "prediction.logged", "validation.finished")

B = TypeVar("B", bound=BaseModel)


def read(kind: type[B], values: Mapping[str, object], what: str) -> B:
    """Read *values* as a *kind*; CallerError 422 with every field that is wrong."""
    try:
        found = kind.model_validate(dict(values), extra="forbid")
    except ValidationError as error:
        raise invalid(what, _problems(error)) from error
    _refuse_unknown_words(found, what)
    return found


def read_command(type_: str, data: Mapping[str, object], envelope: Mapping[str, object]) -> Command:
    """Read a command of the catalogue; CallerError 422 names the field and the problem."""
    kind = CATALOGUE.get(type_)
    if kind is None or not issubclass(kind, Command):
        known = ", ".join(sorted(t for t, k in CATALOGUE.items() if issubclass(k, Command)))
        raise CallerError(422, "not a command", type_ or "type is missing", f"send one of: {known}")
    own = _ENVELOPE | {kind.scoped_by}
    twice = tuple(
        Problem(f"data.{name}", "stands beside `data`, not in it")
        for name in sorted(own & set(data))
    )
    if twice:
        raise invalid(f"{type_} does not fit", twice)
    what = f"{type_} for {owner(kind)} does not fit"
    command = read(kind, {**data, **envelope}, what)
    _refuse_credentials(command, what)
    _encode(command)
    return command


def read_event(values: Mapping[str, object]) -> Event:
    """Read a CloudEvent that others may tell; CallerError 422 otherwise."""
    type_ = str(values.get("type", ""))
    kind = CATALOGUE.get(type_)
    if type_ not in _FROM_OUTSIDE or kind is None or not issubclass(kind, Event):
        raise CallerError(
            422,
            "events of this type are not taken from outside",
            type_ or "type is missing",
            f"send one of: {', '.join(_FROM_OUTSIDE)}",
        )
    if _RESERVED.fullmatch(str(values.get("source", ""))):
        raise CallerError(
            422, "the source is a service's own", str(values["source"]), "name your tool as source"
        )
    try:
        event = kind.from_envelope(dict(values), strict=True)
    except MessageError as error:
        raise CallerError(422, "the event does not fit", str(error), "correct the field") from error
    _refuse_unknown_words(event, "the event does not fit")
    _encode(event)
    return event


def _refuse_unknown_words(found: BaseModel, what: str) -> None:
    problems = tuple(
        Problem(at, f"unknown word; use one of: {words}")
        for at, words in unknown_words(found.model_dump())
    )
    if problems:
        raise invalid(what, problems)


def _refuse_credentials(command: Command, what: str) -> None:
    # Here, not only at their owner: until then they would lie in the stream of commands.
    if not isinstance(command, RegisterProject | UpdateProject):
        return
    if problem := remote_problem(command.settings.data.remote):
        raise invalid(what, (Problem("settings.data.remote", problem),))


def _encode(message: Message) -> None:
    try:
        message.encode()
    except MessageError as error:
        raise CallerError(
            413, "the message is too large", str(error), "send the large part by reference"
        ) from error


def _problems(error: ValidationError) -> tuple[Problem, ...]:
    return tuple(
        Problem(".".join(str(step) for step in item["loc"]) or "(whole)", item["msg"])
        for item in error.errors(include_url=False, include_input=False)
    )
