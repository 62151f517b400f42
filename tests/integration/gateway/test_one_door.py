# SPDX-License-Identifier: Apache-2.0
"""The one door as its own process: tokens of projects, a model that is woken, a shadow, and what serving hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from aiohttp import web

from integration.gateway.conftest import Platform
from mlops.chassis.bus_nats import NatsBus
from mlops.chassis.tokens import Tokens
from mlops.contracts.latency import Latencies

pytestmark = pytest.mark.server

INFER = "/v2/models/rain/infer"
ROW = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
RAIN = {"project": "rainfall", "model": "rain"}


@pytest.fixture
async def replicas() -> AsyncIterator[str]:
    """A server that answers as version 1 below /one, and a little differently as version 2 below /two."""

    def says(value: float) -> Callable[[web.Request], Any]:
        async def answer(_: web.Request) -> web.StreamResponse:
            output = {"name": "y", "shape": [1], "datatype": "FP64", "data": [value]}
            return web.json_response({"outputs": [output]})

        return answer

    app = web.Application()
    app.router.add_post(f"/one{INFER}", says(1.0))
    app.router.add_post(f"/two{INFER}", says(1.5))
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


def token(platform: Platform, project: str, lasts: timedelta = timedelta(hours=1)) -> str:
    begins = datetime.now(UTC) - timedelta(hours=2)
    return Tokens(platform.token).sign(
        "ann", [project], ["infer"], begins, timedelta(hours=2) + lasts
    )


async def test_a_sleeping_model_is_woken_by_a_request_and_its_shadow_compared(
    platform: Platform, bus: NatsBus, replicas: str
) -> None:
    route: dict[str, Any] = {**RAIN, "versions": [], "shadow": None, "asleep": True}
    woken: list[Mapping[str, Any]] = []

    async def routes(_: Mapping[str, Any]) -> dict[str, Any]:
        return {"routes": [route]}

    async def wake(question: Mapping[str, Any]) -> dict[str, Any]:
        woken.append(question)
        shadow = {"version": 2, "url": f"{replicas}/two", "share": 1.0}
        versions = [{"version": 1, "url": f"{replicas}/one", "weight": 1.0}]
        route.update(versions=versions, shadow=shadow, asleep=False)
        return {}

    bus.answer("serving", "routes", routes)
    bus.answer("serving", "wake", wake)
    await bus.start()
    headers = {"Authorization": f"Bearer {token(platform, 'rainfall')}"}
    async with httpx.AsyncClient(base_url=platform.url, headers=headers, timeout=40) as client:
        async with asyncio.timeout(45):  # the routes come within two seconds
            while (answer := await client.post(INFER, json=ROW)).status_code == 503 and not woken:
                await asyncio.sleep(0.05)
        compared = await comparison(bus)
    traffic = await bus.ask("gateway", "traffic", {})

    assert answer.status_code == 200, answer.text
    assert woken == [RAIN]
    assert compared["agreement_ratio"] == 0.0
    assert compared["mean_difference"] == 0.5
    assert [(one["version"], one["requests"]) for one in traffic["versions"]] == [(1, 1)]
    assert Latencies.read(traffic["versions"][0]["latencies"]).total == 1
    assert traffic["waiting"] == []


async def test_other_tokens_are_told_apart(platform: Platform, bus: NatsBus, replicas: str) -> None:
    versions = [{"version": 1, "url": f"{replicas}/one", "weight": 1.0}]

    async def routes(_: Mapping[str, Any]) -> dict[str, Any]:
        return {"routes": [{**RAIN, "versions": versions}]}

    bus.answer("serving", "routes", routes)
    await bus.start()
    tokens = [
        token(platform, "rainfall"),
        token(platform, "tropics"),
        token(platform, "rainfall", timedelta(hours=-1)),
        "x" * 24,
    ]
    async with httpx.AsyncClient(base_url=platform.url) as client:
        async with asyncio.timeout(45):
            while (await send(client, platform.token)) != 200:
                await asyncio.sleep(0.05)
        found = [await send(client, one) for one in tokens]

    assert found == [200, 403, 401, 401]


async def send(client: httpx.AsyncClient, shown: str) -> int:
    headers = {"Authorization": f"Bearer {shown}"}
    return (await client.post(INFER, json=ROW, headers=headers)).status_code


async def comparison(bus: NatsBus) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            found = (await bus.ask("gateway", "comparison", RAIN))["comparisons"]
            if found and found[0]["requests"]:
                return dict(found[0])
            await asyncio.sleep(0.02)
