# SPDX-License-Identifier: Apache-2.0
"""From `thermal.throttled` to what it does: admission closed, Airflow's pool changed, replicas that compute less at once.

    SERVING_RECOVER_STEP_S=0.2 mlops up && mlops demo
    python benchmarks/thermal.py [--rounds 100]

Needs that running platform: everything is real, NATS, bridge, Airflow, serving and Ray Serve. Each clock starts before the
event is published and stops when somebody outside has seen the change: in the bridge's answer to a query, in Airflow's
REST API, at the replica's own door. The peer is a bare subscriber to the same stream that hears the same event.

Admission and pools are measured with machines made up for it (`bench-…`; their pools come back when their slots do, so
use an installation that may be thrown away), replicas with a machine that they listen to. Without the short step above
a replica needs minutes to recover between two rounds. Writes benchmarks/results/thermal.json: median, 99th percentile
and worst; of pools there are a third as many rounds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import aiohttp
import uvloop
from results_file import Figure, compare, write

from mlops.chassis.bus_nats import NatsBus
from mlops.chassis.settings import CREDENTIALS
from mlops.contracts.message import NodeEvent
from mlops.contracts.telemetry_agent import (
    HardwareSample,
    TelemetrySampled,
    Thermal,
    ThermalRecovered,
    ThermalThrottled,
)
from mlops.orchestration_bridge.adapters.airflow_names import pool_of_node
from mlops.orchestration_bridge.model.heat import admits
from mlops.orchestration_bridge.settings import Settings
from mlops.serving.adapters.counters import node_here
from mlops.serving.model.apps import FULL_CONCURRENCY

PATIENCE_S = 30.0
PEER = "bare subscriber, same event"
_TYPES = (ThermalThrottled.type, ThermalRecovered.type)


@dataclass
class Series:
    """Milliseconds of each round: ours, and the bare subscriber's for the same event."""

    ours_ms: list[float] = field(default_factory=list)
    theirs_ms: list[float] = field(default_factory=list)


class Ears:
    """The bare subscriber: when it has heard which event."""

    def __init__(self, bus: NatsBus) -> None:
        self._bus = bus
        self.heard: dict[str, float] = {}

    async def listen(self) -> None:
        """Note the time of everything about heat, for ever."""
        async for one in self._bus.follow(_TYPES, since=datetime.now(UTC)):
            self.heard[str(one.envelope["id"])] = time.perf_counter()


@dataclass(frozen=True)
class Bench:
    """What every measurement needs."""

    bus: NatsBus
    http: aiohttp.ClientSession
    ears: Ears
    airflow: str
    token: str
    key: str
    node: str

    async def measure(
        self, event: NodeEvent, is_so: Callable[[], Awaitable[bool]], into: Series
    ) -> None:
        """Publish *event*, and note how long it took until *is_so*."""
        began = time.perf_counter()
        await self.bus.publish(event)
        await until(is_so)
        into.ours_ms.append((time.perf_counter() - began) * 1000)
        await until(lambda: self._has_heard(event.id))
        into.theirs_ms.append((self.ears.heard[event.id] - began) * 1000)

    async def is_refused(self, node: str, wanted: bool) -> bool:  # noqa: FBT001 - what is waited for
        """Return whether the bridge refuses new work on a machine, as *wanted*; by its books, with its own rule."""
        answer = await self.bus.ask("orchestration_bridge", "queue", {"project": "-"})
        found = answer["nodes"].get(node)
        if found is None:
            return False
        return admits(found["level"], latency_critical=False) is not wanted

    async def has_slots(self, node: str, at_least: int = 0, at_most: int = 1000) -> bool:
        """Return whether a machine's pool at Airflow has so many slots."""
        async with self.http.get(self._pool(node), headers=self._headers()) as reply:
            if reply.status != 200:
                return False
            return at_least <= int((await reply.json())["slots"]) <= at_most

    async def forget_pool(self, node: str) -> None:
        """Delete a machine's pool."""
        async with self.http.delete(self._pool(node), headers=self._headers()) as reply:
            await reply.read()

    async def is_full(self, url: str, wanted: bool) -> bool:  # noqa: FBT001 - what is waited for
        """Return whether the replica at *url* computes as much at once as it may, as *wanted*."""
        key = {"Authorization": f"Bearer {self.key}"}
        async with self.http.get(f"{url}/v2", headers=key) as reply:
            return (int((await reply.json())["concurrency"]) >= FULL_CONCURRENCY) is wanted

    def _pool(self, node: str) -> str:
        return f"{self.airflow}/api/v2/pools/{pool_of_node(node)}"

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def _has_heard(self, name: str) -> bool:
        return name in self.ears.heard


