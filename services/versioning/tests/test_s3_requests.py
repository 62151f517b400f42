# SPDX-License-Identifier: Apache-2.0
"""Requests to an S3 server that has trouble: they are sent again, and a broken answer is taken up where it ended."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import io
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from s3fs import S3FileSystem

from mlops.versioning.adapters import dvc_parts
from mlops.versioning.adapters.dvc_parts import forget_parts, receive
from mlops.versioning.adapters.dvc_s3 import S3Objects, s3_objects
from mlops.versioning.adapters.dvc_store import Store

CONTENT = bytes(range(256)) * 1000
OID = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
REASONS = {403: "AccessDenied", 400: "RequestTimeout", 406: "BadDigest"}


@dataclass
class Script:
    """What the server does next: an error's number, or how much of the content it sends before it hangs up."""

    steps: list[int] = field(default_factory=list)
    put: list[bytes] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)
    rests: list[float] = field(default_factory=list)
    # What happens before it hangs up, and while the client rests.
    on_break: Callable[[], None] = lambda: None
    on_rest: Callable[[], None] = lambda: None

    def rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.on_rest()


class Server:
    """Answers by a script; it can go away and come back at the same port."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.port = 0
        self.start()

    def start(self) -> None:
        """Listen."""
        self._http = _Http(("127.0.0.1", self.port), Answers)
        self._http.script = self._script
        self.port = self._http.server_port
        self._listening = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._listening.start()

    def stop(self) -> None:
        """Listen no more."""
        self._http.shutdown()
        self._listening.join()
        self._http.server_close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True
    script: Script


class Answers(BaseHTTPRequestHandler):
    server: _Http
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self._say(404, b"")

    def do_PUT(self) -> None:
        self.server.script.asked.append(dict(self.headers))
        body = self.rfile.read(int(self.headers["Content-Length"]))
        status = self.server.script.steps.pop(0) if self.server.script.steps else 200
        if status == 200:
            self.server.script.put.append(body)
        self._say(status, b"")

    def do_GET(self) -> None:
        self.server.script.asked.append(dict(self.headers))
        begin = int(self.headers.get("Range", "bytes=0-")[6:-1])
        if begin >= len(CONTENT):
            self._say(416, b"<Error><Code>InvalidRange</Code></Error>")
            return
        step = self.server.script.steps.pop(0) if self.server.script.steps else len(CONTENT)
        if step < 1000:
            self._say(step, b"")
            return
        self._say(206 if begin else 200, CONTENT[begin:], step)
        self.close_connection = step < len(CONTENT[begin:])
        if self.close_connection:
            self.server.script.on_break()

    def _say(self, status: int, body: bytes, most: int | None = None) -> None:
        if reason := REASONS.get(status):
            body = f"<Error><Code>{reason}</Code></Error>".encode()
        self.send_response(400 if status == 406 else status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:most])


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def server(script: Script) -> Iterator[Server]:
    server = Server(script)
    yield server
    server.stop()


@pytest.fixture
def objects(script: Script, server: Server) -> Iterator[S3Objects]:
    url = f"http://127.0.0.1:{server.port}"
    client = S3FileSystem(key="KEY", secret="secret", endpoint_url=url, skip_instance_cache=True)
    remote = SimpleNamespace(
        fs=SimpleNamespace(protocol="s3", fs=client), path="bucket/rain/files/md5"
    )
    opened = s3_objects(remote, None, script.rest)
    assert opened is not None
    yield opened
    opened.close()


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "days.bin").write_bytes(CONTENT)
    return str(tmp_path / "days.bin")


def test_a_server_in_trouble_is_sent_the_whole_again(
    script: Script, objects: S3Objects, file: str
) -> None:
    script.steps = [503, 500]

    objects.put(OID, file)

    assert script.put == [CONTENT]
    assert len(script.asked) == 3
    assert base64.b64decode(script.asked[-1]["Content-MD5"]).hex() == OID
    assert "us-east-1/s3/aws4_request" in script.asked[-1]["Authorization"]


@pytest.mark.parametrize("reason", [400, 406])
def test_what_came_too_slowly_or_damaged_is_sent_again(
    script: Script, objects: S3Objects, file: str, reason: int
) -> None:
    script.steps = [reason]

    objects.put(OID, file)

    assert script.put == [CONTENT]


def test_a_server_that_is_away_for_a_moment_is_tried_again(
    script: Script, server: Server, objects: S3Objects, file: str
) -> None:
    server.stop()
    script.on_rest = server.start

    objects.put(OID, file)

    assert script.put == [CONTENT]
    assert len(script.rests) == 1


def test_a_server_that_stays_away_is_said(
    script: Script, server: Server, objects: S3Objects, file: str
) -> None:
    server.stop()

    with pytest.raises(EndpointConnectionError):
        objects.put(OID, file)
    with pytest.raises(EndpointConnectionError):
        objects.get(OID, io.BytesIO())
    server.start()

    # As long as a server takes to start again.
    assert sum(script.rests) > 2 * 5


def test_an_answer_goes_on_after_its_server_has_started_again(
    script: Script, server: Server, objects: S3Objects
) -> None:
    script.steps = [100_000]
    script.on_break = server.stop
    written = io.BytesIO()

    def come_back_late() -> None:
        if len(script.rests) == 2:
            server.start()

    script.on_rest = come_back_late

    found = objects.get(OID, written)

    assert (found, written.getvalue()) == (OID, CONTENT)
    assert int(script.asked[-1]["Range"][6:-1]) > 0


@pytest.mark.parametrize(("steps", "tries"), [([403], 1), ([503] * 5, 5)])
def test_what_stays_refused_is_said(
    script: Script, objects: S3Objects, file: str, steps: list[int], tries: int
) -> None:
    script.steps = list(steps)

    with pytest.raises(ClientError):
        objects.put(OID, file)
    script.steps = list(steps)
    with pytest.raises(ClientError):
        objects.get(OID, io.BytesIO())

    assert script.put == []
    assert len(script.asked) == 2 * tries


def test_an_answer_that_breaks_off_goes_on_where_it_ended(
    script: Script, objects: S3Objects
) -> None:
    script.steps = [100_000, 503, 90_000]
    written = io.BytesIO()

    found = objects.get(OID, written)

    assert found == OID
    assert written.getvalue() == CONTENT
    begins = [int(asked.get("Range", "bytes=0-")[6:-1]) for asked in script.asked]
    assert begins[0] == 0
    assert begins[1] == begins[2] <= 100_000
    assert begins[2] < begins[3] <= 190_000


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(dvc_parts, "_WORTH_BYTES", 1)
    (tmp_path / "files" / "drafts").mkdir(parents=True)
    return Store(str(tmp_path / "files" / "md5"))


def left(store: Store) -> list[str]:
    return [one.name for one in Path(store.path).with_name("drafts").iterdir()]


def test_a_fetch_that_was_given_up_is_gone_on_with_by_the_next_call(
    script: Script, objects: S3Objects, store: Store
) -> None:
    script.steps = [100_000, 403]
    with pytest.raises(ClientError):
        receive(objects, store, OID)
    begun = left(store)

    receive(objects, store, OID)

    assert begun == [f"{OID}.part"]
    assert 0 < int(script.asked[-1]["Range"][6:-1]) <= 100_000
    assert Path(store.place(OID)).read_bytes() == CONTENT
    assert Path(store.place(OID)).stat().st_mode & 0o777 == 0o444
    assert left(store) == []


@pytest.mark.parametrize(
    ("begun", "asked"), [(CONTENT, 1), (b"x" * 1000, 2), (b"x" * len(CONTENT), 2), (b"", 1)]
)
def test_whatever_a_killed_fetch_has_left_the_object_is_what_its_address_says(
    script: Script, objects: S3Objects, store: Store, begun: bytes, asked: int
) -> None:
    Path(store.path).with_name("drafts").joinpath(f"{OID}.part").write_bytes(begun)

    receive(objects, store, OID)

    assert Path(store.place(OID)).read_bytes() == CONTENT
    assert len(script.asked) == asked
    assert left(store) == []


def test_two_fetches_of_one_object_do_not_write_into_each_others_draft(
    objects: S3Objects, store: Store
) -> None:
    part = Path(store.path).with_name("drafts") / f"{OID}.part"
    with part.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(b"of another process")
        file.flush()

        receive(objects, store, OID)

        assert part.read_bytes() == b"of another process"
    assert Path(store.place(OID)).read_bytes() == CONTENT
    assert left(store) == [part.name]


def test_a_fetch_that_was_killed_at_the_last_step_leaves_no_part_that_nobody_can_go_on_with(
    objects: S3Objects, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(store, "keep", killed)
        with pytest.raises(KeyboardInterrupt):
            receive(objects, store, OID)
    parts = [name for name in left(store) if name.endswith(".part")]

    receive(objects, store, OID)

    assert parts == []
    assert Path(store.place(OID)).read_bytes() == CONTENT


def test_a_part_of_another_user_keeps_nobody_from_fetching(
    objects: S3Objects, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = Path(store.path).with_name("drafts") / f"{OID}.part"
    part.write_bytes(b"begun")
    made = dvc_parts._made

    def refused(place: str, flags: int) -> int:
        if place == str(part):
            raise PermissionError
        return made(place, flags)

    monkeypatch.setattr(dvc_parts, "_made", refused)
    receive(objects, store, OID)

    assert Path(store.place(OID)).read_bytes() == CONTENT
    assert part.read_bytes() == b"begun"


def test_a_part_that_nobody_goes_on_with_is_forgotten_after_a_day(store: Store) -> None:
    part = Path(store.path).with_name("drafts") / f"{OID}.part"
    part.write_bytes(b"begun")
    began = part.stat().st_mtime

    forget_parts(store, began + 3600)
    still = left(store)
    forget_parts(store, began + 25 * 3600)

    assert (still, left(store)) == ([part.name], [])
