# SPDX-License-Identifier: Apache-2.0
"""A replica without Ray: its parts around a model of the test's own, asked over ASGI."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from mlops.serving.adapters.replica_assembly import Loaded, Parts, assemble
from mlops.serving.adapters.replica_settings import ReplicaSettings

RAIN: dict[str, Any] = {
    "name": "rain",
    "model_tag": "rain:1",
    "backend": "sklearn",
    "task": "predict",
    "concurrency": None,
    "example": None,
    "inputs": [
        {"name": name, "datatype": "FP64", "dtype": "f8", "nullable": False, "shape": [-1]}
        for name in ("temperature", "dew_point")
    ],
    "outputs": [{"name": "predict", "datatype": "FP64", "shape": [-1]}],
}
IMAGE = {
    **RAIN,
    "inputs": [{"name": "image", "datatype": "FP32", "dtype": "f4", "shape": [-1, 2]}],
    "outputs": [{"name": "sum", "datatype": "FP32", "shape": [-1]}],
}


def total(values: Any) -> Any:
    """Answer with the sum of each row."""
    if isinstance(values, dict):
        return np.sum(list(values.values()), axis=0)
    return values.sum(axis=1)


@dataclass
class Said:
    """A whole answer."""

    status: int
    headers: dict[str, str]
    body: bytes
    pieces: list[bytes]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Replica:
    """One replica; *parts* is what it is made of."""

    parts: Parts
    gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Said:
        return await self.ask("GET", path, headers=headers)

    async def post(
        self, path: str, body: Any = b"", headers: Mapping[str, str] | None = None
    ) -> Said:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await self.ask("POST", path, [raw], headers)

    async def infer(self, *rows: list[float], **more: Any) -> Said:
        return await self.post("/v2/models/rain/infer", {"inputs": [matrix(*rows)], **more})

    async def ask(
        self,
        method: str,
        path: str,
        chunks: Iterable[bytes] = (b"",),
        headers: Mapping[str, str] | None = None,
        heard: Callable[[bytes], None] = lambda _: None,
        *,
        ends: bool = True,
    ) -> Said:
        chunks = list(chunks)
        waiting = [
            {"type": "http.request", "body": one, "more_body": not ends or place < len(chunks) - 1}
            for place, one in enumerate(chunks)
        ]
        told: list[Any] = []

        async def receive() -> Any:
            if not waiting:
                await self.gone.wait()
                return {"type": "http.disconnect"}
            return waiting.pop(0)

        async def send(message: Any) -> None:
            told.append(message)
            heard(message.get("body", b""))

        given = [(one.lower().encode(), two.encode()) for one, two in (headers or {}).items()]
        scope = {"type": "http", "method": method, "path": f"/at{path}", "root_path": "/at"}
        await self.parts.ingress({**scope, "headers": given}, receive, send)
        if not told:
            return Said(0, {}, b"", [])
        start, *rest = told
        found = {one.decode(): two.decode() for one, two in start["headers"]}
        pieces = [one["body"] for one in rest]
        return Said(start["status"], found, b"".join(pieces), pieces)


def replica(
    home: Path,
    spec: Mapping[str, Any] = RAIN,
    answer: Callable[[Any], Any] = total,
    generate: Callable[..., Iterator[Any]] | None = None,
    service: Any = None,
    *,
    is_alone: bool = True,
    **settings: Any,
) -> Replica:
    model = SimpleNamespace(spec=dict(spec), answer=answer, generate=generate)
    if service is not None:
        model = service(model)
    args: dict[str, Any] = {"project": "rain", "model": "rain", "version": 3, "bento_tag": "rain:1"}
    loaded = Loaded(service or SimpleNamespace(apis={}), model, 0.1)
    args |= {"memory_gb": 1, "home": str(home)}
    return Replica(assemble(args, loaded, told(home, **settings), is_alone=is_alone))


def told(home: Path, **settings: Any) -> ReplicaSettings:
    return ReplicaSettings.model_validate({"home": home, "nats_url": "", **settings})


def matrix(*rows: list[float]) -> dict[str, Any]:
    return {"name": "x", "datatype": "FP64", "shape": [len(rows), 2], "data": list(rows)}