async def until(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again."""
    async with asyncio.timeout(PATIENCE_S):
        while not await is_so():
            await asyncio.sleep(0.001)


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """Connect to everything."""
    settings = Settings()
    token = settings.nats_token.get_secret_value() if settings.nats_token else None
    bus = NatsBus(settings.nats_url, token=token, name="bench")
    await bus.start()
    ears = Ears(bus)
    listening = asyncio.create_task(ears.listen())
    login = {
        "username": settings.airflow_user,
        "password": settings.airflow_password.get_secret_value(),
    }
    airflow = settings.airflow_url.rstrip("/")
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http:
        async with http.post(f"{airflow}/auth/token", json=login) as reply:
            jwt = (await reply.json())["access_token"]
        await asyncio.sleep(0.5)  # the subscriber's consumer is made
        here = node_here(settings.home / "state" / "telemetry_agent" / "node_id")
        key = json.loads((settings.home / CREDENTIALS).read_text())["gateway_token"]
        yield Bench(bus, http, ears, airflow, jwt, key, here or "bench-serving")
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await bus.stop()


def hot(node: str, level: int = 2) -> ThermalThrottled:
    """Return that a machine got hot."""
    now = datetime.now(UTC)
    return ThermalThrottled(
        node=node, episode_id=f"{node}-1", level=level, reason="bench", since=now
    )


def cool(node: str) -> ThermalRecovered:
    """Return that it is cool again."""
    now = datetime.now(UTC)
    said = {"episode_id": f"{node}-1", "level": 0, "peak_level": 2, "duration_s": 1.0}
    return ThermalRecovered(node=node, since=now - timedelta(seconds=1), **said)


def alive(node: str) -> TelemetrySampled:
    """Return a sample of a cool machine."""
    now = datetime.now(UTC)
    sample = HardwareSample(
        seq=1, boot_id=node, observed_at=now, window_s=10, thermal=Thermal(level=0)
    )
    return TelemetrySampled(node=node, sample=sample)


async def admission(bench: Bench, rounds: int) -> Series:
    """Return how long it took until the bridge admitted nothing on a machine that had been cool."""
    series, node = Series(), f"bench-{secrets.token_hex(4)}"
    shut, open_ = (partial(bench.is_refused, node, wanted) for wanted in (True, False))
    await bench.bus.publish(alive(node))
    for _ in range(rounds):
        await until(open_)
        await bench.measure(hot(node), shut, series)
        await bench.bus.publish(cool(node))
    await until(partial(bench.has_slots, node))
    await bench.forget_pool(node)
    return series


async def pools(bench: Bench, rounds: int) -> Series:
    """Return how long pools took, each round with another machine: slots come back too slowly to use one again."""
    series = Series()
    for _ in range(rounds):
        node = f"bench-{secrets.token_hex(4)}"
        await bench.bus.publish(alive(node))
        await until(partial(bench.has_slots, node, at_least=2))
        await bench.measure(hot(node), partial(bench.has_slots, node, at_most=1), series)
        await bench.bus.publish(cool(node))
        await bench.forget_pool(node)
    return series


async def served(bench: Bench) -> str:
    """Return where a version answers."""
    answer = await bench.bus.ask("serving", "routes", {})
    urls = [str(one["url"]) for route in answer["routes"] for one in route["versions"]]
    if not urls:
        raise SystemExit("nothing is deployed; run `mlops demo` first")
    return urls[0]


async def serving(bench: Bench, url: str, rounds: int) -> Series:
    """Return how long it took until the replica at *url* computed less at once."""
    series = Series()
    full, slowed = (partial(bench.is_full, url, wanted) for wanted in (True, False))
    for _ in range(rounds):
        await until(full)
        await bench.measure(hot(bench.node), slowed, series)
        await bench.bus.publish(cool(bench.node))
    await until(full)
    return series


def figures(what: str, series: Series) -> list[Figure]:
    """Return the median, the 99th percentile and the worst of a series."""
    ours, theirs = sorted(series.ours_ms), sorted(series.theirs_ms)
    at = {"p99": -1 - len(ours) // 100, "max": -1}
    middle = compare("thermal", f"{what} p50", "ms", series.ours_ms, PEER, series.theirs_ms)
    return [
        middle,
        *(
            compare("thermal", f"{what} {name}", "ms", [ours[place]], PEER, [theirs[place]])
            for name, place in at.items()
        ),
    ]


async def main(rounds: int) -> list[Figure]:
    """Measure everything."""
    async with bench() as found:
        url = await served(found)
        admissions = await admission(found, rounds)
        replicas = await serving(found, url, rounds)
        resized = await pools(found, max(1, rounds // 3))
    return [
        *figures("admission closed", admissions),
        *figures("serving concurrency lowered", replicas),
        *figures("Airflow pool changed", resized),
    ]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=100)
    write("thermal", uvloop.run(main(parser.parse_args().rounds)))
