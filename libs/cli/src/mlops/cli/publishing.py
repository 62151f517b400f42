# SPDX-License-Identifier: Apache-2.0
"""Publishing: what a person wants said, read from words, a file or standard input, checked before it is sent."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlops.cli.errors import InputError
from mlops.cli.gateway import Gateway

STDIN = "-"
_SOURCE = "/cli"
_FORM = """write it as {"type": "…", "project": "…", "data": {…}}, or as a CloudEvent"""


def messages_in(what: str, fields: str, project: str) -> list[dict[str, Any]]:
    """Return the CloudEvents that are meant: a file's, standard input's, or one of a type with its fields.

    A file holds one object, a list of them, or one a line.
    """
    if what == STDIN or Path(what).is_file():
        text = _text(what)
        return [_event(found, project) for found in _objects(text, what)]
    data = _fields(fields)
    return [_event({"type": what, "project": project, "data": data}, project)]


def send(gateway: Gateway, event: Mapping[str, Any]) -> str:
    """Send one message; return its id once it is stored."""
    if not str(event["type"]).startswith("cmd."):
        return str(gateway.post("/api/v1/events", event)["id"])
    wish = {name: event[name] for name in ("id", "type", "project", "data")}
    return str(gateway.post("/api/v1/commands", wish)["id"])


def is_stored(what: str) -> bool:
    """Return whether the word names something to be read."""
    return what == STDIN or Path(what).is_file()


def _text(what: str) -> str:
    try:
        return sys.stdin.read() if what == STDIN else Path(what).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{what} cannot be read: {error}", "give a text file in UTF-8") from error


def _objects(text: str, what: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(text)
    except ValueError:
        found = [_parsed(line, f"{what}, line {at}") for at, line in _lines(text)]
    found = found if isinstance(found, list) else [found]
    if not found:
        raise InputError(f"{what} is empty", _FORM)
    for one in found:
        if not isinstance(one, dict) or "type" not in one:
            raise InputError(f"{what} holds something without a type: {str(one)[:100]}", _FORM)
    return found


def _lines(text: str) -> list[tuple[int, str]]:
    return [(at, line) for at, line in enumerate(text.splitlines(), 1) if line.strip()]


def _parsed(line: str, where: str) -> object:
    try:
        return json.loads(line)
    except ValueError as error:
        raise InputError(f"{where} is not JSON: {error}", _FORM) from error


def _fields(text: str) -> dict[str, Any]:
    fix = """write them as '{"why": "…"}'"""
    try:
        found = json.loads(_text(STDIN) if text == STDIN else text)
    except ValueError as error:
        raise InputError(f"the fields are not JSON: {error}", fix) from error
    if not isinstance(found, dict):
        raise InputError("the fields must be one JSON object", fix)
    return found


def _event(found: Mapping[str, Any], project: str) -> dict[str, Any]:
    """Return a whole CloudEvent; InputError when it is no message of ours or a field does not fit."""
    from mlops.contracts.catalogue import (  # noqa: PLC0415 - slow to import; help does without
        CATALOGUE,
    )
    from mlops.contracts.errors import MessageError  # noqa: PLC0415 - as above

    type_ = str(found["type"])
    kind = CATALOGUE.get(type_)
    if kind is None:
        raise InputError(f"no message type {type_!r}", f"types are: {', '.join(sorted(CATALOGUE))}")
    scope = found.get(kind.scoped_by) or project
    if not scope:
        raise InputError(f"which {kind.scoped_by} is {type_} about?", "name it: --project NAME")
    usual = {
        "specversion": "1.0",
        "id": str(uuid.uuid4()),
        "source": _SOURCE,
        "time": datetime.now(UTC).isoformat(),
        "datacontenttype": "application/json",
        "data": {},
    }
    event = {**usual, **found, kind.scoped_by: scope}
    try:
        kind.from_envelope(dict(event), strict=True)
    except MessageError as error:
        raise InputError(f"{type_} does not fit: {error}", "correct the fields it names") from error
    return event
