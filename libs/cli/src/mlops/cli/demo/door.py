# SPDX-License-Identifier: Apache-2.0
"""Door: what a client of the gateway does: ask, and say later what was true. It retries what may be retried."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx

from mlops.cli.errors import CliError

_PATIENCE_S = 20.0
_PAUSE_S = 0.25
_PASSING = {429, 502, 503, 504}


@dataclass
class Tally:
    """What happened to the requests."""

    requests: int = 0
    failed: int = 0
    retried: int = 0
    newest: str = ""
    failures: list[str] = field(default_factory=list)


class Door:
    """The gateway, as the demo's stations use it."""

    def __init__(self, gateway: str, token: str) -> None:
        self.tally = Tally()
        self._http = httpx.AsyncClient(
            base_url=gateway,
            headers={"Authorization": f"Bearer {token}"},
            timeout=httpx.Timeout(15, connect=3),
            limits=httpx.Limits(max_connections=8, keepalive_expiry=30),
        )

    async def close(self) -> None:
        """Hang up."""
        await self._http.aclose()

    async def predict(
        self, model: str, request_id: str, columns: Mapping[str, Sequence[float]]
    ) -> list[int] | None:
        """Return one answer per row, or None when the request failed for good; counted either way."""
        rows = len(next(iter(columns.values())))
        body = {
            "id": request_id,
            "inputs": [
                {"name": name, "shape": [rows], "datatype": "FP64", "data": list(values)}
                for name, values in columns.items()
            ],
        }
        self.tally.requests += 1
        try:
            reply = await self._patiently("POST", f"/v2/models/{model}/infer", body)
        except CliError as error:
            self.tally.failed += 1
            self.tally.failures.append(f"{datetime.now(UTC):%H:%M:%S} {error.what}")
            return None
        answer = reply.json()
        self.tally.newest = str(answer.get("model_version", ""))
        return [int(value) for value in answer["outputs"][0]["data"]]

    async def label(self, project: str, model: str, labels: Sequence[Mapping[str, Any]]) -> None:
        """Say what was true; a label is retried until it is taken."""
        body = {"project": project, "model": model, "labels": list(labels)}
        await self._patiently("POST", "/api/v1/labels", body)

    async def command(self, type_: str, project: str, data: Mapping[str, Any]) -> str:
        """Send a command; return its id."""
        body = {"type": type_, "project": project, "data": dict(data)}
        reply = await self._patiently("POST", "/api/v1/commands", body)
        return str(reply.json()["id"])

    async def query(self, service: str, verb: str, **question: str) -> dict[str, Any]:
        """Ask a service; empty when it cannot answer now."""
        try:
            reply = await self._http.get(f"/api/v1/query/{service}/{verb}", params=question)
        except httpx.HTTPError:
            return {}
        found = reply.json() if reply.status_code == httpx.codes.OK else {}
        return found if isinstance(found, dict) else {}

    async def _patiently(self, method: str, path: str, body: Mapping[str, Any]) -> httpx.Response:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PATIENCE_S
        while True:
            problem = await self._once(method, path, body)
            if isinstance(problem, httpx.Response):
                return problem
            if loop.time() > deadline:
                raise CliError(
                    f"{method} {path}: {problem}", "see `mlops status` and `mlops logs gateway`"
                )
            self.tally.retried += 1
            await asyncio.sleep(_PAUSE_S)

    async def _once(self, method: str, path: str, body: Mapping[str, Any]) -> httpx.Response | str:
        """Return the reply, or why it may be worth another try; raise CliError when it is not."""
        try:
            reply = await self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            return repr(error)
        if reply.status_code in _PASSING:
            return f"{reply.status_code} {reply.text[:200]}"
        if reply.is_error:
            raise CliError(f"{method} {path}: {reply.status_code} {reply.text[:500]}")
        return reply
