# SPDX-License-Identifier: Apache-2.0
"""A gateway over the memory bus, with real HTTP replicas on free ports."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry

from mlops.chassis.bus_memory import MemoryBus
from mlops.chassis.clock import utc_now
from mlops.chassis.tokens import Tokens
from mlops.contracts.message import Message
from mlops.gateway import app as gateway_app
from mlops.gateway.adapters.aiohttp import AiohttpReplicas
from mlops.gateway.adapters.aiohttp_upstream import AiohttpUpstream
from mlops.gateway.adapters.files_folder import FilesFolder
from mlops.gateway.adapters.prometheus import PrometheusMeter
from mlops.gateway.adapters.routes_file import RoutesFile
from mlops.gateway.app import Gateway
from mlops.gateway.settings import Settings

TOKEN = "correct-horse-battery-staple"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
TOKENS = Tokens(TOKEN)
ROW = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}


def bearer(
    *acts: str, projects: Sequence[str] = ("rainfall",), lasts: float = 3600
) -> dict[str, str]:
    """Return the header of a caller with a token of some projects."""
    token = TOKENS.sign("ann", projects, acts, utc_now(), timedelta(seconds=lasts))
    return {"Authorization": f"Bearer {token}"}


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Replica:
    """A real HTTP server that answers as one version of a model; *looks* asked whether it is ready."""

    version: int
    answers: list[Answer] = field(default_factory=list)
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    looks: int = 0
    is_away: bool = False
    url: str = ""
    runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self.runner is not None:
            await self.runner.cleanup()
            self.runner = None

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.path.endswith("/ready"):
            self.looks += 1
            return web.json_response(
                {"ready": not self.is_away}, status=503 if self.is_away else 200
            )
        self.seen.append((request.path, {k.lower(): v for k, v in request.headers.items()}))
        if self.answers:
            return await self.answers.pop(0)(request)
        return web.json_response({"model_version": str(self.version), "outputs": []})


def says(status: int, text: str = "trouble") -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=status, text=text)

    return answer


async def hangs_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


@dataclass
class House:
    """Everything a test looks at."""

    bus: MemoryBus
    gateway: Gateway
    client: httpx.AsyncClient
    registry: CollectorRegistry
    mlflow: Replica
    files: Path
    routes: list[dict[str, Any]] = field(default_factory=list)

    async def route(
        self, project: str, model: str, *versions: tuple[Replica, float], **more: Any
    ) -> None:
        """Let serving tell a route (*more*: asleep, shadow), and wait until the gateway knows it."""
        entries = [
            {"version": one.version, "url": one.url, "weight": weight} for one, weight in versions
        ]
        self.routes[:] = [r for r in self.routes if (r["project"], r["model"]) != (project, model)]
        self.routes.append({"project": project, "model": model, "versions": entries, **more})
        self.gateway.routes.refresh()
        await asyncio.sleep(0.01)

    async def say(self, *messages: Message) -> None:
        """Publish, and wait until the read models have it."""
        for message in messages:
            await self.bus.publish(message)
        await asyncio.sleep(0.01)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(name, labels)


async def drain(source: AsyncIterator[Message]) -> None:
    async for _ in source:
        raise AssertionError("this source tells nothing")


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus()


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("NATS_URL", "nats://unused")
    monkeypatch.setenv("GATEWAY_TOKEN", TOKEN)
    monkeypatch.setenv("GATEWAY_INFER_MAX_BYTES", "100000")
    monkeypatch.setenv("GATEWAY_INFER_TIMEOUT_S", "2")
    monkeypatch.setenv("GATEWAY_ROUTES_EVERY_S", "0.2")
    monkeypatch.setenv("GATEWAY_INFER_UNDER_WAY", "40")
    monkeypatch.setenv("GATEWAY_INFER_TOTAL_BYTES", "250000")
    monkeypatch.setenv("GATEWAY_INFER_BODY_TIMEOUT_S", "0.5")
    monkeypatch.setenv("GATEWAY_WAKE_TIMEOUT_S", "2")
    monkeypatch.setenv("GATEWAY_WAKE_WAITING", "5")
    monkeypatch.setenv("GATEWAY_FILES_MAX_BYTES", "3000000")
    return Settings()


@pytest.fixture
async def house(bus: MemoryBus, settings: Settings, tmp_path: Path) -> AsyncIterator[House]:
    replicas = AiohttpReplicas(timedelta(seconds=settings.infer_timeout_s), TOKEN)
    registry = CollectorRegistry()
    last_routes = RoutesFile(tmp_path / "routes.json", utc_now)
    files = FilesFolder(tmp_path / "files", settings.files_max_bytes, settings.files_keep)
    mlflow = Replica(0)
    await mlflow.start()
    upstream = AiohttpUpstream(f"{mlflow.url}/", timedelta(seconds=1))
    meter = PrometheusMeter(registry)
    outside = gateway_app.Outside(replicas, meter, last_routes, files, upstream)
    gateway = gateway_app.wire(bus, outside, settings)
    transport = httpx.ASGITransport(gateway.app)
    client = httpx.AsyncClient(transport=transport, base_url="http://gateway", headers=BEARER)
    house = House(bus, gateway, client, registry, mlflow, tmp_path / "files")

    async def tell_routes(_: Mapping[str, Any]) -> dict[str, Any]:
        return {"routes": house.routes}

    bus.answer("serving", "routes", tell_routes)
    tasks = [
        asyncio.create_task(drain(source()))
        for source in (gateway.follower, gateway.routes, gateway.streams.close_at_stop)
    ]
    await asyncio.sleep(0.01)
    yield house
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await client.aclose()
    for close in gateway.closes:
        await close()
    await replicas.close()
    await upstream.close()
    await mlflow.stop()
    assert all(isinstance(result, asyncio.CancelledError) for result in results), results


@pytest.fixture
async def replica() -> AsyncIterator[Callable[[int], Awaitable[Replica]]]:
    """Make replicas; all are stopped at the end."""
    made: list[Replica] = []

    async def make(version: int) -> Replica:
        one = Replica(version)
        await one.start()
        made.append(one)
        return one

    yield make
    for one in made:
        await one.stop()
