# SPDX-License-Identifier: Apache-2.0
"""One scikit-learn model, one machine, six servers: ours through HAProxy and through the gateway, and the peers.

    mlops up && python benchmarks/serving.py [--envs DIR] [--without NAME,…]

Needs a running platform: it makes a project of its own there, deploys, and takes it away again. The peers are a bare
FastAPI on uvicorn, `bentoml serve` on the same Bento, MLServer, KServe's ModelServer, and Ray Serve with its default
proxy; they stand in `DIR/<kserve|mlserver>`, or in environments that the tests' helper makes. All run at once, and are
asked in blocks whose order is drawn anew each round: one caller alone, then 16 and 128 connections from a
caller process of its own. Every figure is a ratio against the bare server of the same round. Memory is the proportional
share of the processes. Ours also tells every prediction to monitoring, which is measured on the same two cores; none of
the peers does, so a second model of ours tells none. Writes benchmarks/results/serving.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import uvloop
from results_file import Figure, compare, write
from serving_doors import Door, Doors, Environments
from serving_platform import SCRIPTS, Platform, platform, pss_mb, row

from mlops.cli.home import Home
from mlops.cli.supervisor import figures as components
from mlops.cli.supervisor import state as told

PROJECT, UNTOLD = "bench-serving", "bench-serving-untold"
BARE = "bare uvicorn"
MODEL = "model.joblib"
CONNECTIONS = (16, 128)
TIMEOUT = aiohttp.ClientTimeout(total=30)


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    blocks: int
    block: int
    loads: int
    load_s: float


@dataclass
class Series:
    """What one door did: per block the median and the 99th percentile, per load the requests per second."""

    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    per_s: dict[int, list[float]] = field(default_factory=dict)
    failed: int = 0


def ours(found: Platform, versions: Mapping[str, int]) -> list[Door]:
    """Return the doors of the platform; all ask for the token."""
    headers = {"Authorization": f"Bearer {found.where.token}"}
    names = {"our hot path": PROJECT, "our hot path, no prediction told": UNTOLD}
    doors = [
        Door(
            name,
            f"{found.urls(project)[versions[project]]}/v2/models/{project}/infer",
            row(project),
            headers,
        )
        for name, project in names.items()
    ]
    route = f"{found.where.gateway}/v2/models/{PROJECT}.{PROJECT}/infer"
    return [*doors, Door("our gateway", route, row(PROJECT), headers)]


def deployed(found: Platform, project: str, model: Path, share: float) -> int:
    """Return the version that answers for a project, which tells this share of its predictions."""
    # None of the peers refuses a request, however many wait.
    found.register(project, steps=[1.0], max_queue=1024, log_predictions=share)
    [version] = found.log(project, "sklearn", keep=model)
    if found.deploy(project, version) != "deployment.completed":
        raise SystemExit(f"version {version} of {project} was not deployed")
    return version


def peers(stack: ExitStack, folder: Path, found: Platform, given: argparse.Namespace) -> list[Door]:
    """Start the peers that are not left out."""
    doors, environments = Doors(stack, folder, folder / MODEL), Environments(given.envs)
    home = found.where.home
    assert home is not None
    starts = {
        "bentoml": lambda: doors.bentoml(
            str(found.known(PROJECT)["bento_tag"]), home.resolve() / "bentoml"
        ),
        "mlserver": lambda: doors.mlserver(environments.bin("mlserver")),
        "kserve": lambda: doors.kserve(environments.bin("kserve")),
        "ray": doors.ray_default,
    }
    return [
        doors.bare(),
        *(start() for name, start in starts.items() if name not in given.without.split(",")),
    ]


async def block(http: aiohttp.ClientSession, door: Door, count: int, into: Series) -> None:
    """Ask one after the other."""
    times = []
    for _ in range(count):
        began = time.perf_counter()
        async with http.post(door.url, json=door.body, headers=door.headers) as answer:
            content = await answer.read()
        times.append((time.perf_counter() - began) * 1000)
        if answer.status != 200:
            raise SystemExit(f"{door.name} answered {answer.status}: {content[:300]!r}")
    into.p50_ms.append(statistics.median(times))
    into.p99_ms.append(statistics.quantiles(times, n=100)[98])


def load(door: Door, connections: int, seconds: float, into: Series) -> None:
    """Ask as much as fits, from a process of its own."""
    wish: dict[str, Any] = {"url": door.url, "headers": dict(door.headers), "body": door.body}
    wish |= {"connections": connections, "seconds": seconds}
    done = subprocess.run(
        [sys.executable, SCRIPTS / "load.py"],
        input=json.dumps(wish),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{door.name} at {connections} connections: {done.stderr[-1000:]}")
    found = json.loads(done.stdout)
    into.per_s.setdefault(connections, []).append(found["per_s"])
    into.failed += found["failed"]


async def measure(doors: list[Door], size: Size) -> dict[str, Series]:
    """Return the series of every door; the order of the doors is drawn anew each round."""
    found = {door.name: Series() for door in doors}
    async with aiohttp.ClientSession(timeout=TIMEOUT) as http:
        for door in doors:
            await block(http, door, size.block, Series())  # warm
        for _ in range(size.blocks):
            for door in random.sample(doors, len(doors)):
                await block(http, door, size.block, found[door.name])
    for _ in range(size.loads):
        for connections in CONNECTIONS:
            for door in random.sample(doors, len(doors)):
                await asyncio.to_thread(load, door, connections, size.load_s, found[door.name])
    return found


def figures(found: dict[str, Series]) -> list[Figure]:
    """Return every door against the bare one."""
    bare = found[BARE]
    results = []
    for name, series in found.items():
        rows = [("p50", series.p50_ms, bare.p50_ms), ("p99", series.p99_ms, bare.p99_ms)]
        results += [compare("serving", f"{name}, {what}", "ms", a, BARE, b) for what, a, b in rows]
        for connections, rates in series.per_s.items():
            metric = f"{name}, {connections} connections"
            results.append(compare("serving", metric, "1/s", rates, BARE, bare.per_s[connections]))
        failed = (float(series.failed), BARE, float(bare.failed), 0.0, len(series.p50_ms))
        results.append(Figure("serving", f"{name}, failed under load", "", *failed))
    return results


def memory(found: Platform, doors: list[Door], replica: int) -> list[Figure]:
    """Return what each server's processes hold; ours as the replica alone, and with the whole of Ray."""
    home = found.where.home
    assert home is not None
    place = Home(home.resolve())
    ray = sum(
        one.memory_bytes
        for one in components.measure(place, told.read(place))
        if one.status.name == "ray"
    )
    held = {door.name: pss_mb(list(door.pids)) for door in doors if door.pids}
    held |= {"our replica": pss_mb([replica]), "our replica with all of Ray": ray / 1e6}
    bare = held[BARE]
    return [
        compare("serving", f"{name}, memory", "MB", [mb], BARE, [bare]) for name, mb in held.items()
    ]


