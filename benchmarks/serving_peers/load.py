# SPDX-License-Identifier: Apache-2.0
"""A caller process: as many requests as fit, over a number of kept connections, for a while.

Reads {"url", "headers", "body", "connections", "seconds"} on standard input, answers {"per_s", "failed", "p99_ms"}.
It speaks as much HTTP/1.1 as it needs, so that on two cores most of the time is the server's.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import uvloop

_LENGTH = b"content-length:"


@dataclass
class Tally:
    """What came of it."""

    until: float = 0.0
    failed: int = 0
    times_ms: list[float] = field(default_factory=list)


class Caller(asyncio.Protocol):
    """One connection: the next request leaves when the last one was answered."""

    def __init__(self, request: bytes, tally: Tally) -> None:
        self._request = request
        self._tally = tally
        self._heard = bytearray()
        self._sent_at = 0.0
        self._transport: asyncio.Transport
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's transports derive from none of asyncio's
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer."""
        self._heard += data
        end = self._heard.find(b"\r\n\r\n")
        if end < 0 or len(self._heard) < end + 4 + self._length(end):
            return
        now = time.perf_counter()
        self._tally.times_ms.append((now - self._sent_at) * 1000)
        self._tally.failed += self._heard[9:12] != b"200"
        self._heard.clear()
        if now < self._tally.until:
            self._ask()
        else:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """End; a connection that ends too early has failed."""
        self._tally.failed += error is not None or time.perf_counter() < self._tally.until
        if not self.over.done():
            self.over.set_result(None)

    def _ask(self) -> None:
        self._sent_at = time.perf_counter()
        self._transport.write(self._request)

    def _length(self, end: int) -> int:
        head = bytes(self._heard[:end]).lower()
        at = head.find(_LENGTH)
        if at < 0:
            raise SystemExit(f"an answer without its length: {head[:300]!r}")
        return int(head[at + len(_LENGTH) :].split(b"\r\n", 1)[0])


async def main(wish: dict[str, Any]) -> dict[str, float]:
    """Call, and return the figures."""
    url, body = urlsplit(wish["url"]), json.dumps(wish["body"]).encode()
    headers = {
        "Host": url.netloc,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **wish["headers"],
    }
    lines = [f"POST {url.path} HTTP/1.1", *(f"{name}: {text}" for name, text in headers.items())]
    request = "\r\n".join([*lines, "", ""]).encode() + body
    tally = Tally(until=time.perf_counter() + wish["seconds"])
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    callers = [
        (await loop.create_connection(lambda: Caller(request, tally), url.hostname, url.port))[1]
        for _ in range(wish["connections"])
    ]
    async with asyncio.timeout(wish["seconds"] + 30):
        await asyncio.gather(*(one.over for one in callers))
    took = time.perf_counter() - began
    return {
        "per_s": len(tally.times_ms) / took,
        "failed": tally.failed,
        "p99_ms": statistics.quantiles(tally.times_ms, n=100)[98],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(uvloop.run(main(json.load(sys.stdin)))) + "\n")
