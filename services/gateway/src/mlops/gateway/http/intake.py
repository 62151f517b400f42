# SPDX-License-Identifier: Apache-2.0
"""What callers bring: commands and labels; each is stored before it is answered with 202."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AwareDatetime, BaseModel, Field, FiniteFloat
from starlette.requests import Request
from starlette.responses import Response

from mlops.chassis.bus import Bus
from mlops.chassis.clock import Clock
from mlops.contracts.gateway import Label, LabelRecorded
from mlops.contracts.message import MAX_BYTES, Scope
from mlops.contracts.serving import MOST_OF_A_VECTOR, Scalar
from mlops.gateway.errors import CallerError
from mlops.gateway.http.answers import json_answer, object_of, trace_of
from mlops.gateway.http.callers import allow, caller_of
from mlops.gateway.http.known import KnownProjects
from mlops.gateway.http.reading import read, read_command
from mlops.gateway.model.labels import batches

_LABELS_PER_MESSAGE = 500
_LABELS_BYTES = MAX_BYTES - 4096  # room for the envelope
_LABELS_AT_ONCE = 50_000
_SOURCE = "/services/gateway"

RequestId = Annotated[str, Field(min_length=1, max_length=128)]
Numbers = Annotated[list[FiniteFloat | None], Field(min_length=1, max_length=MOST_OF_A_VECTOR)]


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
    """What turned out to be true for one prediction, a list where the answer is several numbers; without a time, now."""

    request_id: RequestId
    label: Scalar | Numbers
    at: AwareDatetime | None = None


class LabelsIn(BaseModel):
    """Labels of one model: a list, or a mapping of request id to label."""

    project: Scope
    model: str = Field(min_length=1, max_length=256)
    labels: list[LabelIn] | dict[RequestId, Scalar | Numbers]


class Intake:
    """The writing half of `/api/v1`."""

    def __init__(self, bus: Bus, known: KnownProjects, clock: Clock, most_bytes: int) -> None:
        self._bus = bus
        self._known = known
        self._clock = clock
        self._most_bytes = most_bytes

    def router(self) -> APIRouter:
        """Return its paths."""
        router = APIRouter(prefix="/api/v1", tags=["intake"])
        router.add_api_route("/commands", self.command, methods=["POST"], **_takes(CommandIn))
        router.add_api_route("/labels", self.labels, methods=["POST"], **_takes(LabelsIn))
        return router

    async def command(self, request: Request) -> Response:
        """Store a command for the one service that owns it; the answer comes as events."""
        asked = read(CommandIn, await object_of(request, self._most_bytes), "not a command")
        allow(request.scope, asked.project, "write")
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
        allow(request.scope, given.project, "write")
        labels = _labels(given, self._clock())
        await self._known.check(given.project, caller_of(request.scope))
        messages = _messages(given, labels)
        for message in messages:
            await self._bus.publish(message)
        ids = [message.id for message in messages]
        return json_answer({"ids": ids, "labels": len(labels)}, 202)


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
    return [_label(row, row.at or now) for row in rows]


def _label(row: LabelIn, at: datetime) -> Label:
    if not isinstance(row.label, list):
        return Label(request_id=row.request_id, label=row.label, at=at)
    if len(row.label) == 1:  # one output is told as one number everywhere
        return Label(request_id=row.request_id, label=row.label[0], at=at)
    return Label(request_id=row.request_id, label=None, at=at, numbers=tuple(row.label))


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


def _takes(kind: type[BaseModel]) -> dict[str, Any]:
    # Bodies are read by hand, so that their size is bounded and their errors are ours; the document still shows them.
    content = {"application/json": {"schema": kind.model_json_schema()}}
    return {
        "status_code": 202,
        "response_model": None,
        "openapi_extra": {"requestBody": {"required": True, "content": content}},
    }