async def replica_of(door: Door) -> int:
    """Return the process that answers at our hot path."""
    url = door.url.partition("/v2/models/")[0]
    async with (
        aiohttp.ClientSession(timeout=TIMEOUT) as http,
        http.get(f"{url}/v2", headers=door.headers) as answer,
    ):
        facts: dict[str, Any] = await answer.json()
    if answer.status != 200:
        raise SystemExit(f"{url}/v2 answers {answer.status}: {facts}")
    return int(facts["pid"])


def main(given: argparse.Namespace) -> list[Figure]:
    """Deploy, start the peers, measure."""
    size = Size(given.blocks, given.block, given.loads, given.load_s)
    with (
        platform() as found,
        tempfile.TemporaryDirectory(prefix="mlops-bench-") as name,
        ExitStack() as stack,
    ):
        model = Path(name) / MODEL
        shares = {PROJECT: 1.0, UNTOLD: 0.0}
        versions = {one: deployed(found, one, model, share) for one, share in shares.items()}
        doors = [*ours(found, versions), *peers(stack, Path(name), found, given)]
        replica = uvloop.run(replica_of(doors[0]))
        series = uvloop.run(measure(doors, size))
        return [*figures(series), *memory(found, doors, replica)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--envs", type=Path, help="where the peers' environments are")
    parser.add_argument("--without", default="", help="peers to leave out: kserve,mlserver,…")
    parser.add_argument("--blocks", type=int, default=30)
    parser.add_argument("--block", type=int, default=50)
    parser.add_argument("--loads", type=int, default=5)
    parser.add_argument("--load-s", type=float, default=3.0)
    write("serving", main(parser.parse_args()))
