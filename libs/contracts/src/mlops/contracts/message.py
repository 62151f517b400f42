# SPDX-License-Identifier: Apache-2.0
"""Message: a typed fact or wish, and how it is written as a CloudEvent.

The envelope is CloudEvents 1.0 in structured JSON mode (https://github.com/cloudevents/spec, v1.0.2)
with the extensions `project` or `node`, `correlationid`, `causationid` and `traceparent` (W3C).
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import from_json, to_json

from mlops.contracts.errors import MessageTooLargeError, UnreadableMessageError

MAX_BYTES = 64 * 1024
CONTENT_TYPE = "application/cloudevents+json"

Scope = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,62}$", description="One subject token: a project or a node."
    ),
]

_ENVELOPE = ("id", "source", "time", "correlation_id", "causation_id", "traceparent")
_WIRE_NAMES = {"correlation_id": "correlationid", "causation_id": "causationid"}


class Part(BaseModel):
    """A piece of a message: frozen, tolerant of fields it does not know, finite numbers only.

    Validators are built at the first use: a process knows every message and meets few of them. An error does not
    repeat what was read: that may be a secret where none belongs, and errors go into logs.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
        defer_build=True,
        hide_input_in_errors=True,
    )


class Message(Part):
    """What travels on the bus; subclasses name their `type`, `about` and fields.

    `type` is the CloudEvents type, `about` the field that becomes the CloudEvents subject,
    `scoped_by` the field whose value is the last token of the NATS subject. Where several services
    tell a message, `answers` is the prefix of the types it answers, and `told_apart_by` the field
    that keeps their ids apart, for all of them derive from the same cause.
    """

    type: ClassVar[str] = ""
    about: ClassVar[str | None] = None
    scoped_by: ClassVar[Literal["project", "node"]] = "project"
    told_apart_by: ClassVar[str | None] = None
    answers: ClassVar[str] = ""

    id: str = Field(default_factory=lambda: str(uuid.uuid4()), min_length=1, max_length=128)
    source: str = Field(default="/unknown", min_length=1, max_length=256)
    time: AwareDatetime = Field(default_factory=lambda: datetime.now(UTC))
    correlation_id: str | None = Field(default=None, max_length=128)
    causation_id: str | None = Field(default=None, max_length=128)
    traceparent: str | None = Field(default=None, max_length=128)

    @property
    def scope(self) -> str:
        """Return the project or the node this message belongs to."""
        return str(getattr(self, self.scoped_by))

    @property
    def subject(self) -> str:
        """Return the NATS subject: the type and the scope."""
        return f"{self.type}.{self.scope}"

    @property
    def story_id(self) -> str:
        """Return the id of the whole story: the first message of a story is its own."""
        return self.correlation_id or self.id

    def caused_by(self, cause: Message, index: int) -> Self:
        """Return this message as follow-up number *index* of *cause*.

        Its id derives from the cause, so that a redelivered cause repeats nothing.
        """
        return self.model_copy(
            update={
                "id": follow_up_id(cause.id, self._kind_apart(), index),
                "correlation_id": cause.story_id,
                "causation_id": cause.id,
            }
        )

    def _kind_apart(self) -> str:
        return (
            f"{self.type}:{getattr(self, self.told_apart_by)}" if self.told_apart_by else self.type
        )

    def encode(self) -> bytes:
        """Return the message as structured CloudEvents JSON.

        Raises MessageTooLargeError above `MAX_BYTES`.
        """
        payload = to_json(self.envelope())
        if len(payload) > MAX_BYTES:
            raise MessageTooLargeError(
                f"{self.type} {self.id} has {len(payload)} bytes, {MAX_BYTES} are allowed; "
                "send the large part by reference (uri, sha256, bytes)"
            )
        return payload

    def envelope(self) -> dict[str, Any]:
        """Return the CloudEvent as plain JSON values."""
        fields = self.model_dump(mode="json")
        scope = fields.pop(self.scoped_by)
        outer = {_WIRE_NAMES.get(name, name): fields.pop(name, None) for name in _ENVELOPE}
        about = getattr(self, self.about) if self.about else None
        event = {
            "specversion": "1.0",
            "type": self.type,
            **outer,
            "subject": str(about) if about not in (None, "") else None,
            "datacontenttype": "application/json",
            "dataschema": schema_uri(self.type),
            self.scoped_by: scope,
            "data": fields,
        }
        return {name: value for name, value in event.items() if value is not None}

    @classmethod
    def decode(cls, payload: bytes, *, strict: bool = False) -> Self:
        """Read the message from structured CloudEvents JSON.

        With *strict*, fields that the contract does not name are refused too (for tests).
        Raises UnreadableMessageError for anything that is not a valid message of this type.
        """
        return cls.from_envelope(parsed(payload, cls.type), strict=strict)

    @classmethod
    def from_envelope(cls, event: object, *, strict: bool = False) -> Self:
        """Read the message from a parsed CloudEvent; errors as for `decode`."""
        if not isinstance(event, dict) or event.get("specversion") != "1.0":
            raise UnreadableMessageError(f"{cls.type}: not a CloudEvent of specversion 1.0")
        if event.get("type") != cls.type:
            raise UnreadableMessageError(f"expected type {cls.type!r}, got {event.get('type')!r}")
        if not isinstance(event.get("data"), dict):
            raise UnreadableMessageError(f"{cls.type}: `data` must be an object")
        if not event.get("id") or not event.get("time") or not event.get("source"):
            raise UnreadableMessageError(f"{cls.type}: `id`, `source` and `time` are required")
        if strict and (misplaced := sorted(event["data"].keys() & {*_ENVELOPE, cls.scoped_by})):
            raise UnreadableMessageError(f"{cls.type}: {misplaced} belong beside `data`, not in it")
        outer = {name: event.get(_WIRE_NAMES.get(name, name)) for name in _ENVELOPE}
        fields = {**event["data"], **outer, cls.scoped_by: event.get(cls.scoped_by)}
        try:
            return cls.model_validate(fields, extra="forbid" if strict else None)
        except ValidationError as error:
            raise UnreadableMessageError(f"{cls.type}: {_first_lines(error)}") from error


