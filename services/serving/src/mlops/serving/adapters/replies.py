# SPDX-License-Identifier: Apache-2.0
"""What a replica is asked over HTTP and what it answers, before and after any protocol has read it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"

Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One request whose body has been read; names of headers are lower case."""

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    body: bytes = b""

    def header(self, name: bytes) -> str | None:
        """Return a header as text, None where there is none."""
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer; its body comes in *pieces* where it is a stream."""

    body: bytes
    status: int = 200
    media_type: bytes = JSON
    headers: Headers = ()
    pieces: AsyncGenerator[bytes] | None = None


class RefusedError(Exception):
    """This request is not answered; *status* and the text say why, *wait_s* when to come again."""

    def __init__(self, status: int, reason: str, *, wait_s: int = 0, headers: Headers = ()) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        waiting = ((b"retry-after", str(wait_s).encode()),) if wait_s else ()
        self.headers = headers + waiting


Call = Callable[[Request], Awaitable[Reply]]
Shape = Callable[
    [int, str], bytes
]  # status and reason to the body of an error, as its protocol says it


def plain_error(_: int, reason: str) -> bytes:
    """Return an error as the Open Inference Protocol shapes it."""
    return orjson.dumps({"error": reason})


@dataclass(frozen=True, slots=True)
class Route:
    """What answers one method of one path.

    *needs* is what a token must allow: "" lets everybody in, "read" is allowed to whoever may infer, too. Only
    *counted* routes ask the model.
    """

    call: Call
    needs: str = "infer"
    counted: bool = False
    shape: Shape = field(default=plain_error)


Routes = dict[tuple[str, str], Route]


def reply_of(body: Any, status: int = 200, headers: Headers = ()) -> Reply:
    """Return *body* as JSON."""
    return Reply(orjson.dumps(body), status, headers=headers)


_MOST_ID = 100


def request_id_of(request: Request) -> str:
    """Return the `X-Request-Id`, which Ray gives a request that has none and tells its caller; empty where it is odd."""
    said = request.header(b"x-request-id") or ""
    return said if len(said) <= _MOST_ID and said.isprintable() else ""
