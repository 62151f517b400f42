# SPDX-License-Identifier: Apache-2.0
"""Requests to an S3 server that has trouble: they are sent again, and a broken answer is taken up where it ended."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError
from fsspec.asyn import get_loop

from mlops.versioning.adapters import dvc_s3
from mlops.versioning.adapters.dvc_s3 import S3Objects

CONTENT = bytes(range(256)) * 1000
OID = hashlib.md5(CONTENT, usedforsecurity=False).hexdigest()
DENIED = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


@dataclass
class Script:
    """What the server does next: an error's number, or how much of the content it sends before it hangs up."""

    steps: list[int] = field(default_factory=list)
    put: list[bytes] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def objects(script: Script, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Objects]:
    monkeypatch.setattr(dvc_s3, "_WAITS_S", (0.0, 0.0, 0.0))

    class Answers(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def do_PUT(self) -> None:
            script.asked.append(dict(self.headers))
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status = script.steps.pop(0) if script.steps else 200
            if status == 200:
                script.put.append(body)
            self._say(status, DENIED if status == 403 else b"")

        def do_GET(self) -> None:
            script.asked.append(dict(self.headers))
            begin = int(self.headers.get("Range", "bytes=0-")[6:-1])
            step = script.steps.pop(0) if script.steps else len(CONTENT)
            if step in (403, 503):
                self._say(step, DENIED if step == 403 else b"")
                return
            self._say(206 if begin else 200, CONTENT[begin:], step)
            self.close_connection = step < len(CONTENT[begin:])

        def _say(self, status: int, body: bytes, most: int | None = None) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[:most])

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    listening = threading.Thread(target=server.serve_forever, args=(0.01,))
    listening.start()
    opened = S3Objects(client(server.server_port), "bucket", "rain/files/md5", None)
    yield opened
    opened.close()
    server.shutdown()
    listening.join()
    server.server_close()


def client(port: int) -> Any:
    async def nothing() -> None:
        """There is a session already."""

    async def address(*_: Any, **__: Any) -> str:
        return f"http://127.0.0.1:{port}/bucket/rain/files/md5?signature"

    async def amazon(_: str) -> Any:
        return SimpleNamespace(
            generate_presigned_url=address, meta=SimpleNamespace(region_name=None)
        )

    return SimpleNamespace(
        loop=get_loop(),
        set_session=nothing,
        get_s3=amazon,
        key="KEY",
        secret="secret",
        token=None,
        client_kwargs={},
        connect_timeout=5,
        read_timeout=15,
    )


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


@pytest.mark.parametrize(("steps", "tries"), [([403], 1), ([503] * 4, 4)])
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
