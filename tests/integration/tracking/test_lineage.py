# SPDX-License-Identifier: Apache-2.0
"""Lineage on a real bus into real sinks: by HTTP, and into a file; a sink that is away, hangs, or refuses."""

from __future__ import annotations

import asyncio
import json
import signal
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlops.chassis.bus_nats import NatsBus
from mlops.chassis.errors import RejectedError, UnavailableError
from mlops.contracts.examples import full
from mlops.contracts.message import Message
from mlops.contracts.orchestration_bridge import WorkflowCompleted, WorkflowStarted
from mlops.contracts.tracking import RunCompleted, RunStarted
from mlops.tracking.adapters.memory import MemoryTracking
from mlops.tracking.adapters.openlineage import OpenLineageSink, open_sink
from mlops.tracking.app import wire_lineage
from mlops.tracking.handlers.lineage import Lineage
from servers.nats import NatsServer

pytestmark = [pytest.mark.server, pytest.mark.timeout(120)]


@dataclass
class Receiver:
    """A server that takes events at `/api/v1/lineage`, as Marquez does."""

    port: int = 0
    status: int = 201
    pause_s: float = 0
    events: list[dict[str, Any]] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)
    _server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.seen.append((self.path, self.headers.get("Authorization", "")))
                time.sleep(receiver.pause_s)
                if receiver.status < 300:
                    receiver.events.append(json.loads(body))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    receiver = Receiver()
    receiver.start()
    yield receiver
    receiver.stop()


@pytest.fixture
async def sink(receiver: Receiver, tmp_path: Path) -> AsyncIterator[OpenLineageSink]:
    config = tmp_path / "openlineage.yml"
    # The library's own six tries would make the tests that find no sink slow.
    config.write_text(
        f"transport:\n  type: http\n  url: {receiver.url}\n  timeout: 3\n"
        "  auth: {type: api_key, apiKey: open-sesame}\n  retry: {total: 0}\n"
    )
    sink = open_sink(tmp_path, {"HOME": str(tmp_path)})
    assert sink is not None
    yield sink
    await sink.close()


@asynccontextmanager
async def told(server: NatsServer, sink: OpenLineageSink) -> AsyncIterator[NatsBus]:
    bus, tracking = NatsBus(server.url, token=server.token, name="tracking"), MemoryTracking()
    wire_lineage(bus, Lineage(sink, tracking, tracking))
    await bus.start()
    yield bus
    await bus.stop(timedelta(seconds=2))


async def until(true: Callable[[], bool], within_s: float = 30) -> None:
    async with asyncio.timeout(within_s):
        while not true():
            await asyncio.sleep(0.02)


def message(kind: type[Message], **fields: Any) -> Any:
    return full(kind).model_copy(update=fields)


async def test_a_story_arrives_at_the_sink_with_its_key(
    nats_server: NatsServer, receiver: Receiver, sink: OpenLineageSink
) -> None:
    async with told(nats_server, sink) as bus:
        await bus.publish(message(WorkflowStarted, attempt=1))
        for kind in (RunStarted, RunCompleted, WorkflowCompleted):
            await bus.publish(message(kind))
        await until(lambda: len(receiver.events) == 4)

    assert sorted(one["eventType"] for one in receiver.events) == [
        *["COMPLETE"] * 2,
        *["START"] * 2,
    ]
    assert set(receiver.seen) == {("/api/v1/lineage", "Bearer open-sesame")}
    assert len({one["run"]["runId"] for one in receiver.events}) == 2


async def test_while_the_sink_is_away_others_go_on_and_afterwards_nothing_is_missing(
    nats_server: NatsServer, receiver: Receiver, sink: OpenLineageSink
) -> None:
    receiver.stop()
    judged: list[str] = []

    async with told(nats_server, sink) as bus:
        gate = NatsBus(nats_server.url, token=nats_server.token, name="tracking")

        async def on_run_completed(event: RunCompleted) -> list[Message]:
            judged.append(event.run_id)
            return []

        gate.on("tracking", RunCompleted, on_run_completed)
        await gate.start()
        runs = [f"run-{number}" for number in range(5)]
        for run in runs:
            await bus.publish(message(RunCompleted, id=run, run_id=run))
        await until(lambda: sorted(judged) == runs, 5)
        assert receiver.events == []

        receiver.start()
        await until(lambda: len(receiver.events) == 5)
        await gate.stop()

    tags = [one["run"]["facets"]["tags"]["tags"] for one in receiver.events]
    named = sorted(
        tag["value"] for all_of in tags for tag in all_of if tag["key"] == "mlflow.run_id"
    )
    assert named == runs
    assert await _dead(nats_server) == []


async def test_what_the_sink_will_never_take_is_a_dead_letter_of_lineage(
    nats_server: NatsServer, receiver: Receiver, sink: OpenLineageSink
) -> None:
    receiver.status = 422
    async with told(nats_server, sink) as bus:
        await bus.publish(message(RunStarted))
        await until(lambda: receiver.seen != [])
        async with asyncio.timeout(30):
            while not (letters := await bus.list()):
                await asyncio.sleep(0.05)
        assert (letters[0].service, letters[0].deliveries) == ("lineage", 1)
        assert "does not take this event" in letters[0].reason

        receiver.status = 201
        await bus.replay(letters[0].sequence)
        await until(lambda: len(receiver.events) == 1)


