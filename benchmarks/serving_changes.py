# SPDX-License-Identifier: Apache-2.0
"""What callers notice of changes: rollouts, reverts, scaling, sleep and wake, a killed replica, a killed Ray head.

    mlops up && python benchmarks/serving_changes.py [--rate 30] [--only CASE,…]

Needs a running platform that may be thrown away: it kills its Ray head. Requests leave at a constant rate, half of them
to the hot path (a caller that picks a version by the published weights and tries once), half to the gateway. For each
case and door: failed requests, the longest time without a good answer, and the 99th percentile of the answer times,
beside those of the same door while nothing changed. Writes benchmarks/results/serving_changes.json.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import aiohttp
import psutil
import uvloop
from results_file import Figure, write
from serving_platform import Platform, platform, row, until
from serving_traffic import Outcome, Stream, Weighted, flowing

from mlops.cli.errors import CliError
from mlops.cli.home import Home
from mlops.cli.supervisor import state as told

PROJECT = "bench-changes"
STEADY = "steady"
QUIET_S = 5.0
BEFORE_S = 2.0
AFTER_S = 6.0
SLEEP_AFTER_S = 5
PATIENCE_S = 180.0
SETTINGS = {"steps": [0.2, 1.0], "step_hold": "4s"}
_VITAL = ("gcs_server", "raylet")


@dataclass
class Bench:
    """The platform, the versions to change between, and the doors."""

    found: Platform
    first: int
    second: int
    slow: int
    rate: float
    results: dict[tuple[str, str], Outcome] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)

    async def during(
        self, case: str, change: Callable[[], Awaitable[None]], doors: tuple[str, ...]
    ) -> None:
        """Make a change while requests flow, and keep what came of them."""
        async with AsyncExitStack() as stack:
            streams = {door: self._stream(door, stack) for door in doors}
            flows = {
                door: await stack.enter_async_context(flowing(await stream))
                for door, stream in streams.items()
            }
            await asyncio.sleep(BEFORE_S)
            await change()
            await asyncio.sleep(AFTER_S)
        for door, outcome in flows.items():
            self.results[case, door] = outcome
            failed = f"{len(outcome.failed)} failed {outcome.failed[:1] or ''}"
            print(f"{case} through {door}: {outcome.requests} requests, {failed}")

    async def _stream(self, door: str, stack: AsyncExitStack) -> Stream:
        headers = {"Authorization": f"Bearer {self.found.where.token}"}
        rate = self.rate / 2
        if door == "gateway":
            url = f"{self.found.where.gateway}/v2/models/{PROJECT}.{PROJECT}/infer"
            return Stream(_always(url), row(PROJECT), headers, rate)
        weighted = Weighted(lambda: weights(self.found))
        following = asyncio.create_task(weighted.follow())
        stack.push_async_callback(_ended, following)
        await asyncio.sleep(1)
        return Stream(weighted.pick, row(PROJECT), headers, rate)

    async def nothing(self) -> None:
        """Change nothing for a while."""
        await asyncio.sleep(QUIET_S)

    async def canary(self) -> None:
        """Roll the second version out, step by step."""
        await self._rolled(self.second, "deployment.completed")

    async def direct(self) -> None:
        """Roll the first version out at once."""
        await self._rolled(self.first, "deployment.completed", rollout="direct")

    async def blue_green(self) -> None:
        """Roll the second version out beside the first, and switch."""
        await self._rolled(self.second, "deployment.completed", rollout="blue-green")

    async def rollback(self) -> None:
        """Go back to the version before."""
        gateway, data = self.found.gateway, {"model": PROJECT}
        command = await asyncio.to_thread(gateway.command, "cmd.model.rollback", PROJECT, data)
        events = await asyncio.to_thread(gateway.result, command, ("deployment.started",), 30)
        started = [one for one in events if one["type"] == "deployment.started"]
        if not started:
            self.odd.append(f"nothing was rolled back: {events}")
        for one in started:
            name = str(one["data"]["deployment_id"])
            await asyncio.to_thread(self.found.end_of, PROJECT, name)

    async def revert(self) -> None:
        """Roll out a version that is much slower; it must be taken back, once enough answers are known."""
        await self._settle(step_hold="15s")
        await self._rolled(self.slow, "deployment.reverted")
        await self._settle()

    async def scale_up(self) -> None:
        """Want a second replica."""
        await self._settle(min_replicas=2, max_replicas=2)
        await asyncio.sleep(AFTER_S)

    async def scale_down(self) -> None:
        """Want one replica again."""
        await self._settle()
        await asyncio.sleep(AFTER_S)

    async def wake(self) -> None:
        """Begin to call a model that is asleep; the first request wakes it."""
        await asyncio.sleep(QUIET_S)

    async def kill_replica(self) -> None:
        """Kill the process that answers."""
        os.kill(await self._replica(), signal.SIGKILL)
        await self._answers_again()

    async def kill_head(self) -> None:
        """Kill Ray's books and its raylet, and with them everything that answers."""
        for pid in ray_pids(self.found):
            os.kill(pid, signal.SIGKILL)
        await self._answers_again()

    async def _settle(self, **serve: object) -> None:
        await asyncio.to_thread(self.found.register, PROJECT, **{**SETTINGS, **serve})

    async def _rolled(self, version: int, end: str, **more: str) -> None:
        deployment = await asyncio.to_thread(self.found.start_rollout, PROJECT, version, **more)
        found = await asyncio.to_thread(self.found.end_of, PROJECT, deployment)
        if found["type"] != end:
            self.odd.append(f"version {version}: {found['type']}, not {end}: {found['data']}")

    async def _replica(self) -> int:
        headers = {"Authorization": f"Bearer {self.found.where.token}"}
        urls = await asyncio.to_thread(self.found.urls, PROJECT)
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as http,
            http.get(f"{next(iter(urls.values()))}/v2", headers=headers) as answer,
        ):
            return int((await answer.json())["pid"])

    async def _answers_again(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        await asyncio.sleep(BEFORE_S)
        while time.monotonic() < deadline:
            try:
                await self._replica()
            except (aiohttp.ClientError, TimeoutError, CliError, StopIteration, KeyError):
                await asyncio.sleep(0.2)
            else:
                return
        raise SystemExit(f"nothing answers {PATIENCE_S:g} s after the kill")


def weights(found: Platform) -> dict[str, float]:
    """Return where each version answers, and its share; nothing while nobody tells."""
    try:
        routes = found.gateway.query("serving", "routes")["routes"]
    except CliError:
        return {}
    return {
        f"{one['url']}/v2/models/{PROJECT}/infer": float(one["weight"])
        for route in routes
        if route["project"] == PROJECT
        for one in route["versions"]
    }


def ray_pids(found: Platform) -> list[int]:
    """Return the vital processes of the installation's Ray head."""
    home = found.where.home
    assert home is not None
    components = told.read(Home(home.resolve())).components
    [head] = [one.pid for one in components if one.name == "ray" and one.pid]
    mine = os.getsid(head)
    return [
        one.pid
        for one in psutil.process_iter(["name"])
        if one.info["name"] in _VITAL and os.getsid(one.pid) == mine
    ]


def figures(results: dict[tuple[str, str], Outcome]) -> list[Figure]:
    """Return what each case cost at each door, beside the quiet one."""
    found = []
    for (case, door), one in results.items():
        quiet = results[STEADY, door]
        rows = [
            ("failed", "", float(len(one.failed)), float(len(quiet.failed))),
            ("longest stall", "ms", one.stall_ms, quiet.stall_ms),
            ("p99", "ms", one.p99_ms, quiet.p99_ms),
        ]
        for what, unit, ours, peer in rows:
            ratio = round(ours / peer, 3) if peer else 0.0
            name = f"{case}, {door}: {what}"
            values = (round(ours, 2), f"{STEADY}, {door}", round(peer, 2), ratio, one.requests)
            found.append(Figure("serving_changes", name, unit, *values))
    return found


def fall_asleep(found: Platform) -> None:
    """Let the model sleep, and wait until it does."""
    found.register(PROJECT, **SETTINGS, min_replicas=0, sleep_after=f"{SLEEP_AFTER_S}s")
    until(lambda: not weights(found), PATIENCE_S, "the model to fall asleep")


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def _always(url: str) -> Callable[[], Awaitable[str]]:
    async def pick() -> str:
        return url

    return pick


async def measure(bench: Bench, only: str) -> None:
    """Make every change, one after the other; each begins where the last one ended."""
    both, door = ("hot path", "gateway"), ("gateway",)
    cases = {
        STEADY: (bench.nothing, both),
        "canary": (bench.canary, both),
        "direct": (bench.direct, both),
        "blue-green": (bench.blue_green, both),
        "rollback": (bench.rollback, both),
        "revert of a slow version": (bench.revert, both),
        "scale 1 to 2": (bench.scale_up, both),
        "one of two replicas killed": (bench.kill_replica, both),
        "scale 2 to 1": (bench.scale_down, both),
        "the only replica killed": (bench.kill_replica, both),
        "wake": (bench.wake, door),
        "head killed": (bench.kill_head, both),
    }
    for case, (change, doors) in cases.items():
        if only and case not in (STEADY, *only.split(",")):
            continue
        if case == "wake":
            await asyncio.to_thread(fall_asleep, bench.found)
        await bench.during(case, change, doors)
        if case == "wake":
            await asyncio.to_thread(bench.found.register, PROJECT, **SETTINGS)


def main(rate: float, only: str) -> None:
    """Deploy, change, and write what it cost."""
    with platform() as found:
        found.register(PROJECT, **SETTINGS)
        first, second, slow = found.log(PROJECT, "sklearn", "sklearn", "slow")
        if found.deploy(PROJECT, first) != "deployment.completed":
            raise SystemExit(f"version {first} of {PROJECT} was not deployed")
        bench = Bench(found, first, second, slow, rate)
        uvloop.run(measure(bench, only))
        write("serving_changes", figures(bench.results))
        if bench.odd:
            raise SystemExit("\n".join(bench.odd))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rate", type=float, default=30.0, help="requests a second, both doors")
    parser.add_argument("--only", default="", help="cases, by name, with commas between")
    given = parser.parse_args()
    main(given.rate, given.only)
