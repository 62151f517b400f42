# SPDX-License-Identifier: Apache-2.0
"""A change as JSON in the outbox and back; fields that a later version added or dropped do no harm."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from mlops.tracking.model.changes import (
    ChampionChanged,
    Change,
    RunBegan,
    RunEnded,
    RunWentStale,
    VersionAdded,
    Why,
)

_KINDS: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (RunBegan, RunEnded, RunWentStale, VersionAdded, ChampionChanged)
}


def to_body(change: Change) -> str:
    """Return the change as text."""
    return json.dumps({"kind": type(change).__name__, **dataclasses.asdict(change)})


def from_body(body: str) -> Change:
    """Return the change; ValueError when this is none."""
    fields = json.loads(body)
    kind = _KINDS.get(fields.get("kind", ""))
    if kind is None:
        raise ValueError(f"unknown kind of change {fields.get('kind')!r}")
    if fields.get("why"):
        fields["why"] = _build(Why, fields["why"])
    change: Change = _build(kind, fields)
    return change


def _build(kind: type[Any], fields: dict[str, Any]) -> Any:
    known = {field.name for field in dataclasses.fields(kind)}
    try:
        return kind(**{name: value for name, value in fields.items() if name in known})
    except TypeError as error:
        raise ValueError(f"{kind.__name__}: {error}") from error