@pytest.mark.parametrize("status", [401, 404, 429, 500])
async def test_a_wrong_key_or_address_or_a_busy_sink_is_waited_for(
    receiver: Receiver, sink: OpenLineageSink, status: int
) -> None:
    receiver.status = status

    with pytest.raises(UnavailableError, match=str(status)):
        await sink.tell(await _telling())


async def test_no_password_and_no_key_of_the_address_is_told(
    receiver: Receiver, tmp_path: Path
) -> None:
    receiver.status = 422
    url = receiver.url.replace("//", "//ada:secret@")
    (tmp_path / "openlineage.yml").write_text(
        f"transport:\n  type: http\n  url: {url}\n  endpoint: api/v1/lineage?key=secret\n"
        "  retry: {total: 0}\n"
    )
    sink = open_sink(tmp_path, {"HOME": str(tmp_path)})
    assert sink is not None

    with pytest.raises(RejectedError, match="422") as refused:
        await sink.tell(await _telling())
    await sink.close()

    assert receiver.seen != []
    assert "secret" not in str(refused.value)


async def test_a_sink_that_hangs_is_given_up_in_time(
    receiver: Receiver, sink: OpenLineageSink
) -> None:
    receiver.pause_s = 20
    hasty = OpenLineageSink(sink._sidecar, timedelta(seconds=2))
    await _warm(receiver, sink)
    began = time.monotonic()

    with pytest.raises(UnavailableError, match="no answer within 2 s"):
        await hasty.tell(await _telling())

    assert time.monotonic() - began < 15


async def test_a_wrong_configuration_is_named_and_waited_for(tmp_path: Path) -> None:
    (tmp_path / "openlineage.yml").write_text("transport:\n  type: pigeon\n")
    sink = open_sink(tmp_path, {"HOME": str(tmp_path)})
    assert sink is not None

    with pytest.raises(UnavailableError, match="pigeon"):
        await sink.tell(await _telling())

    await sink.close()


async def test_the_file_transport_writes_a_line_for_each_event(
    tmp_path: Path, nats_server: NatsServer
) -> None:
    lines = tmp_path / "lineage.jsonl"
    environ = {
        "HOME": str(tmp_path),
        "OPENLINEAGE__TRANSPORT__TYPE": "file",
        "OPENLINEAGE__TRANSPORT__LOG_FILE_PATH": str(lines),
        "OPENLINEAGE__TRANSPORT__APPEND": "true",
    }
    sink = open_sink(tmp_path, environ)
    assert sink is not None
    async with told(nats_server, sink) as bus:
        await bus.publish(message(RunStarted))
        await bus.publish(message(RunCompleted))
        await until(lambda: lines.exists() and len(lines.read_text().splitlines()) == 2)
    await sink.close()

    found = [json.loads(line) for line in lines.read_text().splitlines()]
    assert {one["eventType"] for one in found} == {"START", "COMPLETE"}


TRAIN = """
import mlflow
mlflow.set_experiment("rain")
with mlflow.start_run(tags={"mlops.dataset.weather": "3@abc"}):
    mlflow.log_metric("accuracy", 0.8)
    client = mlflow.MlflowClient()
    client.create_registered_model("rain")
    run = mlflow.active_run().info
    client.create_model_version("rain", run.artifact_uri, run.run_id)
"""


@pytest.mark.mlflow
async def test_the_real_process_tells_an_unmodified_mlflow_client_to_the_sink(
    unstarted: Any, listener: Any, receiver: Receiver
) -> None:
    unstarted.more["OPENLINEAGE_URL"] = receiver.url
    await unstarted.start()
    await listener.register("rain")

    await unstarted.run_client(TRAIN)
    await until(lambda: len(receiver.events) == 3, 60)

    by_type = {one["eventType"]: one for one in receiver.events}
    assert sorted(by_type) == ["COMPLETE", "OTHER", "START"]
    assert len({(one["job"]["name"], one["run"]["runId"]) for one in receiver.events}) == 1
    whole = by_type["COMPLETE"]
    assert [one["name"] for one in whole["inputs"]] == ["data/weather"]
    assert [one["name"] for one in whole["outputs"]] == ["models/rain"]
    assert await unstarted.kill(signal.SIGTERM) == 0


@pytest.mark.mlflow
async def test_without_a_sink_the_process_has_neither_the_library_s_child_nor_its_consumers(
    tracking: Any, listener: Any
) -> None:
    await listener.register("rain")
    js = listener.bus._js
    consumers = {found.name for found in await js.consumers_info("EVENTS")}

    assert not {name for name in consumers if name.startswith("lineage-")}
    assert psutil.Process(tracking.process.pid).children() == []


async def _telling() -> Any:
    told: list[Any] = []

    class Keeping:
        async def tell(self, telling: Any) -> None:
            told.append(telling)

        async def close(self) -> None: ...

    tracking = MemoryTracking()
    await Lineage(Keeping(), tracking, tracking).on_run_started(message(RunStarted))
    return told[0]


async def _warm(receiver: Receiver, sink: OpenLineageSink) -> None:
    pause_s, receiver.pause_s = receiver.pause_s, 0
    await sink.tell(await _telling())
    receiver.pause_s = pause_s


async def _dead(server: NatsServer) -> list[Any]:
    bus = NatsBus(server.url, token=server.token, name="test")
    await bus.start()
    try:
        return await bus.list()
    finally:
        await bus.stop()
