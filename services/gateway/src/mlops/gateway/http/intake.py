# SPDX-License-Identifier: Apache-2.0
"""What callers bring: commands, labels, and events of other tools; each is stored before it is answered with 202."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from mlops.chassis.bus import Bus
from mlops.chassis.clock import Clock
from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.contracts.gateway import Label, LabelRecorded
from mlops.contracts.message import MAX_BYTES, Scope
from mlops.contracts.serving import Scalar
from mlops.gateway.errors import CallerError
from mlops.gateway.http.answers import body_of, json_answer, object_of, trace_of
from mlops.gateway.http.reading import read, read_command, read_event
from mlops.gateway.model.labels import batches
from mlops.gateway.ports import Memory

_LABELS_PER_MESSAGE = 500
_LABELS_BYTES = MAX_BYTES - 4096  # room for the envelope
_LABELS_AT_ONCE = 50_000
_SOURCE = "/services/gateway"
_CLOUD_EVENTS = "application/cloudevents+json"

RequestId = Annotated[str, Field(min_length=1, max_length=128)]


class CommandIn(BaseModel):
    """A wish: its type, the project, and the fields of the command."""

    type: str = Field(max_length=128, examples=["cmd.workflow.start"])
    project: Scope
    data: dict[str, Any] = Field(default_factory=dict)
    id: str = Field(
        default_factory=lambda: str(uuid.uuid4()),
        min_length=1,
        max_length=128,
        description="Optional: the same id again is stored once, so that a retry is safe.",
    )
    correlation_id: str | None = Field(default=None, max_length=128)
    causation_id: str | None = Field(default=None, max_length=128)
    traceparent: str | None = Field(default=None, max_length=128)


class LabelIn(BaseModel):
    """What turned out to be true for one prediction; without a time, now."""

    request_id: RequestId
    label: Scalar
    at: AwareDatetime | None = None


class LabelsIn(BaseModel):
    """Labels of one model: a list, or a mapping of request id to label."""

    project: Scope
    model: str = Field(min_length=1, max_length=256)
    labels: list[LabelIn] | dict[RequestId, Scalar]


class Intake:
    """The writing half of `/api/v1`."""

    def __init__(self, bus: Bus, memory: Memory, clock: Clock, most_bytes: int) -> None:
        self._bus = bus
        self._memory = memory
        self._clock = clock
        self._most_bytes = most_bytes

    def router(self) -> APIRouter:
        """Return its paths."""
        router = APIRouter(prefix="/api/v1", tags=["intake"])
        router.add_api_route("/commands", self.command, methods=["POST"], **_takes(CommandIn))
        router.add_api_route("/labels", self.labels, methods=["POST"], **_takes(LabelsIn))
        router.add_api_route("/events", self.event, methods=["POST"], **_takes(None))
        return router

    async def command(self, request: Request) -> Response:
        """Store a command for the one service that owns it; the answer comes as events."""
        asked = read(CommandIn, await object_of(request, self._most_bytes), "not a command")
        envelope = {
            "id": asked.id,
            "source": _SOURCE,
            "project": asked.project,
            "correlation_id": asked.correlation_id,
            "causation_id": asked.causation_id,
            "traceparent": asked.traceparent or trace_of(request),
        }
        command = read_command(asked.type, asked.data, envelope)
        await self._bus.publish(command)
        return json_answer({"id": command.id}, 202)

    async def labels(self, request: Request) -> Response:
        """Store labels, in as many messages as they need."""
        given = read(LabelsIn, await object_of(request, self._most_bytes), "not a list of labels")
        labels = _labels(given, self._clock())
        await self._known(given.project)
        messages = _messages(given, labels)
        for message in messages:
            await self._bus.publish(message)
        ids = [message.id for message in messages]
        return json_answer({"ids": ids, "labels": len(labels)}, 202)

    async def event(self, request: Request) -> Response:
        """Store an event of another tool: a CloudEvent in structured JSON."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        if kind not in (_CLOUD_EVENTS, "application/json"):
            raise CallerError(
                415, "not a structured CloudEvent", kind or "no type", f"send {_CLOUD_EVENTS}"
            )
        body = await body_of(request, MAX_BYTES)
        try:
            values = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise CallerError(
                400, "the body is not JSON", str(error), "send one CloudEvent in structured JSON"
            ) from error
        if not isinstance(values, dict):
            raise CallerError(400, "not a CloudEvent", "the body", "send one JSON object")
        event = read_event(values)
        await self._known(event.scope)
        await self._bus.publish(event)
        return json_answer({"id": event.id}, 202)

    async def _known(self, project: str) -> None:
        """Refuse a project that nobody registered; nobody downstream would ever say so."""
        projects = self._memory.world.projects
        if project in projects:
            return
        try:
            await self._bus.ask("workspaces", "get", {"project": project})
        except RejectedError as error:
            known = ", ".join(sorted(projects)) or "none yet"
            raise CallerError(
                404,
                "no such project",
                project,
                f"register it with `mlops register`; registered are: {known}",
            ) from error
        except (UnavailableError, TimeoutError):
            return  # nobody can tell at the moment; a fact must not be lost for that


def _labels(given: LabelsIn, now: datetime) -> list[Label]:
    rows = (
        given.labels
        if isinstance(given.labels, list)
        else [LabelIn(request_id=key, label=value) for key, value in given.labels.items()]
    )
    if not 0 < len(rows) <= _LABELS_AT_ONCE:
        raise CallerError(
            422 if not rows else 413,
            "the number of labels does not fit",
            str(len(rows)),
            f"send 1 to {_LABELS_AT_ONCE} at once",
        )
    return [Label(request_id=row.request_id, label=row.label, at=row.at or now) for row in rows]


def _messages(given: LabelsIn, labels: Sequence[Label]) -> list[LabelRecorded]:
    sizes = [len(label.model_dump_json().encode()) + 1 for label in labels]
    if max(sizes) > _LABELS_BYTES:
        raise CallerError(
            413,
            "a label is too large",
            labels[sizes.index(max(sizes))].request_id,
            f"a label may have {_LABELS_BYTES} bytes",
        )
    return [
        LabelRecorded(
            source=_SOURCE,
            project=given.project,
            model=given.model,
            labels=tuple(labels[index] for index in batch),
        )
        for batch in batches(sizes, _LABELS_PER_MESSAGE, _LABELS_BYTES)
    ]


def _takes(kind: type[BaseModel] | None) -> dict[str, Any]:
    # Bodies are read by hand, so that their size is bounded and their errors are ours; the document still shows them.
    schema = {"type": "object", "description": "A CloudEvent in structured JSON."}
    if kind is not None:
        schema = kind.model_json_schema()
    content = {"application/json": {"schema": schema}}
    return {
        "status_code": 202,
        "response_model": None,
        "openapi_extra": {"requestBody": {"required": True, "content": content}},
    }
