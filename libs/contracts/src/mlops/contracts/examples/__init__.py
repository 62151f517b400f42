# SPDX-License-Identifier: Apache-2.0
"""One fixed message of every type, for tests and documentation: `full(kind)` and `minimal(kind)`.

The story they tell is one: project `rainfall`, model `rain`, from registration to recovery.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TypeVar

from mlops.contracts.catalogue import owner
from mlops.contracts.examples import (
    cli,
    commands,
    gateway,
    monitoring,
    orchestration_bridge,
    serving,
    telemetry_agent,
    tracking,
    versioning,
    workspaces,
)
from mlops.contracts.message import Message, Part

M = TypeVar("M", bound=Message)
P = TypeVar("P", bound=Part)

_ALL: tuple[Message, ...] = (
    *workspaces.EXAMPLES,
    *tracking.EXAMPLES,
    *versioning.EXAMPLES,
    *orchestration_bridge.EXAMPLES,
    *serving.EXAMPLES,
    *gateway.EXAMPLES,
    *monitoring.EXAMPLES,
    *telemetry_agent.EXAMPLES,
    *cli.EXAMPLES,
    *commands.EXAMPLES,
)


def full(kind: type[M]) -> M:
    """Return the example of a type with every field said.

    Raises KeyError when there is none.
    """
    return _told(kind, _said(kind)).model_copy(
        update={
            "correlation_id": _id("story"),
            "causation_id": _id("cause"),
            "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        }
    )


def minimal(kind: type[M]) -> M:
    """Return the example of a type with only the fields that must be said, at every depth.

    Raises KeyError when there is none.
    """
    return _told(kind, _least(_said(kind)))


def _said(kind: type[M]) -> M:
    for message in _ALL:
        if type(message) is kind:
            return message
    raise KeyError(f"no example of {kind.type!r}; add one to mlops/contracts/examples")


def _told(kind: type[M], message: M) -> M:
    return message.model_copy(
        update={
            "id": _id(kind.type),
            "source": f"/services/{owner(kind)}",
            "time": datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC),
        }
    )


def _least(part: P) -> P:
    needed = [name for name, field in type(part).model_fields.items() if field.is_required()]
    return type(part)(**{name: _least_value(getattr(part, name)) for name in needed})


def _least_value(value: object) -> object:
    if isinstance(value, Part):
        return _least(value)
    if isinstance(value, tuple):
        return tuple(_least_value(item) for item in value[:1])
    return value


def _id(of: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"mlops:example:{of}"))
