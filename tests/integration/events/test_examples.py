# SPDX-License-Identifier: Apache-2.0
"""Every example of docs/how-to/read-and-emit-events.md, run as it is printed there, against a running platform."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from mlops.chassis.bus_nats import NatsBus
from mlops.contracts.examples import full
from mlops.contracts.monitoring import AlertRaised
from servers.programs import until

pytestmark = [pytest.mark.server, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "how-to" / "read-and-emit-events.md"
EXAMPLES = sorted((ROOT / "examples" / "events").iterdir())
LABEL = ("rainfall", "rain")


@pytest.mark.parametrize(
    "path", [one for one in EXAMPLES if one.suffix in {".py", ".sh"}], ids=lambda path: path.name
)
def test_the_page_prints_the_example_as_it_is(path: Path) -> None:
    printed = path.read_text().removeprefix("# SPDX-License-Identifier: Apache-2.0\n")

    assert f"```{'sh' if path.suffix == '.sh' else 'python'}\n{printed}```" in PAGE.read_text()


async def test_a_label_over_nats_counts_once_however_often_it_is_sent(
    platform: Any, predicted: Callable[..., Any]
) -> None:
    before = platform.labelled()
    await predicted("nats-1")

    first = platform.run("nats_publish.py", *LABEL, "nats-1", "1")
    again = platform.run("nats_publish.py", *LABEL, "nats-1", "1")

    assert first == "desk-nats-1 stored in EVENTS, known before: False\n"
    assert again == "desk-nats-1 stored in EVENTS, known before: True\n"
    wait_for(lambda: platform.labelled() == before + 1)


async def test_a_reader_goes_on_where_it_was(platform: Any, bus: NatsBus) -> None:
    for number in range(3):
        alert = full(AlertRaised).model_copy(
            update={"id": f"read-{number}", "alert_id": f"a-{number}"}
        )
        await bus.publish(alert)

    first = platform.run("nats_read.py", "alert.raised.rainfall", "2")
    rest = platform.run("nats_read.py", "alert.raised.rainfall", "1")

    told = [json.loads(line.split(" ", 2)[2])["alert_id"] for line in (first + rest).splitlines()]
    assert told == ["a-0", "a-1", "a-2"]


async def test_a_label_over_mqtt_is_counted(platform: Any, predicted: Callable[..., Any]) -> None:
    before = platform.labelled()
    await predicted("mqtt-1")

    assert platform.run("mqtt_publish.py", *LABEL, "mqtt-1", "0") == "taken\n"

    wait_for(lambda: platform.labelled() == before + 1)


def test_what_is_said_can_be_heard_over_mqtt(platform: Any) -> None:
    with going(platform.start("mqtt_read.py", "label/recorded/+", "2")) as reader:
        assert reader.readline() == "listening\n"
        platform.run("nats_publish.py", *LABEL, "heard-1", "1")
        platform.run("mqtt_publish.py", *LABEL, "heard-2", "1")

        heard = [reader.readline() for _ in range(2)]

    assert [line.split()[:2] for line in heard] == [["label.recorded", "rainfall"]] * 2
    assert ["heard-1" in heard[0], "heard-2" in heard[1]] == [True, True]


@pytest.mark.parametrize(
    ("example", "words", "id_"),
    [
        ("http_post.sh", (), "curl-http-1"),
        ("cloudevents_post.py", ("structured",), "library-structured-http-1"),
        ("cloudevents_post.py", ("binary",), "library-binary-http-1"),
    ],
)
async def test_a_label_over_http_is_stored_as_it_was_sent(
    platform: Any, bus: NatsBus, example: str, words: tuple[str, ...], id_: str
) -> None:
    said = platform.run(example, *words, *LABEL, "http-1", "1")

    assert id_ in said
    stored = [one.envelope async for one in bus.follow(["label.recorded"], live=False)]
    (found,) = [one for one in stored if one.get("id") == id_]
    assert found["source"].startswith("/tools/")
    assert found["data"]["labels"][0]["request_id"] == "http-1"


@pytest.mark.parametrize(
    ("example", "words"),
    [
        ("http_stream.sh", ("label.recorded", "rainfall")),
        ("cloudevents_stream.py", ("label.recorded", "rainfall", "1")),
    ],
)
def test_the_stream_shows_what_is_said(platform: Any, example: str, words: tuple[str, ...]) -> None:
    heard: list[str] = []
    with going(platform.start(example, *words)) as reader:
        listening = threading.Thread(target=lambda: heard.extend(iter(reader.readline, "")))
        listening.start()
        number = 0
        while "streamed" not in "".join(heard):
            # `curl` does not say when it listens: go on until it hears one.
            platform.run("nats_publish.py", *LABEL, f"streamed-{example}-{number}", "1")
            number += 1
            assert number < 30
    listening.join(10)

    assert any("label.recorded" in line for line in heard)


async def test_alerts_reach_a_web_hook_also_one_that_was_in_trouble(
    platform: Any, bus: NatsBus
) -> None:
    got: list[dict[str, Any]] = []
    tries: list[str] = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            tries.append(self.headers["Content-Type"])
            if len(tries) > 1:
                got.append(json.loads(body))
            self.send_response(204 if len(tries) > 1 else 503)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    try:
        with going(platform.start("forward.py", url)):
            alert = full(AlertRaised).model_copy(update={"id": "hooked", "alert_id": "hooked"})
            await bus.publish(alert)
            wait_for(lambda: any(one["id"] == "hooked" for one in got))
    finally:
        server.shutdown()
        server.server_close()

    assert [one["id"] for one in got].count("hooked") == 1
    assert set(tries) == {"application/cloudevents+json"}


@contextmanager
def going(process: subprocess.Popen[str]) -> Iterator[Any]:
    try:
        yield process.stdout
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout is not None and not process.stdout.closed:
            process.stdout.close()


def wait_for(true: Callable[[], bool]) -> None:
    until(true, 30, lambda: "waited in vain")
