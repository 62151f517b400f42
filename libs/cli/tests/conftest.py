# SPDX-License-Identifier: Apache-2.0
"""A small HTTP server in the gateway's place, and the command run against it."""

from __future__ import annotations

import fcntl
import json
import os
import re
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from typer.testing import CliRunner, Result

from mlops.cli.main import app

TOKEN = "open-sesame"
Answer = Any


@dataclass
class Asked:
    """A request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    body: bytes

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Door:
    """What the server answers by path (a value, or a function of the request), and what it was asked."""

    home: Path
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def run(self, *words: str, app: Any = app) -> Result:
        return CliRunner().invoke(app, ["--home", str(self.home), *words])

    def json(self, *words: str) -> Any:
        found = self.run(*words, "--json")
        assert found.exit_code == 0, found.output
        return json.loads(found.stdout)

    def screen(self, width: int, *words: str) -> list[str]:
        """Return the lines that a terminal of that width shows."""
        return on_terminal(width, [sys.executable, "-m", "mlops.cli", "--home", str(self.home), *words])  # fmt: skip

    def queries(self, path: str) -> list[dict[str, str]]:
        return [one.query for one in self.asked if one.path == path]

    def bodies(self, path: str) -> list[dict[str, Any]]:
        return [one.json for one in self.asked if one.path == path and one.method == "POST"]

    def answer(self, service: str, verb: str, answer: Answer) -> None:
        self.answers[f"/api/v1/query/{service}/{verb}"] = answer

    def will_answer(self, *events: dict[str, Any]) -> None:
        """Take any command; these events are what came of it."""
        self.answers["/api/v1/commands"] = {"id": "c-1"}
        self.answers["/api/v1/commands/c-1/result"] = list(events)


@dataclass
class Refuse:
    """A refusal as the gateway words it."""

    status: int
    what: str
    fix: str = ""


@pytest.fixture
def door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Door]:
    monkeypatch.setenv("MLOPS_HOME", "")
    for name in ("MLOPS_GATEWAY_URL", "MLOPS_TOKEN", "MLOPS_SPOOL"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(tmp_path)
    found = Door(home)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(found))
    address = f"http://127.0.0.1:{server.server_port}"
    (home / "endpoints.json").write_text(json.dumps({"gateway": address}))
    (home / "credentials.json").write_text(json.dumps({"gateway_token": TOKEN}))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


def _handler(door: Door) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer("GET", b"")

        def do_POST(self) -> None:
            self._answer("POST", self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def _answer(self, method: str, body: bytes) -> None:
            parts = urlsplit(self.path)
            asked = Asked(method, unquote(parts.path), dict(parse_qsl(parts.query)), body)
            door.asked.append(asked)
            self._send(_judged(door, asked, self.headers.get("Authorization", "")))

        def _send(self, found: Answer) -> None:
            status = found.status if isinstance(found, Refuse) else 200
            content = _refusal(found) if isinstance(found, Refuse) else found
            payload = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(payload)))
            self.end_headers()
            self.wfile.write(payload)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _judged(door: Door, asked: Asked, shown: str) -> Answer:
    if shown != f"Bearer {TOKEN}":
        return Refuse(403, "the token is wrong", "send the right one")
    found = door.answers.get(asked.path, Refuse(404, f"no such path {asked.path}"))
    chosen: Callable[[Asked], Answer] | None = found if callable(found) else None
    return chosen(asked) if chosen else found


def _refusal(refused: Refuse) -> dict[str, Any]:
    return {"error": {"what": refused.what, "fix": refused.fix}}


def on_terminal(width: int, command: list[str]) -> list[str]:
    """Run a command in a terminal of its own; return the lines it shows, without colours."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    # What says another width than the terminal has stays out.
    kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    environment = {**kept, "TERM": "xterm-256color"}
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment):
        os.close(theirs)
        shown = b""
        while piece := _read(ours):
            shown += piece
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    return [line.rstrip() for line in text.replace("\r", "").splitlines()]


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other side is closed
        return b""
