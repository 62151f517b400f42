# SPDX-License-Identifier: Apache-2.0
"""Inference through the gateway against Ray Serve's own HTTP door, for the same replica, in interleaved blocks.

Needs a running platform with a deployed model (`mlops up`, `mlops demo`): addresses and token come from its home folder.
The requests are real ones, so their rows are logged as predictions of that model like any others: run it on a
demonstration project. Writes benchmarks/results/gateway.json.

    python benchmarks/gateway.py [PROJECT.MODEL]
"""

from __future__ import annotations

import asyncio
import random
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import uvloop
from results_file import Figure, compare, write

from mlops.client import MLOpsClientError, endpoints

BLOCKS = 30
BLOCK = 50
LOAD_ROUNDS = 7
LOAD_S = 2.0
CALLERS = 16
WARM_UP = 100
TIMEOUT = aiohttp.ClientTimeout(total=30)

Ask = Callable[[], Awaitable[None]]


@dataclass
class Series:
    """What one door did: per block the median and the 99th percentile, per round of load the requests per second."""

    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    per_s: list[float] = field(default_factory=list)


async def route_of(http: aiohttp.ClientSession, gateway: str, name: str) -> tuple[str, str, str]:
    """Return the model's full name, its bare one, and the address of the version with most traffic."""
    async with http.get(f"{gateway}/api/v1/deployments") as answer:
        routes = (await answer.json())["routes"]
    for route in routes:
        full = f"{route['project']}.{route['model']}"
        if route["versions"] and name in ("", route["model"], full):
            busiest = max(route["versions"], key=lambda one: float(one["weight"]))
            return full, route["model"], str(busiest["url"])
    known = ", ".join(f"{route['project']}.{route['model']}" for route in routes) or "none"
    raise SystemExit(
        f"no deployed model {name or 'at all'}; deployed are: {known}. Run `mlops demo` first."
    )


async def body_for(http: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """Return a request of one row that fits what the model's metadata say."""
    async with http.get(url) as answer:
        metadata = await answer.json()
    return {"inputs": [tensor_for(one) for one in metadata["inputs"]]}


def tensor_for(told: Mapping[str, Any]) -> dict[str, Any]:
    """Return one row of an input."""
    shape = [1 if side < 0 else int(side) for side in told.get("shape") or [1]]
    count = 1
    for side in shape:
        count *= side
    value: object = {"BYTES": "a", "BOOL": True}.get(told["datatype"], 1)
    return {**told, "shape": shape, "data": [value] * count}


def asking(http: aiohttp.ClientSession, url: str, body: Mapping[str, Any]) -> Ask:
    """Return a function that asks once; anything but 200 ends the benchmark."""

    async def ask() -> None:
        async with http.post(url, json=body) as answer:
            content = await answer.read()
            if answer.status != 200:
                raise SystemExit(f"{url} answered {answer.status}: {content[:300]!r}")

    return ask


async def block(ask: Ask, into: Series) -> None:
    """Ask one after the other."""
    times = []
    for _ in range(BLOCK):
        began = time.perf_counter()
        await ask()
        times.append((time.perf_counter() - began) * 1000)
    into.p50_ms.append(statistics.median(times))
    into.p99_ms.append(statistics.quantiles(times, n=100)[98])


async def load(ask: Ask, into: Series) -> None:
    """Ask from several callers at once."""
    end = time.perf_counter() + LOAD_S
    done = 0

    async def caller() -> None:
        nonlocal done
        while time.perf_counter() < end:
            await ask()
            done += 1

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    into.per_s.append(done / (time.perf_counter() - began))


async def measure(ours: Ask, bare: Ask) -> tuple[Series, Series]:
    """Return both series; which door comes first is drawn anew for every block."""
    mine, theirs = Series(), Series()
    pairs = [(ours, mine), (bare, theirs)]
    for ask, _ in pairs:
        for _ in range(WARM_UP):
            await ask()
    for work, rounds in ((block, BLOCKS), (load, LOAD_ROUNDS)):
        for _ in range(rounds):
            for ask, series in random.sample(pairs, 2):
                await work(ask, series)
    return mine, theirs


async def main(name: str) -> list[Figure]:
    """Measure and return the figures."""
    where = endpoints.load()
    headers = {"Authorization": f"Bearer {where.token}"}
    connector = aiohttp.TCPConnector(limit=2 * CALLERS)
    async with (
        aiohttp.ClientSession(headers=headers, timeout=TIMEOUT) as http,
        aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as plain,
    ):
        full, model, replica = await route_of(http, where.gateway, name)
        bare = f"{replica}/v2/models/{model}"
        body = await body_for(plain, bare)
        ours = asking(http, f"{where.gateway}/v2/models/{full}/infer", body)
        mine, theirs = await measure(ours, asking(plain, f"{bare}/infer", body))
    peer = "Ray Serve HTTP, same replica"
    return [
        compare("gateway", "infer p50", "ms", mine.p50_ms, peer, theirs.p50_ms),
        compare("gateway", "infer p99", "ms", mine.p99_ms, peer, theirs.p99_ms),
        compare("gateway", f"infer, {CALLERS} callers", "1/s", mine.per_s, peer, theirs.per_s),
    ]


if __name__ == "__main__":
    try:
        write("gateway", uvloop.run(main(sys.argv[1] if len(sys.argv) > 1 else "")))
    except MLOpsClientError as error:
        raise SystemExit(str(error)) from error
