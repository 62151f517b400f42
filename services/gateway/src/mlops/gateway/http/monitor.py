# SPDX-License-Identifier: Apache-2.0
"""Judging a table against a model's reference: `query.monitoring.judge`, which may take longer than other queries."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from starlette.requests import Request
from starlette.responses import Response

from mlops.chassis.bus import Bus
from mlops.contracts.message import Scope
from mlops.gateway.http.answers import json_answer, object_of
from mlops.gateway.http.reading import read

_Column = Annotated[str | None, Field(max_length=256)]


class JudgeIn(BaseModel):
    """Which table to judge, and which of its columns hold the model's answers and the truth."""

    project: Scope
    model: str = Field(min_length=1, max_length=256)
    uri: str = Field(min_length=1, max_length=1024)
    prediction: _Column = None
    target: _Column = None


class Monitor:
    """`/api/v1/monitor`."""

    def __init__(self, bus: Bus, timeout: timedelta, most_bytes: int) -> None:
        self._bus = bus
        self._timeout = timeout
        self._most_bytes = most_bytes

    def router(self) -> APIRouter:
        """Return its paths."""
        router = APIRouter(prefix="/api/v1", tags=["queries"])
        content = {"application/json": {"schema": JudgeIn.model_json_schema()}}
        router.add_api_route(
            "/monitor/judge",
            self.judge,
            methods=["POST"],
            response_model=None,
            openapi_extra={"requestBody": {"required": True, "content": content}},
        )
        router.add_api_route("/monitor/judge", self.judge_by_query, response_model=None)
        return router

    async def judge(self, request: Request) -> Response:
        """Judge a table against the model's reference; it changes nothing."""
        asked = read(JudgeIn, await object_of(request, self._most_bytes), "nothing to judge")
        return await self._ask(asked)

    async def judge_by_query(self, asked: Annotated[JudgeIn, Query()]) -> Response:
        """Judge a table, asked by an address."""
        return await self._ask(asked)

    async def _ask(self, asked: JudgeIn) -> Response:
        question = asked.model_dump(exclude_none=True)
        return json_answer(await self._bus.ask("monitoring", "judge", question, self._timeout))
