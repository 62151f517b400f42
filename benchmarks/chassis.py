# SPDX-License-Identifier: Apache-2.0
"""The chassis against raw nats-py on the same server, in interleaved blocks: publish+ack, consume, publish to handler.

The peer does what a careful program would do by hand: publish with a message id and wait for the ack; fetch 100, read
the CloudEvent with the same pydantic model, acknowledge each. A second peer reads nothing, for the bare transport.
The chassis works as in a service: it also measures every message and writes its line to a log file.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import nats
import uvloop
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import ConsumerConfig, DeliverPolicy
from results_file import Figure, compare, write

from mlops.chassis import log
from mlops.chassis.bus import Delivery
from mlops.chassis.bus_nats import NatsBus
from mlops.contracts.message import Message
from mlops.contracts.monitoring import AlertResolved

ROUNDS = 15
PUBLISHED = 400
CONSUMED = 3000
REASON = "x" * 250


def start_server(folder: Path) -> tuple[subprocess.Popen[bytes], str, str]:
    token = secrets.token_hex(8)
    config = folder / "nats.conf"
    config.write_text(
        f'listen: "127.0.0.1:-1"\nauthorization {{ token: "{token}" }}\n'
        f'jetstream {{ store_dir: "{folder}/store" }}\n'
    )
    program = Path(sys.executable).parent / "nats-server"
    process = subprocess.Popen(
        [program, "-c", config, "--ports_file_dir", folder], stderr=subprocess.DEVNULL
    )
    ports = folder / f"nats-server_{process.pid}.ports"
    while not ports.exists() or not ports.read_text():
        time.sleep(0.02)
    return process, json.loads(ports.read_text())["nats"][0], token


def alert() -> AlertResolved:
    return AlertResolved(project="bench", alert_id="a-1", reason=REASON)


async def publish_ours(bus: NatsBus) -> float:
    began = time.perf_counter()
    for _ in range(PUBLISHED):
        await bus.publish(alert())
    return (time.perf_counter() - began) / PUBLISHED * 1e6


async def publish_raw(js: JetStreamContext) -> float:
    began = time.perf_counter()
    for _ in range(PUBLISHED):
        message = alert()
        headers = {"Nats-Msg-Id": message.id}
        await js.publish("alert.resolved.bench", message.encode(), headers=headers)
    return (time.perf_counter() - began) / PUBLISHED * 1e6


async def fill(js: JetStreamContext) -> None:
    await asyncio.gather(
        *(
            js.publish("alert.resolved.bench", one.encode(), headers={"Nats-Msg-Id": one.id})
            for one in (alert() for _ in range(CONSUMED))
        )
    )


async def consume_ours(server: str, token: str, name: str) -> float:
    """Return messages per second, from the first handled to the last."""
    times: list[float] = []
    done = asyncio.Event()

    async def handler(_: Message) -> Sequence[Message]:
        times.append(time.perf_counter())
        if len(times) == CONSUMED:
            done.set()
        return []

    bus = NatsBus(server, token=token, name=name)
    bus.on(name, AlertResolved, handler, Delivery(concurrency=16))
    await bus.start()
    await done.wait()
    await bus.stop()
    return (CONSUMED - 1) / (times[-1] - times[0])


async def consume_raw(js: JetStreamContext, name: str, *, read: bool) -> float:
    await js.add_consumer(
        "EVENTS", ConsumerConfig(name=name, durable_name=name, filter_subject="alert.resolved.*")
    )
    pull = await js.pull_subscribe_bind(durable=name, stream="EVENTS")
    seen, began = 0, 0.0
    while seen < CONSUMED:
        messages = await pull.fetch(100, timeout=5)
        began = began or time.perf_counter()
        for message in messages:
            if read:
                AlertResolved.decode(message.data)
            await message.ack()
        seen += len(messages)
    rate = (seen - 100) / (time.perf_counter() - began)
    await pull.unsubscribe()
    await js.delete_consumer("EVENTS", name)
    return rate


async def consume_both(
    client: Client, js: JetStreamContext, server: str, token: str, number: int
) -> tuple[float, float, float]:
    await js.purge_stream("EVENTS")
    await fill(js)
    ours = await consume_ours(server, token, f"bench{number}")
    read = await consume_raw(js, f"raw-read-{number}", read=True)
    bare = await consume_raw(js, f"raw-bare-{number}", read=False)
    await client.flush()
    return ours, read, bare


async def latency_ours(bus: NatsBus, heard: asyncio.Queue[float]) -> float:
    took = []
    for _ in range(PUBLISHED // 2):
        began = time.perf_counter()
        await bus.publish(alert())
        took.append(await heard.get() - began)
    return statistics.median(took) * 1e6


async def latency_raw(js: JetStreamContext, name: str) -> float:
    await js.add_consumer(
        "EVENTS",
        ConsumerConfig(
            name=name,
            durable_name=name,
            filter_subject="alert.resolved.latency",
            deliver_policy=DeliverPolicy.NEW,
        ),
    )
    pull = await js.pull_subscribe_bind(durable=name, stream="EVENTS")
    took = []

    async def handle() -> float:
        message = (await pull.fetch(1, timeout=5))[0]
        AlertResolved.decode(message.data)
        at = time.perf_counter()
        await message.ack()
        return at

    for _ in range(PUBLISHED // 2):
        waiting = asyncio.create_task(handle())
        await asyncio.sleep(0.002)
        began = time.perf_counter()
        message = alert()
        await js.publish(
            "alert.resolved.latency", message.encode(), headers={"Nats-Msg-Id": message.id}
        )
        took.append(await waiting - began)
    await pull.unsubscribe()
    await js.delete_consumer("EVENTS", name)
    return statistics.median(took) * 1e6


async def measure(server: str, token: str) -> list[Figure]:
    heard: asyncio.Queue[float] = asyncio.Queue()

    async def handler(_: Message) -> Sequence[Message]:
        heard.put_nowait(time.perf_counter())
        return []

    speaking = NatsBus(server, token=token, name="speaking")
    await speaking.start()
    client = await nats.connect(server, token=token)
    js = client.jetstream(timeout=10)
    published = [(await publish_ours(speaking), await publish_raw(js)) for _ in range(2 * ROUNDS)]
    consumed = [await consume_both(client, js, server, token, n) for n in range(ROUNDS)]
    await js.purge_stream("EVENTS")
    listening = NatsBus(server, token=token, name="listening")
    listening.on("listening", AlertResolved, handler, Delivery(concurrency=1))
    await listening.start()
    late = []
    for number in range(ROUNDS):
        ours = await latency_ours(listening, heard)
        raw = await latency_raw(js, f"late-{number}")
        while not heard.empty():
            heard.get_nowait()
        late.append((ours, raw))
    await listening.stop()
    await speaking.stop()
    await client.close()
    return [
        compare("chassis", "publish+ack, mean", "us", *_split(published, "nats-py, same message")),
        compare(
            "chassis", "consume, handlers", "1/s", *_split(consumed, "nats-py fetch(100)+read+ack")
        ),
        compare(
            "chassis",
            "consume, against bare transport",
            "1/s",
            [row[0] for row in consumed],
            "nats-py fetch(100)+ack",
            [row[2] for row in consumed],
        ),
        compare("chassis", "publish to handler, p50", "us", *_split(late, "nats-py fetch(1)+read")),
    ]


def _split(rows: Sequence[tuple[float, ...]], peer: str) -> tuple[list[float], str, list[float]]:
    return [row[0] for row in rows], peer, [row[1] for row in rows]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        process, server, token = start_server(Path(folder))
        try:
            with (Path(folder) / "log").open("w") as lines, contextlib.redirect_stderr(lines):
                log.configure("bench")
                found = uvloop.run(measure(server, token))
            write("chassis", found)
        finally:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