class Event(Message):
    """A fact: what happened in its owner's world."""


class Command(Message):
    """A wish of a person or a client, to the one service that owns it."""


class ProjectEvent(Event):
    """A fact of one project."""

    project: Scope


class ProjectCommand(Command):
    """A wish about one project."""

    project: Scope


class NodeEvent(Event):
    """A fact of one machine."""

    scoped_by: ClassVar[Literal["project", "node"]] = "node"
    node: Scope


def parsed(payload: bytes, what: str) -> object:
    """Return the JSON of a message; UnreadableMessageError, which begins with *what*, for all else."""
    if len(payload) > MAX_BYTES:
        raise UnreadableMessageError(
            f"{what}: {len(payload)} bytes, {MAX_BYTES} are allowed; "
            "send the large part by reference (uri, sha256, bytes)"
        )
    try:
        return from_json(payload)
    except ValueError as error:
        raise UnreadableMessageError(f"{what}: not JSON: {error}") from error


def follow_up_id(cause_id: str, type_: str, index: int) -> str:
    """Return the id of follow-up number *index* of a cause: the same at every redelivery."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"mlops:{cause_id}:{type_}:{index}"))


def schema_uri(type_: str) -> str:
    """Return the versioned name of the schema of a type's data."""
    bare, _, version = type_.partition("_v")
    return f"urn:mlops:schema:{bare}:{version or '1'}"


def _first_lines(error: ValidationError, most: int = 5) -> str:
    found = [
        f"{'.'.join(str(step) for step in item['loc'])}: {item['msg']}"
        for item in error.errors(include_url=False, include_input=False)
    ]
    more = f" (and {len(found) - most} more)" if len(found) > most else ""
    return "; ".join(found[:most]) + more
